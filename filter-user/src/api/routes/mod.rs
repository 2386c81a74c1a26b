//! What is answered under which path, one file a noun.

pub mod allow;
pub mod ban;
pub mod block;
pub mod config;
pub mod defences;
mod entries;
pub mod events;
pub mod incidents;
pub mod interfaces;
pub mod limits;
mod lists;
pub mod mode;
pub mod rules;
pub mod samples;
pub mod services;
pub mod status;
pub mod trial;
pub mod why;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post, put},
};
use tokio::sync::Semaphore;

use crate::{
    api::{
        error::ApiError,
        openapi,
        peer::Role,
        server::{Bounds, Peer},
        types::{ListKind, Outcome},
    },
    config::{Config, Tables},
    core::{actor::Actor, command::Command, refusal::Refusal},
    daemon::handle::Handle,
};

/// What every handler has.
#[derive(Clone, Debug)]
pub struct Api {
    /// The way to the daemon's thread.
    pub handle: Handle,
    /// How much anybody gets.
    pub bounds: Bounds,
    /// Room for streams of events.
    pub followers: Arc<Semaphore>,
    /// Room among them for those who only look.
    pub looking_followers: Arc<Semaphore>,
    /// Room for imports, each of which may hold a whole table.
    pub imports: Arc<Semaphore>,
    tables: Tables,
    read_group: String,
    admin_group: String,
}

impl Api {
    /// Over a daemon.
    pub fn new(config: &Config, handle: Handle, bounds: Bounds) -> Self {
        Self {
            handle,
            bounds,
            followers: Arc::new(Semaphore::new(bounds.followers)),
            looking_followers: Arc::new(Semaphore::new(bounds.looking_followers)),
            imports: Arc::new(Semaphore::new(bounds.imports)),
            tables: config.tables,
            read_group: config.access.read_group.clone(),
            admin_group: config.access.admin_group.clone(),
        }
    }

    /// Most prefixes that an import can bring.
    pub const fn capacity(&self, list: ListKind) -> usize {
        match list {
            ListKind::Block => self.tables.lists_v4 as usize + self.tables.lists_v6 as usize,
            ListKind::Allow | ListKind::Ban => self.tables.room(list).0 as usize,
        }
    }

    /// Has a command carried out, or tried.
    pub async fn execute(
        &self,
        actor: Actor,
        command: Command,
        dry_run: bool,
    ) -> Result<Json<Outcome>, ApiError> {
        let outcome = self
            .handle
            .call(move |service| service.execute(&actor, command, dry_run))
            .await?;
        Ok(Json(outcome))
    }
}

/// Every path with its methods.
pub fn table() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/v1/status", get(status::status)),
        ("/v1/stats", get(status::stats)),
        (
            "/v1/block",
            get(block::list).post(block::add).delete(block::flush),
        ),
        ("/v1/block/remove", post(block::remove)),
        ("/v1/block/import", put(block::import)),
        ("/v1/allow", get(allow::list).post(allow::add)),
        ("/v1/allow/remove", post(allow::remove)),
        ("/v1/allow/import", put(allow::import)),
        ("/v1/ban", get(ban::list).post(ban::add).delete(ban::flush)),
        ("/v1/ban/remove", post(ban::remove)),
        ("/v1/limits", get(limits::list)),
        ("/v1/limits/{name}", put(limits::set).delete(limits::auto)),
        ("/v1/defences", get(defences::list)),
        (
            "/v1/defences/{name}",
            put(defences::set).delete(defences::auto),
        ),
        ("/v1/rules", get(rules::list).post(rules::add)),
        ("/v1/rules/remove", post(rules::remove)),
        ("/v1/services", get(services::list)),
        ("/v1/mode", put(mode::set)),
        ("/v1/why", get(why::why)),
        ("/v1/events", get(events::events)),
        ("/v1/samples", get(samples::samples)),
        ("/v1/incidents", get(incidents::list)),
        ("/v1/incidents/{id}", get(incidents::show)),
        ("/v1/history", get(incidents::history)),
        ("/v1/view", get(incidents::view)),
        ("/v1/confirm", post(trial::confirm)),
        ("/v1/undo", post(trial::undo)),
        ("/v1/config/diff", post(config::diff)),
        ("/v1/reload", post(interfaces::reload)),
        ("/v1/detach", post(interfaces::detach_all)),
        ("/v1/interfaces/{name}/attach", post(interfaces::attach)),
        ("/v1/interfaces/{name}/detach", post(interfaces::detach)),
        ("/v1/openapi.json", get(openapi::serve)),
    ]
}

/// All of it, behind the door where roles are asked for.
pub fn router(api: Api) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), authorise))
        .with_state(api)
}

/// What is served to those who look while `lookers` do already.
pub fn full(lookers: usize) -> Router {
    Router::new().fallback(async move || {
        let message = format!(
            "{lookers} others look at the same time, more are not served; try again, or end some of \
             them"
        );
        ApiError::with_status(StatusCode::SERVICE_UNAVAILABLE, Refusal::failed(message))
    })
}

/// Looking takes one role, whatever else a method does takes the other: no route can forget it.
async fn authorise(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let (needed, group) = if looks {
        (Role::Read, &api.read_group)
    } else {
        (Role::Change, &api.admin_group)
    };
    if peer.role < needed {
        let verb = if looks { "look" } else { "change anything" };
        lists::drain(request.into_body(), &api.bounds, api.bounds.unwelcome).await;
        return Err(Refusal::not_permitted(format!(
            "uid {} may not {verb}: it takes root or the group `{group}`; add the user with \
             `usermod -aG {group} USER` and log in again",
            peer.uid
        ))
        .into());
    }
    if !looks {
        request.extensions_mut().insert(actor(peer.uid).await);
    }
    Ok(next.run(request).await)
}

/// The peer by name; looking it up may ask the network.
async fn actor(uid: u32) -> Actor {
    let look_up = move || nix::unistd::User::from_uid(uid.into()).ok().flatten();
    let user = tokio::task::spawn_blocking(look_up).await.ok().flatten();
    Actor::Operator {
        uid,
        name: user.map(|user| user.name),
    }
}

async fn not_found(uri: Uri) -> ApiError {
    let path = uri.path().escape_default();
    Refusal::not_found(format!(
        "there is no {path}; /v1/openapi.json describes what there is"
    ))
    .into()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let path = uri.path().escape_default();
    let message =
        format!("{path} does not know {method}; /v1/openapi.json describes what there is");
    ApiError::with_status(StatusCode::METHOD_NOT_ALLOWED, Refusal::invalid(message)).into_response()
}
