//! `/v1/interfaces/…`, `/v1/detach` and `/v1/reload`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{Name, NoBody, Query},
        openapi::Errors,
        types::{ChangeQuery, DetachQuery, Outcome},
        wish,
    },
    core::{actor::Actor, command::Command},
};

/// Protects an interface.
#[utoipa::path(
    post,
    path = "/v1/interfaces/{name}/attach",
    tag = "change",
    params(("name" = String, Path, description = "Name of the interface"), ChangeQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn attach(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    Query(query): Query<ChangeQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    let command = Command::Attach {
        interface: wish::interface(&name)?,
    };
    let command = wish::on_trial(command, query.confirm.as_deref())?;
    api.execute(actor, command, false).await
}

/// Stops protecting an interface, and remembers that until it is attached again.
#[utoipa::path(
    post,
    path = "/v1/interfaces/{name}/detach",
    tag = "change",
    params(("name" = String, Path, description = "Name of the interface"), DetachQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn detach(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    Query(query): Query<DetachQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::detach(Some(&name), &query)?, false)
        .await
}

/// Stops protecting every interface, and remembers that.
#[utoipa::path(
    post,
    path = "/v1/detach",
    tag = "change",
    params(DetachQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn detach_all(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DetachQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::detach(None, &query)?, false).await
}

/// Reads the configuration file again, all or nothing.
#[utoipa::path(
    post,
    path = "/v1/reload",
    tag = "change",
    params(ChangeQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn reload(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<ChangeQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    let command = wish::on_trial(Command::Reload, query.confirm.as_deref())?;
    api.execute(actor, command, false).await
}
