//! A rule's conditions as one set of numbers for each dimension of a packet.

use std::net::IpAddr;

use filter_common::logic::{address::Address, classify::Root, packet::Fragment, tree::KEY_LIMIT};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    range::Span,
    rule::{Addresses, Flags, Matches, Pieces, Ports, Protocol},
    service::ServiceMatch,
};

/// What packets a rule could match, its payload aside: in each dimension a set of numbers, and a
/// packet is in the region if it is in all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Families: IPv4, IPv6.
    pub families: [bool; 2],
    /// IP protocol number; `None` is any.
    pub protocol: Option<u8>,
    /// TCP flags.
    pub flags: Flags,
    /// Time to live.
    pub hops: Span<u8>,
    /// The set of forms, as bits: see [`filter_common::logic::classify::form`].
    pub forms: u8,
    /// Source and destination ports.
    pub ports: Ports,
    /// Length of the IP packet.
    pub length: Span<u16>,
    /// Source.
    pub source: Side,
    /// Destination.
    pub destination: Side,
}

/// Prefixes of one end of the packet, of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side(Vec<IpNet>);

/// Numbers from the first to the last in the tree of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which tree.
    pub root: Root,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// Forms in which the transport header is seen.
const SEEN: u8 = 0b0111_0000;

impl Region {
    /// Of a rule's conditions.
    pub fn of(matches: &Matches) -> Self {
        let (families, source, destination) = match matches.addresses {
            Addresses::Any => ([true, true], Side::any(), Side::any()),
            Addresses::V4 { from, to } => {
                let [from, to] = [from, to].map(|net| Side(vec![net.into()]));
                ([true, false], from, to)
            }
            Addresses::V6 { from, to } => {
                let [from, to] = [from, to].map(|net| Side(vec![net.into()]));
                ([false, true], from, to)
            }
        };
        Self {
            families,
            protocol: matches.protocol.number(),
            flags: matches.protocol.flags(),
            hops: matches.ttl,
            forms: forms(matches),
            ports: matches.protocol.ports(),
            length: matches.length,
            source,
            destination,
        }
    }

    /// Of a service's packets.
    pub fn of_service(service: &ServiceMatch) -> Self {
        let ports = Ports {
            source: Span::all(),
            destination: service.port.map_or_else(Span::all, Span::one),
        };
        let protocol = Protocol::from_number(service.protocol, ports);
        let everywhere = Self::of(&Matches {
            protocol,
            ..Matches::everything()
        });
        let has = |v4| {
            service
                .to
                .iter()
                .any(|net| matches!(net, IpNet::V4(_)) == v4)
        };
        Self {
            families: [has(true), has(false)],
            destination: Side(service.to.clone()),
            ..everywhere
        }
    }

    /// Whether some packet could be in both.
    pub fn meets(&self, other: &Self) -> bool {
        let protocols = match (self.protocol, other.protocol) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        let families = self.families.iter().zip(other.families);
        protocols
            && families.into_iter().any(|(one, two)| *one && two)
            && self.flags.meets(other.flags)
            && self.hops.meets(other.hops)
            && self.forms & other.forms != 0
            && self.ports.source.meets(other.ports.source)
            && self.ports.destination.meets(other.ports.destination)
            && self.length.meets(other.length)
            && self.source.meets(&other.source)
            && self.destination.meets(&other.destination)
    }

    /// Whether a packet of this family (0: IPv4, 1: IPv6) and protocol is in it.
    pub fn has_protocol(&self, family: usize, protocol: u8) -> bool {
        self.families.get(family).is_some_and(|family| *family)
            && self.protocol.is_none_or(|own| own == protocol)
    }
}

/// The forms of packets that can have all that is asked for.
fn forms(matches: &Matches) -> u8 {
    let needs_header = !matches.protocol.ports().is_all()
        || matches.protocol.flags().mask() != 0
        || matches.payload.is_some();
    let pieces = pieces(matches.fragment);
    // Three bits for headers that are not seen, a gap, and three for those that are.
    let both = pieces | pieces << 4;
    if needs_header { both & SEEN } else { both }
}

/// Bits by the numbers of pieces in a form.
fn pieces(wanted: Pieces) -> u8 {
    [Fragment::Whole, Fragment::First, Fragment::Later]
        .into_iter()
        .zip([1, 2, 4])
        .filter(|(fragment, _)| wanted.contains(*fragment))
        .fold(0, |set, (_, bit)| set | bit)
}

impl Side {
    fn any() -> Self {
        Self(vec![Ipv4Net::default().into(), Ipv6Net::default().into()])
    }

    fn meets(&self, other: &Self) -> bool {
        let meet = |one: &IpNet, two: &IpNet| one.contains(two) || two.contains(one);
        self.0
            .iter()
            .any(|one| other.0.iter().any(|two| meet(one, two)))
    }

