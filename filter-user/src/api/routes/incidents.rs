//! `/v1/incidents…`, `/v1/history` and `/v1/view`.

use axum::{Json, extract::State};
use jiff::SignedDuration;

use super::{Api, lists};
use crate::{
    api::{
        error::ApiError,
        extract::{Name, NoQuery, Query},
        openapi::Errors,
        types::{
            HistoryPage, HistoryQuery, IncidentDetail, IncidentPage, IncidentsQuery, SCHEMA,
            ViewStatus,
        },
    },
    clock,
};

/// Incidents of a page if nobody says how many.
const PAGE: usize = 50;
/// At most: a report may be long, and whoever reads them holds others up.
const LARGEST_PAGE: usize = 200;
/// Seconds likewise.
const SECONDS: usize = 3_600;
/// How far back one looks if nobody says how far.
const BACK: SignedDuration = SignedDuration::from_mins(10);

/// Incidents, newest first.
#[utoipa::path(
    get,
    path = "/v1/incidents",
    tag = "look",
    params(IncidentsQuery),
    responses((status = 200, description = "A page of incidents", body = IncidentPage), Errors)
)]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<IncidentPage>, ApiError> {
    let limit = lists::page_limit(query.limit, PAGE)?;
    if limit > LARGEST_PAGE {
        return Err(ApiError::invalid(format!(
            "limit={limit} is not between 1 and {LARGEST_PAGE}"
        )));
    }
    let before = query.before;
    let job =
        move |service: &mut dyn crate::daemon::handle::Service| service.incidents(before, limit);
    Ok(Json(api.handle.call(job).await?))
}

/// One incident, with its seconds and what others did meanwhile.
#[utoipa::path(
    get,
    path = "/v1/incidents/{id}",
    tag = "look",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The whole story", body = IncidentDetail), Errors)
)]
pub async fn show(
    State(api): State<Api>,
    Name(id): Name,
    _: NoQuery,
) -> Result<Json<IncidentDetail>, ApiError> {
    let id: u64 = id.parse().map_err(|_| {
        ApiError::invalid(format!(
            "{} is no number of an incident; /v1/incidents lists them",
            id.escape_default()
        ))
    })?;
    Ok(Json(
        api.handle.call(move |service| service.incident(id)).await?,
    ))
}

/// What came in, second by second.
#[utoipa::path(
    get,
    path = "/v1/history",
    tag = "look",
    params(HistoryQuery),
    responses((status = 200, description = "Seconds", body = HistoryPage), Errors)
)]
pub async fn history(
    State(api): State<Api>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let limit = lists::page_limit(query.limit, SECONDS)?;
    let to = query.to.unwrap_or_else(clock::now);
    let from = query
        .from
        .unwrap_or_else(|| to.checked_sub(BACK).unwrap_or(to));
    if from > to {
        return Err(ApiError::invalid(format!("from={from} is behind to={to}")));
    }
    let job =
        move |service: &mut dyn crate::daemon::handle::Service| service.history(from, to, limit);
    Ok(Json(api.handle.call(job).await?))
}

/// What the controller sees at the moment.
#[utoipa::path(
    get,
    path = "/v1/view",
    tag = "look",
    responses((status = 200, description = "What it sees", body = ViewStatus), Errors)
)]
pub async fn view(State(api): State<Api>, _: NoQuery) -> Result<Json<ViewStatus>, ApiError> {
    let view = api.handle.call(|service| service.view()).await?;
    Ok(Json(ViewStatus {
        schema: SCHEMA,
        view,
    }))
}
