//! floodwall in userspace: the daemon that tunes the filter, remembers, and answers operators, and
//! the command line that talks to it.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod daemon;
pub mod dataplane;
pub mod detect;
pub mod host;
pub mod metrics;
pub mod render;
pub mod rules;
pub mod sets;
pub mod stats;
pub mod store;
pub mod version;
