//! The ways in which one can be attacked, whom it can be aimed at, and how far it has come.

use std::fmt;

use filter_common::abi::traffic::TrafficClass;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A way of attack that has a baseline, a threshold and a state of its own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Vector {
    /// SYNs.
    Syn,
    /// SYN-ACKs, as reflection from real servers brings them.
    SynAck,
    /// ACKs and data.
    Ack,
    /// RST and FIN.
    Close,
    /// Completed handshakes.
    Connections,
    /// UDP.
    Udp,
    /// UDP from ports of known reflectors.
    Reflection,
    /// ICMP.
    Icmp,
    /// Fragments.
    Fragments,
    /// Other IP protocols.
    Protocols,
    /// What no sane host sends.
    Malformed,
}

impl Vector {
    /// Every vector.
    pub const ALL: [Self; 11] = [
        Self::Syn,
        Self::SynAck,
        Self::Ack,
        Self::Close,
        Self::Connections,
        Self::Udp,
        Self::Reflection,
        Self::Icmp,
        Self::Fragments,
        Self::Protocols,
        Self::Malformed,
    ];

    /// The vector that a class of traffic speaks for; none for what is not IP.
    pub const fn of(class: TrafficClass) -> Option<Self> {
        match class {
            TrafficClass::Syn => Some(Self::Syn),
            TrafficClass::SynAck => Some(Self::SynAck),
            TrafficClass::Ack => Some(Self::Ack),
            TrafficClass::Close => Some(Self::Close),
            TrafficClass::Udp => Some(Self::Udp),
            TrafficClass::Reflected => Some(Self::Reflection),
            TrafficClass::Icmp => Some(Self::Icmp),
            TrafficClass::Fragment => Some(Self::Fragments),
            TrafficClass::Protocol => Some(Self::Protocols),
            TrafficClass::Malformed => Some(Self::Malformed),
            TrafficClass::Other => None,
        }
    }

    /// The class of traffic that speaks for it; none for handshakes, which are counted apart.
    pub const fn class(self) -> Option<TrafficClass> {
        match self {
            Self::Syn => Some(TrafficClass::Syn),
            Self::SynAck => Some(TrafficClass::SynAck),
            Self::Ack => Some(TrafficClass::Ack),
            Self::Close => Some(TrafficClass::Close),
            Self::Connections => None,
            Self::Udp => Some(TrafficClass::Udp),
            Self::Reflection => Some(TrafficClass::Reflected),
            Self::Icmp => Some(TrafficClass::Icmp),
            Self::Fragments => Some(TrafficClass::Fragment),
            Self::Protocols => Some(TrafficClass::Protocol),
            Self::Malformed => Some(TrafficClass::Malformed),
        }
    }

    /// Its name, as in the API, in metrics and in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "syn_ack",
            Self::Ack => "ack",
            Self::Close => "close",
            Self::Connections => "connections",
            Self::Udp => "udp",
            Self::Reflection => "reflection",
            Self::Icmp => "icmp",
            Self::Fragments => "fragments",
            Self::Protocols => "protocols",
            Self::Malformed => "malformed",
        }
    }

    /// What it is, for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syn => "SYN flood",
            Self::SynAck => "SYN-ACK reflection",
            Self::Ack => "ACK flood",
            Self::Close => "RST or FIN flood",
            Self::Connections => "connection flood",
            Self::Udp => "UDP flood",
            Self::Reflection => "UDP amplification",
            Self::Icmp => "ICMP flood",
            Self::Fragments => "fragment flood",
            Self::Protocols => "flood of other IP protocols",
            Self::Malformed => "flood of malformed packets",
        }
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What an attack is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// A service: a protocol ("tcp" is 6, "udp" 17) and a port of this host.
    Service {
        /// IP protocol.
        protocol: u8,
        /// Port.
        port: u16,
    },
    /// The whole host, or a whole class of traffic.
    Host,
    /// Many addresses of a prefix, each under its own threshold.
    Prefix {
        /// The prefix.
        #[schema(value_type = String)]
        prefix: IpNet,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { protocol: 6, port } => write!(formatter, "tcp/{port}"),
            Self::Service { protocol: 17, port } => write!(formatter, "udp/{port}"),
            Self::Service { protocol, port } => write!(formatter, "{protocol}/{port}"),
            Self::Host => formatter.write_str("this host"),
            Self::Prefix { prefix } => write!(formatter, "{prefix}"),
        }
    }
}

/// How far an attack has come.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// As always.
    #[default]
    Calm,
    /// Above what is usual, not for long enough.
    Suspected,
    /// Under attack.
    Attack,
    /// Back to what is usual, not for long enough.
    Recovering,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Calm => "calm",
            Self::Suspected => "suspected",
            Self::Attack => "under attack",
            Self::Recovering => "recovering",
        })
    }
}
