//! Where a protected service is reached.

use ipnet::IpNet;

/// The packets of a protected service: those to one of its addresses, of its protocol, to its
/// port. A packet of several services belongs to the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceMatch {
    /// Addresses and prefixes that it has, of both families; at least one.
    pub to: Vec<IpNet>,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, where the protocol has ports; `None` is all of them, later fragments too.
    pub port: Option<u16>,
}

impl ServiceMatch {
    /// Whether every packet of `other` is one of this service too, as far as one prefix of the one
    /// covers one of the other.
    pub fn covers(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && (self.port.is_none() || self.port == other.port)
            && other
                .to
                .iter()
                .all(|prefix| self.to.iter().any(|wider| wider.contains(prefix)))
    }
}
