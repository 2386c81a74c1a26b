//! What a rule is, and its canonical text.

use std::fmt;

use filter_common::logic::packet::{self, protocol};
use ipnet::{Ipv4Net, Ipv6Net};

use super::{names, range::Span};
use crate::config::units::Rate;

/// Most bytes of a payload's pattern.
pub const MOST_PAYLOAD: usize = 16;
/// The last byte behind the transport header that a pattern may start at.
pub const LAST_OFFSET: u16 = 1023;

/// A rule: what is done with the packets that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Only counts what it would do.
    pub shadow: bool,
    /// What it does.
    pub action: Action,
    /// With which packets.
    pub matches: Matches,
}

/// What is done with a packet that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Thrown away.
    Drop,
    /// Spared all that follows, except services' ceilings.
    Pass,
    /// Thrown away above a rate; within it, the next rule decides.
    Limit {
        /// The rate.
        rate: Rate,
        /// Of whom together.
        scope: Scope,
    },
}

/// Who shares a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that match.
    All,
    /// Each source by itself: an IPv4 address, an IPv6 /64.
    Source,
}

/// The conditions of a rule, all of which hold for a packet that it matches.
///
/// The parser refuses conditions that no packet can fulfil together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    /// Family and prefixes.
    pub addresses: Addresses,
    /// Protocol, and what only some protocols have.
    pub protocol: Protocol,
    /// Length of the IP packet in bytes, its header included.
    pub length: Span<u16>,
    /// Time to live, or hop limit.
    pub ttl: Span<u8>,
    /// Whole, or a piece.
    pub fragment: Pieces,
    /// Bytes behind the transport header.
    pub payload: Option<Payload>,
}

/// Between which addresses; a prefix of length 0 is any of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Any, of either family.
    Any,
    /// IPv4.
    V4 {
        /// Source.
        from: Ipv4Net,
        /// Destination.
        to: Ipv4Net,
    },
    /// IPv6.
    V6 {
        /// Source.
        from: Ipv6Net,
        /// Destination.
        to: Ipv6Net,
    },
}

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Any.
    Any,
    /// TCP.
    Tcp(Ports, Flags),
    /// UDP.
    Udp(Ports),
    /// Another, by its number (IANA), which is neither TCP's nor UDP's.
    Other(u8),
}

/// Source and destination port. A packet without ports has none of them, unless all will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source.
    pub source: Span<u16>,
    /// Destination.
    pub destination: Span<u16>,
}

impl Ports {
    /// Every port, and no port.
    pub fn all() -> Self {
        Self {
            source: Span::all(),
            destination: Span::all(),
        }
    }

    /// Whether there is a condition.
    pub fn is_all(self) -> bool {
        self.source.is_all() && self.destination.is_all()
    }
}

/// TCP flags: those in the mask have the values given; no mask is no condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    value: u8,
    mask: u8,
}

impl Flags {
    /// `None` if the value has flags that are not in the mask.
    pub const fn new(value: u8, mask: u8) -> Option<Self> {
        if value & !mask == 0 {
            Some(Self { value, mask })
        } else {
            None
        }
    }

    /// The flags that must be set.
    pub const fn value(self) -> u8 {
        self.value
    }

    /// The flags that are looked at.
    pub const fn mask(self) -> u8 {
        self.mask
    }

    /// Whether flags are as asked for.
    pub const fn contains(self, flags: u8) -> bool {
        flags & self.mask == self.value
    }

    /// Whether some flags would do for both.
    pub const fn meets(self, other: Self) -> bool {
        let both = self.mask & other.mask;
        self.value & both == other.value & both
    }
}

/// Which of whole packets, first pieces and later pieces; never none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// All three.
    All,
    /// Not fragmented.
    Whole,
    /// The piece with the transport header.
    First,
    /// Pieces without it.
    Later,
    /// Any piece of a fragmented packet.
    Any,
}

impl Pieces {
    /// Whether a packet of this kind is among them.
    pub const fn contains(self, fragment: packet::Fragment) -> bool {
        match self {
            Self::All => true,
            Self::Whole => matches!(fragment, packet::Fragment::Whole),
            Self::First => matches!(fragment, packet::Fragment::First),
            Self::Later => matches!(fragment, packet::Fragment::Later),
            Self::Any => !matches!(fragment, packet::Fragment::Whole),
        }
    }
}

/// Bytes at a place behind the transport header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    offset: u16,
    /// Value and mask of each byte.
    bytes: Vec<(u8, u8)>,
}

impl Payload {
    /// `None` if there are no bytes or more than [`MOST_PAYLOAD`], the offset is beyond
    /// [`LAST_OFFSET`], a value has bits outside its mask, or the masks are all zero.
    pub fn new(offset: u16, bytes: Vec<(u8, u8)>) -> Option<Self> {
        let within = bytes.iter().all(|(value, mask)| value & !mask == 0);
        let says_something = bytes.iter().any(|(_, mask)| *mask != 0);
        (offset <= LAST_OFFSET && bytes.len() <= MOST_PAYLOAD && within && says_something)
            .then_some(Self { offset, bytes })
    }

    /// Bytes between the end of the transport header and the first of the pattern.
    pub const fn offset(&self) -> u16 {
        self.offset
    }

    /// Value and mask of each byte.
    pub fn bytes(&self) -> &[(u8, u8)] {
        &self.bytes
    }

