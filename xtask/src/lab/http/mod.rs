//! A small web server and its visitors, to see what a flood does to people.

mod client;
mod server;

pub use client::{Client, Heard};
pub use server::Server;

/// Where the server listens.
pub const PORT: u16 = 80;

/// Waits until a socket can be read or accepted from.
fn wait_for_input(socket: &impl std::os::fd::AsRawFd, patience: std::time::Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, valid during the call.
    unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) > 0 }
}
