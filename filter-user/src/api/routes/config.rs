//! `/v1/config/diff`.

use axum::{Json, extract::State};

use super::Api;
use crate::api::{
    error::ApiError,
    extract::{JsonBody, NoQuery},
    openapi::Errors,
    types::{ConfigDiff, DiffConfig},
};

/// What a reload would change, and whom of the last hour's samples it would hit.
#[utoipa::path(
    post,
    path = "/v1/config/diff",
    tag = "change",
    request_body = DiffConfig,
    responses((status = 200, description = "What differs", body = ConfigDiff), Errors)
)]
pub async fn diff(
    State(api): State<Api>,
    _: NoQuery,
    JsonBody(body): JsonBody<DiffConfig>,
) -> Result<Json<ConfigDiff>, ApiError> {
    let job = move |service: &mut dyn crate::daemon::handle::Service| {
        service.config_diff(body.text.as_deref())
    };
    Ok(Json(api.handle.call(job).await?))
}
