//! Random frames that are nearly right.

use std::net::IpAddr;

use proptest::{
    prelude::{Strategy, any, prop, prop_oneof},
    strategy::{BoxedStrategy, Just},
};

use crate::frame::{
    ACK, AUTHENTICATION, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, IGMP, MOBILITY, ROUTING,
    SYN, TCP, UDP, datagram, icmp, tagged, tcp, udp, v4, v6,
};

/// Ports that situations speak of, beside others.
pub const PORTS: [u16; 6] = [22, 53, 80, 443, 123, 4500];

/// Frames from anywhere.
pub fn frames() -> impl Strategy<Value = Vec<u8>> {
    let pool = ["192.0.2.1", "198.51.100.77", "2001:db8::7", "3fff::1"];
    frame(&pool.map(|address| address.parse().expect("an address")))
}

/// Frames that are nearly right: well-formed ones, of which some bytes are changed, and some
/// ends are cut off or padded; and noise. Most come from one of the `pool`.
pub fn frame(pool: &[IpAddr]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let (pool4, pool6): (Vec<IpAddr>, Vec<IpAddr>) = pool.iter().partition(|it| it.is_ipv4());
    let tags = prop::collection::vec(prop_oneof![Just(0x8100), Just(0x88a8), Just(0x9100)], 0..4);
    let tags = prop_oneof![3 => Just(Vec::new()), 1 => tags];
    let packet = prop_oneof![packet4(pool4), packet6(pool6)];
    // Boxed, for a tree of values that holds them all overflows the stack of a test.
    let formed = (tags, packet)
        .prop_map(|(tags, (ethertype, packet))| tagged(&tags, ethertype, &packet))
        .boxed();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let bent = (formed, prop_oneof![2 => Just(Vec::new()), 1 => changes]).prop_map(
        |(mut frame, changes)| {
            for (at, value) in changes {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            frame
        },
    );
    let cut = (
        bent,
        prop::option::weighted(0.15, any::<prop::sample::Index>()),
    )
        .prop_map(|(mut frame, cut)| {
            if let Some(cut) = cut {
                frame.truncate(cut.index(frame.len()).max(14));
            }
            frame
        });
    let padding = prop_oneof![3 => Just(0), 1 => 1..24_usize];
    let padded = (cut, padding).prop_map(|(frame, padding)| [frame, vec![0; padding]].concat());
    let noise = prop::collection::vec(any::<u8>(), 14..200);
    prop_oneof![20 => padded, 1 => noise]
}

type Packet = (u16, Vec<u8>);

fn packet4(pool: Vec<IpAddr>) -> impl Strategy<Value = Packet> {
    let odd = vec![0_u32, 0x7f00_0001, 0xe000_0001, 0xc000_0201, 0xcb00_7101];
    let source = prop_oneof![
        16 => prop::sample::select(pool).prop_map(|it| it.to_string()),
        2 => any::<u32>().prop_map(|it| std::net::Ipv4Addr::from(it).to_string()),
        1 => prop::sample::select(odd).prop_map(|it| std::net::Ipv4Addr::from(it).to_string()),
    ];
    let pieces = prop_oneof![
        3 => Just((0, false)),
        1 => (prop::sample::select(vec![0, 1, 2, 185, 8188, 8191]), any::<bool>()),
    ];
    (source, carried(), hops(), 0..11_usize, pieces).prop_map(
        |(source, (protocol, payload), hops, options, (offset, more))| {
            let packet = v4(&source, protocol, payload)
                .hops(hops)
                .options(options * 4)
                .piece(offset, more);
            (0x0800, packet.packet())
        },
    )
}

fn packet6(pool: Vec<IpAddr>) -> impl Strategy<Value = Packet> {
    let odd = vec![
        0,
        1,
        2,
        0xfe80 << 112 | 1,
        0xff02 << 112 | 1,
        0xffff_c000_0201,
        0x2001_0db8 << 96 | 7,
    ];
    let source = prop_oneof![
        16 => prop::sample::select(pool).prop_map(|it| it.to_string()),
        2 => any::<u128>().prop_map(|it| std::net::Ipv6Addr::from(it).to_string()),
        3 => prop::sample::select(odd).prop_map(|it: u128| std::net::Ipv6Addr::from(it).to_string()),
    ];
    let kinds = prop::sample::select(vec![
        HOP_BY_HOP,
        ROUTING,
        AUTHENTICATION,
        DESTINATION,
        MOBILITY,
        FRAGMENT,
    ]);
    let offset = prop::sample::select(vec![0, 0, 0, 1, 2, 8191]);
    let chain = prop::collection::vec((kinds, 0..3_u8, offset, any::<bool>()), 0..8);
    (source, carried(), hops(), chain).prop_map(|(source, (protocol, payload), hops, chain)| {
        let mut packet = v6(&source, protocol, payload).hops(hops);
        for (kind, more, offset, is_more) in chain {
            packet = match kind {
                FRAGMENT => packet.piece(offset, is_more),
                _ => packet.header(kind, more),
            };
        }
        (0x86dd, packet.packet())
    })
}

fn hops() -> impl Strategy<Value = u8> {
    prop_oneof![Just(255), Just(1), any::<u8>()]
}

/// A protocol, and what it carries.
fn carried() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let ports = || {
        prop_oneof![
            1 => any::<u16>(),
            1 => prop::sample::select(vec![0, 67, 68, 546, 547]),
            3 => prop::sample::select(PORTS.to_vec()),
        ]
        .boxed()
    };
    let flags = prop_oneof![2 => Just(ACK), 2 => Just(SYN), 1 => any::<u8>()];
    let tcp = (ports(), ports(), flags).prop_map(|(from, to, flags)| (TCP, tcp(from, to, flags)));
    let udp = (ports(), ports()).prop_map(|(from, to)| (UDP, udp(from, to)));
    let data = prop::collection::vec(prop_oneof![Just(0x81), Just(0x23), any::<u8>()], 0..5);
    let asking =
        (ports(), ports(), data).prop_map(|(from, to, data)| (UDP, datagram(from, to, &data)));
    let code = || prop_oneof![3 => Just(0), 1 => any::<u8>()];
    let discovery = (128..144_u8, code()).prop_map(|(kind, code)| (ICMPV6, icmp(kind, code)));
    let message = (any::<u8>(), code()).prop_map(|(kind, code)| (ICMP, icmp(kind, code)));
    let kinds = prop_oneof![
        2 => prop::sample::select(vec![(3, 4), (2, 0)]),
        3 => (prop::sample::select(vec![1, 2, 3, 4, 5, 11, 12]), code()),
    ];
    let quoted = prop_oneof![
        v4_to_nobody(ports(), ports()).boxed(),
        v6_to_nobody(ports(), ports()).boxed(),
    ];
    let error = (prop::sample::select(vec![ICMP, ICMPV6]), kinds, quoted).prop_map(
        |(protocol, (kind, code), quoted)| {
            let header = vec![kind, code, 0, 0, 0, 0, 5, 0];
            (protocol, [header, quoted].concat())
        },
    );
    let other =
        (any::<u8>(), 0..40_usize).prop_map(|(protocol, length)| (protocol, vec![0; length]));
    let group = Just((IGMP, vec![0x16; 8]));
    // As a first fragment, too small for its header.
    let tiny = (prop::sample::select(vec![TCP, UDP]), 0..20_usize)
        .prop_map(|(protocol, length)| (protocol, vec![1; length]));
    prop_oneof![
        6 => tcp,
        6 => udp,
        4 => asking,
        3 => discovery,
        3 => message,
        3 => error,
        2 => other,
        2 => group,
        1 => tiny,
    ]
}

