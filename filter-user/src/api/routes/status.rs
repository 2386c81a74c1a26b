//! `/v1/status` and `/v1/stats`.

use axum::{Json, extract::State};

use super::Api;
use crate::api::{
    error::ApiError,
    extract::NoQuery,
    openapi::Errors,
    types::{Stats, Status},
};

/// The state of things.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "look",
    responses((status = 200, description = "The state of things", body = Status), Errors)
)]
pub async fn status(State(api): State<Api>, _: NoQuery) -> Result<Json<Status>, ApiError> {
    Ok(Json(api.handle.call(|service| service.status()).await?))
}

/// Rates over the last second, and totals.
#[utoipa::path(
    get,
    path = "/v1/stats",
    tag = "look",
    responses((status = 200, description = "Rates and totals", body = Stats), Errors)
)]
pub async fn stats(State(api): State<Api>, _: NoQuery) -> Result<Json<Stats>, ApiError> {
    Ok(Json(api.handle.call(|service| service.stats()).await?))
}
