//! Rules and packets at random, close enough to each other to meet.

use filter_common::logic::{
    address::Address,
    packet::{Fragment, Packet, TcpFlags, Transport, protocol},
};
use ipnet::{Ipv4Net, Ipv6Net};
use proptest::{option, prelude::*, sample::select};

use super::{
    range::{Number, Span},
    rule::{
        Action, Addresses, Flags, LAST_OFFSET, MOST_PAYLOAD, Matches, Payload, Pieces, Ports,
        Protocol, Rule, Scope,
    },
};
use crate::config::units::{MOST_BURST_SECONDS, MOST_PACKETS, Rate};

/// Any rule that the parser could give.
pub fn rule() -> impl Strategy<Value = Rule> {
    (any::<bool>(), action(), matches()).prop_map(|(shadow, action, matches)| Rule {
        shadow,
        action,
        matches,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let limit = (rate(), any::<bool>()).prop_map(|(rate, per_source)| Action::Limit {
        rate,
        scope: if per_source {
            Scope::Source
        } else {
            Scope::All
        },
    });
    prop_oneof![Just(Action::Drop), Just(Action::Pass), limit]
}

fn rate() -> impl Strategy<Value = Rate> {
    let packets = prop_oneof![1..=MOST_PACKETS, (1..=10_u64).prop_map(|k| k * 1_000)];
    packets.prop_flat_map(|packets| {
        let burst = prop_oneof![Just(packets), 1..=packets * MOST_BURST_SECONDS];
        burst.prop_map(move |burst| Rate { packets, burst })
    })
}

/// Any conditions that some packet fulfils.
pub fn matches() -> impl Strategy<Value = Matches> {
    let fragment = prop_oneof![
        4 => Just(Pieces::All),
        1 => select(vec![Pieces::Whole, Pieces::First, Pieces::Later, Pieces::Any]),
    ];
    let fields = (
        addresses(),
        protocol(),
        span(lengths()),
        span(select(vec![0_u8, 1, 19, 20, 64, 128, 254, 255])),
        fragment,
        option::weighted(0.2, payload()),
    );
    let whole = |(addresses, protocol, length, ttl, fragment, payload)| Matches {
        addresses,
        protocol,
        length,
        ttl,
        fragment,
        payload,
    };
    fields.prop_map(whole).prop_map(made_possible)
}

/// Takes away what no packet can fulfil.
fn made_possible(mut matches: Matches) -> Matches {
    match (matches.protocol, matches.addresses) {
        (Protocol::Other(1), Addresses::V6 { .. }) => matches.protocol = Protocol::Other(58),
        (Protocol::Other(58), Addresses::V4 { .. }) => matches.protocol = Protocol::Other(1),
        _ => {}
    }
    if matches!(matches.protocol, Protocol::Other(number) if !matches!(number, 1 | 58)) {
        matches.payload = None;
    }
    if matches.fragment == Pieces::Later {
        matches.payload = None;
        matches.protocol = match matches.protocol {
            Protocol::Tcp(..) => Protocol::Tcp(Ports::all(), Flags::default()),
            Protocol::Udp(_) => Protocol::Udp(Ports::all()),
            Protocol::Any => Protocol::Any,
            Protocol::Other(number) => Protocol::Other(number),
        };
    }
    matches
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let v4 = || {
        (v4_address(), prop_oneof![Just(0_u8), 0..=32_u8]).prop_map(|(address, length)| {
            Ipv4Net::new(address.into(), length)
                .expect("at most 32")
                .trunc()
        })
    };
    let v6 = || {
        (v6_address(), prop_oneof![Just(0_u8), 0..=128_u8]).prop_map(|(address, length)| {
            Ipv6Net::new(address.into(), length)
                .expect("at most 128")
                .trunc()
        })
    };
    prop_oneof![
        Just(Addresses::Any),
        (v4(), v4()).prop_map(|(from, to)| Addresses::V4 { from, to }),
        (v6(), v6())
            .prop_filter("IPv4 in IPv6 clothing is read as IPv4", |(from, to)| {
                [from, to]
                    .iter()
                    .all(|net| net.prefix_len() < 96 || net.addr().to_ipv4_mapped().is_none())
            })
            .prop_map(|(from, to)| Addresses::V6 { from, to }),
    ]
}

/// Addresses with much in common.
pub fn v4_address() -> impl Strategy<Value = u32> {
    let near = select(vec![0xc633_6400_u32, 0xc633_6480, 0xc000_0200, 0x0a00_0000]);
    prop_oneof![4 => (near, 0..4_u32).prop_map(|(base, low)| base | low), 1 => any::<u32>()]
}

/// Addresses with much in common.
pub fn v6_address() -> impl Strategy<Value = u128> {
    let db8 = 0x2001_0db8_u128 << 96;
    let near = select(vec![db8, db8 | 1 << 64, db8 | 1 << 80, 0xfe80 << 112, 0]);
    prop_oneof![4 => (near, 0..4_u128).prop_map(|(base, low)| base | low), 1 => any::<u128>()]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    let ports = || {
        (span(ports()), span(ports())).prop_map(|(source, destination)| Ports {
            source,
            destination,
        })
    };
    let others = prop_oneof![select(vec![1_u8, 47, 50, 58]), any::<u8>()];
    prop_oneof![
        1 => Just(Protocol::Any),
        3 => (ports(), flags()).prop_map(|(ports, flags)| Protocol::Tcp(ports, flags)),
        3 => ports().prop_map(Protocol::Udp),
        1 => others
            .prop_filter("TCP and UDP have their own", |number| !matches!(number, 6 | 17))
            .prop_map(Protocol::Other),
    ]
}

/// Ports with much in common.
pub fn ports() -> impl Strategy<Value = u16> + Clone {
    prop_oneof![4 => select(vec![0_u16, 52, 53, 54, 123, 443, 1023, 1024, 65_535]), 1 => any::<u16>()]
}

/// Lengths with much in common.
pub fn lengths() -> impl Strategy<Value = u16> + Clone {
    prop_oneof![4 => select(vec![20_u16, 28, 40, 400, 401, 1500, 65_535]), 1 => any::<u16>()]
}

fn flags() -> impl Strategy<Value = Flags> {
    let some = (any::<u8>(), any::<u8>())
        .prop_map(|(value, mask)| Flags::new(value & mask, mask).expect("within the mask"));
    prop_oneof![Just(Flags::default()), some]
}

fn span<N: Number + std::fmt::Debug + 'static>(
    ends: impl Strategy<Value = N> + Clone + 'static,
) -> BoxedStrategy<Span<N>> {
    let some =
        (ends.clone(), ends).prop_map(|(a, b)| Span::new(a.min(b), a.max(b)).expect("in order"));
    prop_oneof![2 => Just(Span::all()), 1 => some].boxed()
}

fn payload() -> impl Strategy<Value = Payload> {
    let mask = prop_oneof![3 => Just(u8::MAX), 1 => any::<u8>()];
    let bytes = prop::collection::vec((0..4_u8, mask), 1..=MOST_PAYLOAD);
    (prop_oneof![0..4_u16, 0..=LAST_OFFSET], bytes).prop_map(|(offset, mut bytes)| {
        if let Some((_, mask)) = bytes.first_mut() {
            *mask |= 1;
        }
        let bytes = bytes.into_iter().map(|(value, mask)| (value & mask, mask));
        Payload::new(offset, bytes.collect()).expect("a pattern")
    })
}

/// A UDP packet with nothing odd about it.
pub fn plain_packet() -> Packet {
    Packet {
        source: Address::from(std::net::IpAddr::from([192, 0, 2, 1])),
        destination: Address::from(std::net::IpAddr::from([198, 51, 100, 1])),
        protocol: protocol::UDP,
        hops: 64,
        fragment: Fragment::Whole,
        fragment_id: 0,
        length: 28,
        payload: 42,
        end: 42,
        header: Transport::Udp {
            source_port: 1024,
            destination_port: 53,
        }
        .into(),
        defect: None,
    }
}

/// A packet that rules of [`rule`] have a chance with.
pub fn packet() -> impl Strategy<Value = Packet> {
    let ends = prop_oneof![
        (v4_address(), v4_address()).prop_map(|(a, b)| {
            [std::net::Ipv4Addr::from(a), b.into()].map(std::net::IpAddr::from)
        }),
        (v6_address(), v6_address()).prop_map(|(a, b)| {
            [std::net::Ipv6Addr::from(a), b.into()].map(std::net::IpAddr::from)
        }),
    ];
    let fragment = prop_oneof![
        4 => Just(Fragment::Whole),
        1 => Just(Fragment::First),
        1 => Just(Fragment::Later),
    ];
    let carried = prop_oneof![select(vec![1_u8, 6, 6, 17, 17, 47, 50, 58]), any::<u8>()];
    let hops = prop_oneof![select(vec![0_u8, 19, 20, 64, 255]), any::<u8>()];
    let transport = (ports(), ports(), any::<u8>(), prop::bool::weighted(0.9));
    (ends, fragment, carried, hops, lengths(), transport).prop_map(
        |([source, destination], fragment, carried, hops, length, transport)| {
            let (source_port, destination_port, flags, seen) = transport;
            let transport = match carried {
                _ if !seen || fragment == Fragment::Later => Transport::Opaque,
                protocol::TCP => Transport::Tcp {
                    source_port,
                    destination_port,
                    flags: TcpFlags(flags),
                },
                protocol::UDP => Transport::Udp {
                    source_port,
                    destination_port,
                },
                protocol::ICMP | protocol::ICMPV6 => Transport::Icmp { kind: 8, code: 0 },
                _ => Transport::Opaque,
            };
            Packet {
                source: source.into(),
                destination: destination.into(),
                protocol: carried,
                hops,
                fragment,
                length,
                header: transport.into(),
                ..plain_packet()
            }
        },
    )
}
