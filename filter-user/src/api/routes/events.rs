//! `/v1/events`, as a page or as a stream.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};

use super::{Api, lists};
use crate::{
    api::{
        error::ApiError,
        extract::Query,
        openapi::Errors,
        peer::Role,
        server::Peer,
        types::{Event, EventPage, EventsQuery},
    },
    core::refusal::Refusal,
    daemon::handle::Handle,
};

/// Events of a page if nobody says how many.
const PAGE: usize = 100;
/// Lines that wait for a follower beside what its socket takes.
const WAITING: usize = 64;

type Line = Result<Bytes, std::io::Error>;

/// The journal: a page, or with `follow` an event a line as they happen.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "look",
    params(EventsQuery),
    responses(
        (
            status = 200,
            description = "A page of the journal; with `follow` an event a line",
            content((EventPage = "application/json"), (Event = "application/x-ndjson"))
        ),
        Errors
    )
)]
pub async fn events(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    let limit = lists::page_limit(query.limit, PAGE)?;
    let after = query.after;
    if !query.follow {
        let page = api
            .handle
            .call(move |service| service.events(after, limit))
            .await?;
        return Ok(Json(page).into_response());
    }
    let permits = seats(&api, peer.role)?;
    // First the subscription, then the past: nothing falls between them.
    let live = api.handle.follow();
    let past = api
        .handle
        .call(move |service| service.events(after, limit))
        .await?;
    let (lines, waiting) = mpsc::channel(WAITING);
    tokio::spawn(follow(
        api.handle.clone(),
        past,
        limit,
        live,
        lines,
        permits,
    ));
    let stream = stream::unfold(waiting, async |mut waiting: mpsc::Receiver<Line>| {
        waiting.recv().await.map(|line| (line, waiting))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(stream),
    )
        .into_response())
}

/// A follower's place, and one among those who only look if it is one of them: however many look, there
/// is room for those who may change something.
fn seats(api: &Api, role: Role) -> Result<Vec<OwnedSemaphorePermit>, ApiError> {
    let all = (&api.followers, api.bounds.followers);
    let looking = (&api.looking_followers, api.bounds.looking_followers);
    let needed = match role {
        Role::Change => vec![all],
        Role::Nobody | Role::Read => vec![looking, all],
    };
    needed
        .into_iter()
        .map(|(seats, count)| seat(seats, count))
        .collect()
}

fn seat(seats: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(seats).try_acquire_owned().map_err(|_| {
        ApiError::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            Refusal::failed(format!(
                "{count} others follow the events, more are not served; end one of them"
            )),
        )
    })
}

/// Sends the past, then what happens, until the follower goes or falls behind.
async fn follow(
    handle: Handle,
    mut past: EventPage,
    limit: usize,
    mut live: broadcast::Receiver<Arc<Event>>,
    lines: mpsc::Sender<Line>,
    _permits: Vec<OwnedSemaphorePermit>,
) {
    let mut last = i64::MIN;
    loop {
        for event in &past.events {
            last = event.id;
            if lines.send(line(event)).await.is_err() {
                return;
            }
        }
        if past.events.len() < limit || last >= past.last {
            break;
        }
        match handle
            .call(move |service| service.events(Some(last), limit))
            .await
        {
            Ok(page) => past = page,
            Err(refusal) => {
                let _ = lines.send(Err(std::io::Error::other(refusal))).await;
                return;
            }
        }
    }
    loop {
        let event = tokio::select! {
            event = live.recv() => event,
            () = lines.closed() => return,
        };
        let line = match event {
            Ok(event) if event.id <= last => continue,
            Ok(event) => line(&event),
            Err(broadcast::error::RecvError::Closed) => return,
            // An error cuts the stream before its end, so that the follower knows it missed some.
            Err(broadcast::error::RecvError::Lagged(missed)) => Err(std::io::Error::other(
                format!("the follower is {missed} events behind"),
            )),
        };
        let cut = line.is_err();
        if lines.send(line).await.is_err() || cut {
            return;
        }
    }
}

fn line(event: &Event) -> Line {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line.into())
}
