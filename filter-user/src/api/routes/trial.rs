//! `/v1/confirm` and `/v1/undo`.

use axum::{Extension, Json, extract::State};

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{NoBody, NoQuery, Query},
        openapi::Errors,
        types::{Outcome, UndoQuery},
        wish,
    },
    core::{actor::Actor, command::Command},
};

/// Keeps what waits for confirmation.
#[utoipa::path(
    post,
    path = "/v1/confirm",
    tag = "change",
    responses((status = 200, description = "Done", body = Outcome), Errors)
)]
pub async fn confirm(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(actor, Command::Confirm, false).await
}

/// Takes back what waits for confirmation, or else what an operator did last.
#[utoipa::path(
    post,
    path = "/v1/undo",
    tag = "change",
    params(UndoQuery),
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn undo(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<UndoQuery>,
    _: NoBody,
) -> Result<Json<Outcome>, ApiError> {
    let command = wish::on_trial(Command::Undo, query.confirm.as_deref())?;
    api.execute(actor, command, query.dry_run).await
}
