//! `/v1/limits`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{JsonBody, Name, NoBody, NoQuery, Query},
        openapi::Errors,
        types::{ChangeQuery, Limits, Outcome, SetLimit},
        wish,
    },
    core::{actor::Actor, command::Command},
};

/// All limits.
#[utoipa::path(
    get,
    path = "/v1/limits",
    tag = "look",
    responses((status = 200, description = "All limits", body = Limits), Errors)
)]
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Json<Limits>, ApiError> {
    Ok(Json(api.handle.call(|service| service.limits()).await?))
}

/// Sets a limit by hand: it holds in calm too.
#[utoipa::path(
    put,
    path = "/v1/limits/{name}",
    tag = "change",
    params(("name" = String, Path, description = "As `source.syn`")),
    request_body = SetLimit,
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn set(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    _: NoQuery,
    JsonBody(body): JsonBody<SetLimit>,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::set_limit(&name, &body)?, false)
        .await
}

/// Gives a limit back to the file and the defaults.
#[utoipa::path(
    delete,
    path = "/v1/limits/{name}",
    tag = "change",
    params(("name" = String, Path, description = "As `source.syn`"), ChangeQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn auto(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    Query(query): Query<ChangeQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    let command = Command::AutoLimit {
        name: wish::limit_name(&name)?,
    };
    let command = wish::on_trial(command, query.confirm.as_deref())?;
    api.execute(actor, command, false).await
}
