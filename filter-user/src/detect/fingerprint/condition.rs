//! What a fingerprint is made of.

use std::net::IpAddr;

use filter_common::logic::{
    address::{Address, Family},
    packet::{Fragment, Header, Packet, Transport, protocol},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    detect::input::Observed,
    rules::{
        matches::header_matches,
        range::Span,
        rule::{Addresses, Flags, Matches, Payload, Pieces, Ports, Protocol},
    },
};

/// A condition of a rule, beside the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// IPv4 or IPv6.
    Family(Family),
    /// Destination.
    Destination(IpNet),
    /// Source port.
    SourcePort(Span<u16>),
    /// Destination port.
    DestinationPort(Span<u16>),
    /// TCP flags.
    Flags(Flags),
    /// Whole, or a piece.
    Fragment(Pieces),
    /// Length of the IP packet.
    Length(Span<u16>),
    /// Time to live, or hop limit.
    Hops(Span<u8>),
    /// Bytes behind the transport header.
    Payload(Payload),
}

/// Kinds of conditions, of each of which a rule can have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dimension {
    DestinationPort,
    SourcePort,
    Flags,
    Fragment,
    Payload,
    Length,
    Hops,
    Addresses,
}

impl Condition {
    pub const fn dimension(&self) -> Dimension {
        match self {
            Self::Family(_) | Self::Destination(_) => Dimension::Addresses,
            Self::SourcePort(_) => Dimension::SourcePort,
            Self::DestinationPort(_) => Dimension::DestinationPort,
            Self::Flags(_) => Dimension::Flags,
            Self::Fragment(_) => Dimension::Fragment,
            Self::Length(_) => Dimension::Length,
            Self::Hops(_) => Dimension::Hops,
            Self::Payload(_) => Dimension::Payload,
        }
    }

    /// Whether it holds for a packet, as a rule means it.
    pub fn holds(&self, seen: &Observed) -> bool {
        match self {
            Self::Family(Family::V4) => seen.source.is_ipv4(),
            Self::Family(Family::V6) => seen.source.is_ipv6(),
            Self::Destination(prefix) => prefix.contains(&seen.destination),
            Self::SourcePort(span) => seen.ports.is_some_and(|(port, _)| span.contains(port)),
            Self::DestinationPort(span) => seen.ports.is_some_and(|(_, port)| span.contains(port)),
            Self::Flags(flags) => seen.ports.is_some() && flags.contains(seen.flags.0),
            Self::Fragment(pieces) => pieces.contains(piece(seen)),
            Self::Length(span) => span.contains(seen.length),
            Self::Hops(span) => span.contains(seen.hops),
            Self::Payload(pattern) => pattern.is_in(seen.payload.as_slice()),
        }
    }

    /// Whether it names one value, and not a range of them.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Family(_) => false,
            Self::Destination(prefix) => prefix.prefix_len() == prefix.max_prefix_len(),
            Self::SourcePort(span) | Self::DestinationPort(span) | Self::Length(span) => {
                span.first() == span.last()
            }
            Self::Hops(span) => span.first() == span.last(),
            Self::Flags(_) | Self::Fragment(_) | Self::Payload(_) => true,
        }
    }

    fn add_to(&self, matches: &mut Matches) {
        let with_ports = |matches: &mut Matches, change: &dyn Fn(&mut Ports)| {
            let mut ports = matches.protocol.ports();
            change(&mut ports);
            matches.protocol = matches.protocol.with_ports(ports);
        };
        match self {
            Self::Family(Family::V4) => matches.addresses = to(Ipv4Net::default().into()),
            Self::Family(Family::V6) => matches.addresses = to(Ipv6Net::default().into()),
            Self::Destination(prefix) => matches.addresses = to(*prefix),
            Self::SourcePort(span) => with_ports(matches, &|ports| ports.source = *span),
            Self::DestinationPort(span) => with_ports(matches, &|ports| ports.destination = *span),
            Self::Flags(flags) => {
                if let Protocol::Tcp(ports, _) = matches.protocol {
                    matches.protocol = Protocol::Tcp(ports, *flags);
                }
            }
            Self::Fragment(pieces) => matches.fragment = *pieces,
            Self::Length(span) => matches.length = *span,
            Self::Hops(span) => matches.ttl = *span,
            Self::Payload(pattern) => matches.payload = Some(pattern.clone()),
        }
    }
}

fn to(prefix: IpNet) -> Addresses {
    match prefix {
        IpNet::V4(to) => Addresses::V4 {
            from: Ipv4Net::default(),
            to,
        },
        IpNet::V6(to) => Addresses::V6 {
            from: Ipv6Net::default(),
            to,
        },
    }
}

/// The conditions of a rule on a protocol.
pub(super) fn matches<'c>(
    protocol: u8,
    conditions: impl IntoIterator<Item = &'c Condition>,
) -> Matches {
    let mut matches = Matches {
        protocol: Protocol::from_number(protocol, Ports::all()),
        ..Matches::everything()
    };
    for condition in conditions {
        condition.add_to(&mut matches);
    }
    matches
}

/// Whether a rule would match a packet.
pub fn fits(wanted: &Matches, seen: &Observed) -> bool {
    let header: Header = match (seen.protocol, seen.ports, seen.icmp) {
        (protocol::TCP, Some((source_port, destination_port)), _) => Transport::Tcp {
            source_port,
            destination_port,
            flags: seen.flags,
        },
        (protocol::UDP, Some((source_port, destination_port)), _) => Transport::Udp {
            source_port,
            destination_port,
        },
        (_, _, Some((kind, code))) => Transport::Icmp { kind, code },
        _ => Transport::Opaque,
    }
    .into();
    let packet = Packet {
        source: Address::from(seen.source),
        destination: Address::from(seen.destination),
        protocol: seen.protocol,
        hops: seen.hops,
        fragment: piece(seen),
        fragment_id: 0,
        length: seen.length,
        payload: 0,
        end: 0,
        header,
        defect: None,
    };
    let pattern = wanted.payload.as_ref();
    header_matches(wanted, &packet)
        && pattern.is_none_or(|pattern| pattern.is_in(seen.payload.as_slice()))
}

fn piece(seen: &Observed) -> Fragment {
    match (
        seen.is_fragment,
        seen.ports.is_some() || seen.icmp.is_some(),
    ) {
        (false, _) => Fragment::Whole,
        (true, true) => Fragment::First,
        (true, false) => Fragment::Later,
    }
}

/// The network that limits go by: an IPv4 address, an IPv6 /64.
pub(super) fn source_key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}
