//! `/v1/services`.

use axum::{Json, extract::State};

use super::Api;
use crate::api::{error::ApiError, extract::NoQuery, openapi::Errors, types::Services};

/// Every protected service, in the order in which packets meet them.
#[utoipa::path(
    get,
    path = "/v1/services",
    tag = "look",
    responses((status = 200, description = "All services", body = Services), Errors)
)]
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Json<Services>, ApiError> {
    Ok(Json(api.handle.call(|service| service.services()).await?))
}
