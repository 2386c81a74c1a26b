//! Facts about this host. Everything here only looks; nothing is changed.

pub mod addresses;
pub mod facts;
mod netlink;
pub mod resolvers;
pub mod sessions;
