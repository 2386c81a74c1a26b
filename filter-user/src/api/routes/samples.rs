//! `/v1/samples`.

use axum::{Json, extract::State};

use super::Api;
use crate::api::{
    error::ApiError,
    extract::Query,
    openapi::Errors,
    types::{SamplePage, SampleQuery},
    wish,
};

/// Sampled packets.
#[utoipa::path(
    get,
    path = "/v1/samples",
    tag = "look",
    params(SampleQuery),
    responses((status = 200, description = "Sampled packets", body = SamplePage), Errors)
)]
pub async fn samples(
    State(api): State<Api>,
    Query(query): Query<SampleQuery>,
) -> Result<Json<SamplePage>, ApiError> {
    if let Some(name) = &query.reason {
        let _known = wish::any_reason(name)?;
    }
    Ok(Json(
        api.handle
            .call(move |service| service.samples(&query))
            .await?,
    ))
}
