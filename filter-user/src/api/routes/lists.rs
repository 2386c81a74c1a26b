//! What all lists do.

use std::sync::Arc;

use axum::{Json, body::Body, http::StatusCode};
use http_body_util::BodyExt;
use ipnet::IpNet;
use tokio::time::timeout;

use super::Api;
use crate::{
    api::{
        error::ApiError,
        extract::{too_large, too_slow},
        server::Bounds,
        types::{EntriesQuery, EntryPage, ImportQuery, ListKind, Outcome},
        wish,
    },
    config::list::{self, ListError, ListParser},
    core::{actor::Actor, command::Command, refusal::Refusal},
};

/// Entries of a page if nobody says how many.
const PAGE: usize = 1000;
/// Entries of a page at most.
const LARGEST_PAGE: usize = 10_000;

/// How long a page may be.
pub fn page_limit(wanted: Option<usize>, default: usize) -> Result<usize, ApiError> {
    match wanted {
        None => Ok(default),
        Some(limit @ 1..=LARGEST_PAGE) => Ok(limit),
        Some(limit) => Err(ApiError::invalid(format!(
            "limit={limit} is not between 1 and {LARGEST_PAGE}"
        ))),
    }
}

/// A page of a list.
pub async fn page(
    api: &Api,
    list: ListKind,
    query: EntriesQuery,
) -> Result<Json<EntryPage>, ApiError> {
    let limit = page_limit(query.limit, PAGE)?;
    let job = move |service: &mut dyn crate::daemon::handle::Service| {
        service.entries(list, query.list.as_deref(), query.cursor.as_deref(), limit)
    };
    Ok(Json(api.handle.call(job).await?))
}

/// Replaces a named list by the body, which is judged line by line while it arrives.
pub async fn import(
    api: &Api,
    actor: Actor,
    kind: ListKind,
    query: ImportQuery,
    mut body: Body,
) -> Result<Json<Outcome>, ApiError> {
    let (dry_run, force, confirm) = (query.dry_run, query.force, query.confirm.clone());
    let result = match wish::import(kind, query) {
        Ok(command) => receive(api, kind, &mut body)
            .await
            .map(|prefixes| (command, prefixes)),
        Err(refusal) => Err(refusal.into()),
    };
    let (mut command, received) = match result {
        Ok(received) => received,
        Err(error) => {
            // Whoever still writes would meet a closed socket, and not read the answer.
            drain(body, &api.bounds, api.bounds.import).await;
            return Err(error);
        }
    };
    if received.is_empty() && !force {
        return Err(Refusal::refused(
            "the list has no prefix in it, so importing it would empty the list of that name; \
             nothing was changed; use --force if that is meant",
        )
        .into());
    }
    if let Command::Import { prefixes, .. } = &mut command {
        *prefixes = received;
    }
    let command = wish::on_trial(command, confirm.as_deref())?;
    api.execute(actor, command, dry_run).await
}

/// At most a table full of prefixes out of a body.
async fn receive(api: &Api, kind: ListKind, body: &mut Body) -> Result<Arc<[IpNet]>, ApiError> {
    let _room = api.imports.try_acquire().map_err(|_| {
        ApiError::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            Refusal::failed("other imports are under way; try again when they are done"),
        )
    })?;
    let mut parser = ListParser::new(api.capacity(kind));
    let mut bytes = 0_usize;
    loop {
        let frame = timeout(api.bounds.body, body.frame()).await.map_err(|_| {
            too_slow(format!(
                "nothing came for {} seconds",
                api.bounds.body.as_secs()
            ))
        })?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|error| ApiError::invalid(format!("the list did not arrive: {error}")))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        bytes = bytes.saturating_add(chunk.len());
        if bytes > api.bounds.import {
            return Err(too_large(api.bounds.import));
        }
        parser.push(&chunk).map_err(refusal)?;
    }
    // Here nobody waits for it, on the daemon's thread everybody would.
    let sorted = tokio::task::spawn_blocking(move || parser.finish().map(list::sorted)).await;
    match sorted {
        Ok(sorted) => Ok(sorted.map_err(refusal)?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn refusal(error: ListError) -> Refusal {
    if error.is_full {
        Refusal::refused(error.to_string())
    } else {
        Refusal::invalid(error.to_string())
    }
}

/// Reads what is left of a body, and forgets it: at most so many bytes, and not for long.
pub async fn drain(mut body: Body, bounds: &Bounds, most: usize) {
    let read = async {
        let mut bytes = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            bytes = bytes.saturating_add(frame.data_ref().map_or(0, |chunk| chunk.len()));
            if bytes > most {
                return;
            }
        }
    };
    // Whoever has not sent it by then does not get to read why.
    let _ = timeout(bounds.body.min(bounds.whole), read).await;
}
