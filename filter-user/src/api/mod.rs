//! The control socket: HTTP/1.1 with JSON under `/v1`.

pub mod error;
mod extract;
pub mod openapi;
pub(crate) mod patience;
pub mod peer;
mod routes;
pub mod server;
pub mod types;
pub mod wish;

/// Every path that is served.
pub fn paths() -> Vec<&'static str> {
    routes::table().into_iter().map(|(path, _)| path).collect()
}