    /// Whether an IPv6 address is in it if and only if its halves are in [`Side::high`] and
    /// [`Side::low`]: so it is if all prefixes have all second halves, or one first half, or one
    /// and the same second half.
    pub fn is_product(&self) -> bool {
        let v6 = || self.0.iter().filter(|net| matches!(net, IpNet::V6(_)));
        let high = |net: &IpNet| numbers(net.network())[0];
        let low = |net: &IpNet| (numbers(net.network())[1], net.prefix_len());
        let is_long = |net: &IpNet| net.prefix_len() > 64;
        if !v6().any(is_long) {
            return true;
        }
        let all = |agree: &dyn Fn(&IpNet, &IpNet) -> bool| {
            v6().zip(v6().skip(1)).all(|(one, two)| agree(one, two))
        };
        v6().all(is_long)
            && (all(&|one, two| high(one) == high(two)) || all(&|one, two| low(one) == low(two)))
    }

    /// The numbers in the trees of IPv4 addresses and of first halves of IPv6 addresses.
    pub fn high(&self) -> Vec<Stretch> {
        let all = self.0.iter().flat_map(|net| {
            let [first, _] = numbers(net.network());
            let [last, _] = numbers(net.broadcast());
            match net {
                IpNet::V4(_) => vec![Stretch {
                    root: Root::V4,
                    first,
                    last,
                }],
                IpNet::V6(_) => halves(first, last, [Root::High0, Root::High1]),
            }
        });
        merged(all.collect())
    }

    /// The numbers in the trees of second halves of IPv6 addresses.
    pub fn low(&self) -> Vec<Stretch> {
        let v6 = self.0.iter().filter(|net| matches!(net, IpNet::V6(_)));
        let all = v6.flat_map(|net| {
            // A prefix up to /64 has every second half.
            let [_, first] = numbers(net.network());
            let [_, last] = numbers(net.broadcast());
            halves(first, last, [Root::Low0, Root::Low1])
        });
        merged(all.collect())
    }
}

/// The same numbers in stretches that neither overlap nor touch.
fn merged(mut all: Vec<Stretch>) -> Vec<Stretch> {
    all.sort_by_key(|stretch| (stretch.root as u32, stretch.first));
    let mut apart: Vec<Stretch> = Vec::with_capacity(all.len());
    for stretch in all {
        match apart.last_mut() {
            Some(before)
                if before.root == stretch.root
                    && stretch.first <= before.last.saturating_add(1) =>
            {
                before.last = before.last.max(stretch.last);
            }
            _ => apart.push(stretch),
        }
    }
    apart
}

fn numbers(address: IpAddr) -> [u64; 2] {
    Address::from(address).numbers()
}

/// A stretch of 64-bit numbers in the two trees that share them by the top bit.
fn halves(first: u64, last: u64, [below, above]: [Root; 2]) -> Vec<Stretch> {
    let mut all = Vec::new();
    if first < KEY_LIMIT {
        all.push(Stretch {
            root: below,
            first,
            last: last.min(KEY_LIMIT - 1),
        });
    }
    if last >= KEY_LIMIT {
        all.push(Stretch {
            root: above,
            first: first.saturating_sub(KEY_LIMIT),
            last: last - KEY_LIMIT,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use filter_common::logic::{
        classify::form,
        packet::{Packet, Transport},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{matches::header_matches, strategy};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_packet_that_two_rules_match_is_in_both_regions(
            one in strategy::matches(),
            two in strategy::matches(),
            packet in strategy::packet(),
        ) {
            if header_matches(&one, &packet) && header_matches(&two, &packet) {
                let both_have_headers = form(&packet) & 4 != 0
                    || (one.payload.is_none() && two.payload.is_none());
                let [one, two] = [&one, &two].map(Region::of);
                if both_have_headers {
                    prop_assert!(one.meets(&two) && two.meets(&one));
                }
            }
        }
    }

    #[test]
    fn forms_are_those_of_packets() {
        let seen = Transport::Icmp { kind: 8, code: 0 };
        for (wanted, fragment) in [
            (Pieces::Whole, Fragment::Whole),
            (Pieces::First, Fragment::First),
            (Pieces::Later, Fragment::Later),
        ] {
            for transport in [seen, Transport::Opaque] {
                let packet = Packet {
                    fragment,
                    header: transport.into(),
                    ..strategy::plain_packet()
                };
                let matches = Matches {
                    fragment: wanted,
                    ..Matches::everything()
                };
                assert_ne!(forms(&matches) & 1 << form(&packet), 0, "{wanted:?}");
                let other = Matches {
                    fragment: Pieces::All,
                    ..Matches::everything()
                };
                assert_ne!(forms(&other) & 1 << form(&packet), 0);
            }
        }
    }
}
