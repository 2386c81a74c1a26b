//! The control socket: HTTP/1.1 with JSON under `/v1`.

pub mod types;
