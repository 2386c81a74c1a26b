//! What the core is told about the host.

use std::net::{IpAddr, SocketAddr};

/// What must not be cut off by accident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Addresses of this host.
    pub addresses: Vec<IpAddr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
    /// Its resolvers.
    pub resolvers: Vec<IpAddr>,
    /// Administrators' sessions.
    pub sessions: Vec<Session>,
}

/// An administrator's session, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The other end.
    pub peer: SocketAddr,
    /// Port on this host.
    pub local_port: u16,
}
