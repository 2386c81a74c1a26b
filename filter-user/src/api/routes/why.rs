//! `/v1/why`.

use axum::{Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::Query,
        openapi::Errors,
        types::{Why, WhyQuery},
    },
    config::protocols::any_protocol,
};

/// What would happen to a packet, and because of which entry.
#[utoipa::path(
    get,
    path = "/v1/why",
    tag = "look",
    params(WhyQuery),
    responses((status = 200, description = "What would happen", body = Why), Errors)
)]
pub async fn why(
    State(api): State<Api>,
    Query(mut query): Query<WhyQuery>,
) -> Result<Json<Why>, ApiError> {
    query.address = query.address.to_canonical();
    if let Some(protocol) = &query.protocol
        && let Err(error) = any_protocol(protocol)
    {
        return Err(ApiError::invalid(error));
    }
    Ok(Json(
        api.handle.call(move |service| service.why(&query)).await?,
    ))
}
