//! Whom a rule is about: the sources whose everyday packets it covers, however it is spelled.

use std::net::IpAddr;

use filter_common::logic::packet::TcpFlags;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    core::facts::{Facts, Part},
    rules::{
        range::Span,
        rule::{Addresses, Flags, Matches, Pieces, Ports, Protocol},
    },
};

/// The sources of a rule from which it covers all everyday packets of some kind of TCP to some
/// address of this host.
pub(super) fn cut_off(matches: &Matches, facts: &Facts) -> Vec<IpNet> {
    let is_cut = |way: &Addresses| tcp(*way).iter().any(|kind| matches.covers(kind));
    let sources = sources(matches.addresses).into_iter();
    sources
        .filter(|source| ways(matches, *source, facts).iter().any(is_cut))
        .collect()
}

/// The sources of a rule from which it covers everyday packets of every kind to all addresses of
/// this host.
pub(super) fn let_in(matches: &Matches, facts: &Facts) -> Vec<IpNet> {
    let is_let = |way: &Addresses| {
        let mut kinds = tcp(*way);
        kinds.extend(udp(*way, CLIENTS, SERVERS));
        kinds.iter().all(|kind| matches.covers(kind))
    };
    let sources = sources(matches.addresses).into_iter();
    sources
        .filter(|source| ways(matches, *source, facts).iter().all(is_let))
        .collect()
}

/// Whether a rule covers everyday answers of a name server to some address of this host (RFC 1035).
pub(super) fn silences(matches: &Matches, resolver: IpAddr, facts: &Facts) -> bool {
    ways(matches, resolver.into(), facts)
        .into_iter()
        .flat_map(|way| udp(way, (DNS, DNS), CLIENTS))
        .any(|answers| matches.covers(&answers))
}

/// Ports that are first and last.
type Range = (u16, u16);

const DNS: u16 = 53;
/// Ports that clients begin from, on most systems.
const CLIENTS: Range = (32_768, 60_999);
/// Where most servers listen.
const SERVERS: Range = (22, 443);
/// What is left of the 64 and 128 that most systems begin with.
const HOPS: [(u8, u8); 2] = [(50, 64), (114, 128)];
/// How much longer the header of IPv6 is, in bytes.
const LONGER_V6: u16 = 20;

/// Packets that open a connection, that acknowledge, and that carry data.
fn tcp(way: Addresses) -> Vec<Matches> {
    const KINDS: [(u8, Range); 3] = [
        (TcpFlags::SYN, (52, 60)),
        (TcpFlags::ACK, (40, 52)),
        (TcpFlags::ACK | TcpFlags::PSH, (90, 1_400)),
    ];
    let ports = ports(CLIENTS, SERVERS);
    let kinds = KINDS.into_iter().flat_map(|(flags, length)| {
        let flags = Flags::new(flags, u8::MAX).unwrap_or_default();
        whole(way, Protocol::Tcp(ports, flags), length)
    });
    kinds.collect()
}

fn udp(way: Addresses, from: Range, to: Range) -> Vec<Matches> {
    whole(way, Protocol::Udp(ports(from, to)), (80, 512)).collect()
}

fn whole(way: Addresses, protocol: Protocol, length: Range) -> impl Iterator<Item = Matches> {
    let longer = match way {
        Addresses::V6 { .. } => LONGER_V6,
        Addresses::Any | Addresses::V4 { .. } => 0,
    };
    HOPS.into_iter().map(move |(least, most)| Matches {
        addresses: way,
        protocol,
        length: span(length.0 + longer, length.1 + longer),
        ttl: span(least, most),
        fragment: Pieces::Whole,
        payload: None,
    })
}

fn ports(from: Range, to: Range) -> Ports {
    Ports {
        source: span(from.0, from.1),
        destination: span(to.0, to.1),
    }
}

fn span<N: crate::rules::range::Number>(first: N, last: N) -> Span<N> {
    Span::new(first, last).unwrap_or_else(Span::all)
}

/// The sources that a rule names; those of both families if it names none.
fn sources(addresses: Addresses) -> Vec<IpNet> {
    match addresses {
        Addresses::Any => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        Addresses::V4 { from, .. } => vec![from.into()],
        Addresses::V6 { from, .. } => vec![from.into()],
    }
}

/// From a source to each address of this host in its family. Where these are unknown, the host may
/// be wherever the rule points; where there are none, only a rule for all destinations counts.
fn ways(matches: &Matches, source: IpNet, facts: &Facts) -> Vec<Addresses> {
    let own = facts.addresses.iter().map(|address| IpNet::from(*address));
    let pointed = match matches.addresses {
        Addresses::V4 { to, .. } => Some(IpNet::from(to)),
        Addresses::V6 { to, .. } => Some(IpNet::from(to)),
        Addresses::Any => None,
    };
    let unknown = facts.unknown.contains(&Part::Addresses);
    let all: Vec<Addresses> = own
        .chain(pointed.filter(|_| unknown))
        .filter_map(|to| way(source, to))
        .collect();
    if !all.is_empty() {
        return all;
    }
    let anywhere: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    let anywhere = anywhere.into_iter();
    anywhere.filter_map(|to| way(source, to)).collect()
}

/// `None` between families.
fn way(from: IpNet, to: IpNet) -> Option<Addresses> {
    match (from, to) {
        (IpNet::V4(from), IpNet::V4(to)) => Some(Addresses::V4 { from, to }),
        (IpNet::V6(from), IpNet::V6(to)) => Some(Addresses::V6 { from, to }),
        (IpNet::V4(_), IpNet::V6(_)) | (IpNet::V6(_), IpNet::V4(_)) => None,
    }
}
