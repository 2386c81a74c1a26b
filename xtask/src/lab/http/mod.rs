//! A small web server and its visitors, to see what a flood does to people.

mod client;
mod server;
mod visitors;

pub use client::Client;
pub use server::Server;
pub use visitors::Visitors;

pub use super::heard::Heard;

/// Where the server listens.
pub const PORT: u16 = 80;