type Ports = BoxedStrategy<u16>;

/// A packet from here to nobody, as an error quotes it.
fn v4_to_nobody(from: Ports, to: Ports) -> impl Strategy<Value = Vec<u8>> {
    let options = 0..11_usize;
    (from, to, options, any::<bool>()).prop_map(|(from, to, options, is_tcp)| {
        let (protocol, payload) = sent(from, to, is_tcp);
        let packet = v4("203.0.113.1", protocol, payload).to("198.51.100.99");
        packet.options(options * 4).packet()
    })
}

/// The same over IPv6.
fn v6_to_nobody(from: Ports, to: Ports) -> impl Strategy<Value = Vec<u8>> {
    (from, to, 0..8_u8, any::<bool>()).prop_map(|(from, to, headers, is_tcp)| {
        let (protocol, payload) = sent(from, to, is_tcp);
        let packet = v6("2001:db8:ffff::1", protocol, payload).to("2001:db8::99");
        let packet = (0..headers).fold(packet, |packet, more| packet.header(DESTINATION, more % 3));
        packet.packet()
    })
}

fn sent(from: u16, to: u16, is_tcp: bool) -> (u8, Vec<u8>) {
    if is_tcp {
        (TCP, tcp(from, to, SYN))
    } else {
        (UDP, udp(from, to))
    }
}
