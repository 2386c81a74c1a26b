//! The daemon: one thread that owns everything that changes.

pub mod handle;
