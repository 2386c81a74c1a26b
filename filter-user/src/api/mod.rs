//! The control socket: HTTP/1.1 with JSON under `/v1`.

pub mod error;
mod extract;
pub mod openapi;
mod patience;
pub mod peer;
mod routes;
pub mod server;
#[cfg(test)]
mod tests;
pub mod types;
pub mod wish;
