//! The description of this interface, served by itself.

use axum::Json;
use utoipa::OpenApi;

use crate::api::{
    error::ApiError,
    extract::NoQuery,
    routes::{
        allow, ban, block, config, defences, events, incidents, interfaces, limits, mode, rules,
        samples, services, status, trial, why,
    },
    types::{ErrorBody, ErrorKind},
};

/// What any request can end in.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "describes what `ApiError` sends")]
pub enum Errors {
    /// The request makes no sense; nothing was changed.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The peer is in neither group that it takes.
    #[response(status = 403)]
    NotPermitted(ErrorBody),
    /// There is no such thing.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The path does not know the method.
    #[response(status = 405)]
    WrongMethod(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// Refused: it would do harm, or nothing; nothing was changed.
    #[response(status = 409)]
    Refused(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// It could not be done.
    #[response(status = 500)]
    Failed(ErrorBody),
    /// Too many do the same; try again.
    #[response(status = 503)]
    Busy(ErrorBody),
}

/// All of it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "floodwall",
        description = "The control socket of floodwall: HTTP/1.1 over a Unix socket. Looking takes \
                       the group `floodwall`, changing `floodwall-admin`; root may do both."
    ),
    tags(
        (name = "look", description = "Takes the group `floodwall`, `floodwall-admin` or root"),
        (name = "change", description = "Takes the group `floodwall-admin` or root")
    ),
    components(schemas(ErrorBody, ErrorKind)),
    paths(
        status::status,
        status::stats,
        block::list,
        block::add,
        block::flush,
        block::remove,
        block::import,
        allow::list,
        allow::add,
        allow::remove,
        allow::import,
        ban::list,
        ban::add,
        ban::flush,
        ban::remove,
        limits::list,
        limits::set,
        limits::auto,
        defences::list,
        defences::set,
        defences::auto,
        rules::list,
        rules::add,
        rules::remove,
        services::list,
        mode::set,
        why::why,
        events::events,
        samples::samples,
        incidents::list,
        incidents::show,
        incidents::history,
        incidents::view,
        config::diff,
        trial::confirm,
        trial::undo,
        interfaces::reload,
        interfaces::detach_all,
        interfaces::attach,
        interfaces::detach,
        serve
    )
)]
pub struct Document;

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "look",
    responses(
        (
            status = 200,
            description = "The OpenAPI document",
            body = Object,
            content_type = "application/json"
        ),
        Errors
    )
)]
pub async fn serve(_: NoQuery) -> Result<Json<utoipa::openapi::OpenApi>, ApiError> {
    Ok(Json(Document::openapi()))
}
