//! `/v1/defences`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{JsonBody, Name, NoBody, NoQuery, Query},
        openapi::Errors,
        types::{ChangeQuery, Defences, Outcome, SetDefence},
        wish,
    },
    core::{actor::Actor, command::Command},
};

/// All defences.
#[utoipa::path(
    get,
    path = "/v1/defences",
    tag = "look",
    responses((status = 200, description = "All defences", body = Defences), Errors)
)]
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Json<Defences>, ApiError> {
    Ok(Json(api.handle.call(|service| service.defences()).await?))
}

/// Says when a defence holds.
#[utoipa::path(
    put,
    path = "/v1/defences/{name}",
    tag = "change",
    params(("name" = String, Path, description = "As `sockets`")),
    request_body = SetDefence,
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn set(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    _: NoQuery,
    JsonBody(body): JsonBody<SetDefence>,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::set_defence(&name, body)?, false)
        .await
}

/// Gives a defence back to the file and the defaults.
#[utoipa::path(
    delete,
    path = "/v1/defences/{name}",
    tag = "change",
    params(("name" = String, Path, description = "As `sockets`"), ChangeQuery),
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn auto(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    Query(query): Query<ChangeQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    let command = Command::AutoDefence {
        defence: wish::defence_name(&name)?,
    };
    let command = wish::on_trial(command, query.confirm.as_deref())?;
    api.execute(actor, command, false).await
}