    /// Whether what follows the transport header, to the end of the IP packet, has the pattern.
    pub fn is_in(&self, payload: &[u8]) -> bool {
        let start = usize::from(self.offset);
        let Some(there) = payload.get(start..start.saturating_add(self.bytes.len())) else {
            return false;
        };
        there
            .iter()
            .zip(&self.bytes)
            .all(|(byte, (value, mask))| byte & mask == *value)
    }
}

impl Matches {
    /// What every packet matches.
    pub fn everything() -> Self {
        Self {
            addresses: Addresses::Any,
            protocol: Protocol::Any,
            length: Span::all(),
            ttl: Span::all(),
            fragment: Pieces::All,
            payload: None,
        }
    }
}

impl Protocol {
    /// The protocol of a number (IANA); the ports are for those that have some.
    pub fn from_number(number: u8, ports: Ports) -> Self {
        match number {
            protocol::TCP => Self::Tcp(ports, Flags::default()),
            protocol::UDP => Self::Udp(ports),
            other => Self::Other(other),
        }
    }

    /// The same protocol with other ports, where it has ports.
    #[must_use]
    pub const fn with_ports(self, ports: Ports) -> Self {
        match self {
            Self::Tcp(_, flags) => Self::Tcp(ports, flags),
            Self::Udp(_) => Self::Udp(ports),
            Self::Any | Self::Other(_) => self,
        }
    }

    /// Its number (IANA); `None` is any.
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Tcp(..) => Some(protocol::TCP),
            Self::Udp(_) => Some(protocol::UDP),
            Self::Other(number) => Some(number),
        }
    }

    /// The ports asked for.
    pub fn ports(self) -> Ports {
        match self {
            Self::Tcp(ports, _) | Self::Udp(ports) => ports,
            Self::Any | Self::Other(_) => Ports::all(),
        }
    }

    /// The flags asked for.
    pub fn flags(self) -> Flags {
        match self {
            Self::Tcp(_, flags) => flags,
            Self::Any | Self::Udp(_) | Self::Other(_) => Flags::default(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shadow {
            write!(formatter, "shadow ")?;
        }
        write!(formatter, "{} {}", self.action, self.matches)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => write!(formatter, "drop"),
            Self::Pass => write!(formatter, "pass"),
            Self::Limit { rate, scope } => match scope {
                Scope::All => write!(formatter, "limit {rate}"),
                Scope::Source => write!(formatter, "limit {rate} per source"),
            },
        }
    }
}

/// The clauses, in one order; `any` where there is none.
impl fmt::Display for Matches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clauses = Vec::new();
        self.addresses.family_clause(&mut clauses);
        clauses.extend(self.protocol.clause());
        self.addresses.prefix_clauses(&mut clauses);
        let ports = self.protocol.ports();
        for (word, ports) in [("sport", ports.source), ("dport", ports.destination)] {
            if !ports.is_all() {
                clauses.push(format!("{word} {ports}"));
            }
        }
        let flags = self.protocol.flags();
        if flags != Flags::default() {
            clauses.push(format!("flags {flags}"));
        }
        if !self.length.is_all() {
            clauses.push(format!("length {}", self.length));
        }
        if !self.ttl.is_all() {
            clauses.push(format!("ttl {}", self.ttl));
        }
        if let Some(word) = names::of_pieces(self.fragment) {
            clauses.push(format!("fragment {word}"));
        }
        if let Some(payload) = &self.payload {
            clauses.push(format!("payload {payload}"));
        }
        if clauses.is_empty() {
            clauses.push("any".to_owned());
        }
        write!(formatter, "{}", clauses.join(" "))
    }
}

impl Addresses {
    /// The family, where no prefix tells it.
    fn family_clause(self, clauses: &mut Vec<String>) {
        match self {
            Self::V4 { from, to } if from.prefix_len() == 0 && to.prefix_len() == 0 => {
                clauses.push("ip".to_owned());
            }
            Self::V6 { from, to } if from.prefix_len() == 0 && to.prefix_len() == 0 => {
                clauses.push("ip6".to_owned());
            }
            Self::Any | Self::V4 { .. } | Self::V6 { .. } => {}
        }
    }

    fn prefix_clauses(self, clauses: &mut Vec<String>) {
        let sides = match self {
            Self::Any => return,
            Self::V4 { from, to } => [("from", from.into()), ("to", to.into())],
            Self::V6 { from, to } => [("from", from.into()), ("to", ipnet::IpNet::from(to))],
        };
        for (word, prefix) in sides {
            match prefix.prefix_len() {
                0 => {}
                length if length == prefix.max_prefix_len() => {
                    clauses.push(format!("{word} {}", prefix.addr()));
                }
                _ => clauses.push(format!("{word} {prefix}")),
            }
        }
    }
}

impl Protocol {
    fn clause(self) -> Option<String> {
        let number = self.number()?;
        Some(match names::of_protocol(number) {
            Some(name) => name.to_owned(),
            None => format!("proto {number}"),
        })
    }
}

/// `SYN/SYN,ACK`, or `SYN` where all that are looked at must be set.
impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value == self.mask {
            return write!(formatter, "{}", names::of_flags(self.mask));
        }
        let [value, mask] = [self.value, self.mask].map(names::of_flags);
        write!(formatter, "{value}/{mask}")
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "0x")?;
        for (value, _) in &self.bytes {
            write!(formatter, "{value:02x}")?;
        }
        if self.bytes.iter().any(|(_, mask)| *mask != u8::MAX) {
            write!(formatter, "/0x")?;
            for (_, mask) in &self.bytes {
                write!(formatter, "{mask:02x}")?;
            }
        }
        write!(formatter, " at {}", self.offset)
    }
}
