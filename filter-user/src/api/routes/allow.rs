//! `/v1/allow…`.

use axum::{Extension, Json, body::Body, extract::State};

use super::{Api, lists};
use crate::{
    api::{
        error::ApiError,
        extract::{JsonBody, NoQuery, Query},
        openapi::Errors,
        types::{
            AddEntries, EntriesQuery, EntryPage, ImportQuery, ListKind, Outcome, RemoveEntries,
        },
        wish,
    },
    core::actor::Actor,
};

/// A page of the allowlist.
#[utoipa::path(
    get,
    path = "/v1/allow",
    tag = "look",
    params(EntriesQuery),
    responses((status = 200, description = "A page of entries", body = EntryPage), Errors)
)]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<EntryPage>, ApiError> {
    lists::page(&api, ListKind::Allow, query).await
}

/// Puts addresses and prefixes on the allowlist.
#[utoipa::path(
    post,
    path = "/v1/allow",
    tag = "change",
    request_body = AddEntries,
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn add(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    JsonBody(body): JsonBody<AddEntries>,
) -> Result<Json<Outcome>, ApiError> {
    let dry_run = body.dry_run;
    api.execute(actor, wish::add(ListKind::Allow, body)?, dry_run)
        .await
}

/// Takes addresses and prefixes off the allowlist.
#[utoipa::path(
    post,
    path = "/v1/allow/remove",
    tag = "change",
    request_body = RemoveEntries,
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn remove(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    JsonBody(body): JsonBody<RemoveEntries>,
) -> Result<Json<Outcome>, ApiError> {
    api.execute(
        actor,
        wish::remove(ListKind::Allow, &body.prefixes)?,
        body.dry_run,
    )
    .await
}

/// Replaces an imported part of the allowlist by the text of the body, all or nothing.
///
/// One address or prefix a line, IPv4 and IPv6 mixed; blank lines and what follows `#` or `;` are
/// skipped.
#[utoipa::path(
    put,
    path = "/v1/allow/import",
    tag = "change",
    params(ImportQuery),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, description = "Done, or tried", body = Outcome), Errors)
)]
pub async fn import(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<ImportQuery>,
    body: Body,
) -> Result<Json<Outcome>, ApiError> {
    lists::import(&api, actor, ListKind::Allow, query, body).await
}
