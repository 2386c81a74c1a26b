//! Facts about this host. Everything here only looks; nothing is changed.

pub mod addresses;
pub mod doctor;
pub mod ethtool;
pub mod facts;
pub mod links;
mod netlink;
pub mod resolvers;
pub mod sessions;
pub mod sockets;
