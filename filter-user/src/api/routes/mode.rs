//! `/v1/mode`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{JsonBody, NoQuery},
        openapi::Errors,
        types::{Outcome, SetMode},
        wish,
    },
    core::actor::Actor,
};

/// Watches, or drops.
#[utoipa::path(
    put,
    path = "/v1/mode",
    tag = "change",
    request_body = SetMode,
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn set(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    JsonBody(body): JsonBody<SetMode>,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, wish::set_mode(&body)?, false).await
}
