//! `/v1/rules…`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{JsonBody, NoQuery},
        openapi::Errors,
        types::{AddRule, Outcome, RemoveRules, Rules},
        wish,
    },
    core::actor::Actor,
};

/// Every rule, in the order in which packets meet them.
#[utoipa::path(
    get,
    path = "/v1/rules",
    tag = "look",
    responses((status = 200, description = "All rules", body = Rules), Errors)
)]
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Json<Rules>, ApiError> {
    Ok(Json(api.handle.call(|service| service.rules()).await?))
}

/// Adds a rule, behind all others or before one that was added.
#[utoipa::path(
    post,
    path = "/v1/rules",
    tag = "change",
    request_body = AddRule,
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn add(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    JsonBody(body): JsonBody<AddRule>,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::add_rule(&body)?, body.dry_run)
        .await
}

/// Removes rules that were added at run time.
#[utoipa::path(
    post,
    path = "/v1/rules/remove",
    tag = "change",
    request_body = RemoveRules,
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn remove(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    JsonBody(body): JsonBody<RemoveRules>,
) -> Result<Json<Outcome>, ApiError> {
    let command = wish::on_trial(wish::remove_rules(&body.ids)?, body.confirm.as_deref())?;
    api.execute(actor, command, body.dry_run).await
}
