//! What no real client sends.

use std::{net::IpAddr, ops::ControlFlow};

use filter_common::{
    abi::reason::Reason,
    logic::{
        address::Address,
        packet::{Fragment, Header, Packet, TcpFlags, Transport, protocol},
        sanity,
    },
};
use ipnet::IpNet;
use proptest::prelude::*;

/// The martians by their registries (RFC 6890, RFC 4291).
const MARTIANS: [&str; 7] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/3",
    "::/128",
    "::1/128",
    "ff00::/8",
    "::ffff:0:0/96",
];

fn is_in_the_table(address: &IpAddr) -> bool {
    MARTIANS.iter().any(|net| {
        let net: IpNet = net.parse().expect("a prefix");
        net.contains(address)
    })
}

/// Any address, and those at the edges of the martian prefixes.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let edges: Vec<IpAddr> = MARTIANS
        .iter()
        .flat_map(|net| {
            let net: IpNet = net.parse().expect("a prefix");
            let step = |address: IpAddr, up: bool| match (address, up) {
                (IpAddr::V4(it), true) => IpAddr::V4(u32::from(it).wrapping_add(1).into()),
                (IpAddr::V4(it), false) => IpAddr::V4(u32::from(it).wrapping_sub(1).into()),
                (IpAddr::V6(it), true) => IpAddr::V6(u128::from(it).wrapping_add(1).into()),
                (IpAddr::V6(it), false) => IpAddr::V6(u128::from(it).wrapping_sub(1).into()),
            };
            let (first, last) = (net.network(), net.broadcast());
            [first, last, step(first, false), step(last, true)]
        })
        .collect();
    // One bit away from an edge.
    let near =
        (0..128_u32, prop::sample::select(edges.clone())).prop_map(|(bit, edge)| match edge {
            IpAddr::V4(it) => IpAddr::V4((u32::from(it) ^ 1 << (bit % 32)).into()),
            IpAddr::V6(it) => IpAddr::V6((u128::from(it) ^ 1 << bit).into()),
        });
    prop_oneof![any::<IpAddr>(), prop::sample::select(edges), near]
}

/// All reasons that a packet gives.
fn reasons(packet: &Packet) -> Vec<Reason> {
    let mut found = Vec::new();
    let end: ControlFlow<()> = sanity::check(packet, |reason| {
        found.push(reason);
        ControlFlow::Continue(())
    });
    assert_eq!(end, ControlFlow::Continue(()));
    found
}

fn tcp(flags: u8) -> Packet {
    Packet {
        source: Address::from(IpAddr::from([192, 0, 2, 7])),
        destination: Address::from(IpAddr::from([203, 0, 113, 1])),
        protocol: protocol::TCP,
        hops: 64,
        fragment: Fragment::Whole,
        fragment_id: 0,
        length: 40,
        payload: 54,
        end: 54,
        header: Header::tcp(40_000, 80, TcpFlags(flags)),
        defect: None,
    }
}

#[test]
fn flags_are_nonsense_exactly_where_a_table_says_so() {
    let (fin, syn, rst, psh, urg) = (1, 2, 4, 8, 32);
    for flags in 0..=u8::MAX {
        let plain = flags & 0x3f;
        let has = |wanted: u8| plain & wanted == wanted;
        let is_nonsense =
            plain == 0 || has(syn | fin) || has(syn | rst) || plain == fin | psh | urg;
        let expected = if is_nonsense {
            vec![Reason::TcpFlags]
        } else {
            vec![]
        };
        assert_eq!(reasons(&tcp(flags)), expected, "flags {flags:08b}");
    }
}

#[test]
fn what_is_wrong_with_flags_is_told_once() {
    // The parser told it of a SYN in pieces, and there is more.
    for flags in [TcpFlags::SYN, TcpFlags::SYN | TcpFlags::FIN] {
        let packet = Packet {
            fragment: Fragment::First,
            defect: Some(Reason::TcpFlags),
            ..tcp(flags)
        };
        assert_eq!(reasons(&packet), [Reason::TcpFlags]);
    }
    for (flags, others) in [
        (TcpFlags::SYN, &[Reason::TcpFlags][..]),
        (TcpFlags::ACK, &[]),
    ] {
        let packet = Packet {
            fragment: Fragment::First,
            defect: Some(Reason::TinyFragment),
            ..tcp(flags)
        };
        assert_eq!(reasons(&packet), [&[Reason::TinyFragment], others].concat());
    }
}

proptest! {
    #[test]
    fn martians_are_what_the_registries_say(address in addresses()) {
        let found = sanity::is_martian(&Address::from(address));
        prop_assert_eq!(found, is_in_the_table(&address), "{}", address);
    }

    #[test]
    fn every_defect_is_told_and_the_first_that_breaks_ends_it(
        source in addresses(), destination in addresses(), is_land: bool, ports: [u16; 2], flags: u8,
    ) {
        let destination = if is_land { source } else { destination };
        let packet = Packet {
            source: Address::from(source),
            destination: Address::from(destination),
            header: Transport::Tcp {
                source_port: ports[0] & 1,
                destination_port: ports[1],
                flags: TcpFlags(flags),
            }
            .into(),
            ..tcp(0)
        };
        let all = reasons(&packet);
        prop_assert_eq!(all.contains(&Reason::MartianSource), is_in_the_table(&source));
        let is_zero = ports[0] & 1 == 0 || ports[1] == 0;
        prop_assert_eq!(all.contains(&Reason::PortZero), is_zero);
        if source.is_ipv4() == destination.is_ipv4() {
            prop_assert_eq!(all.contains(&Reason::Land), source == destination);
        }
        prop_assert!(all.iter().all(|reason| sanity::SWITCHABLE.contains(reason)));
        for reason in &all {
            let end = sanity::check(&packet, |found| if found == *reason {
                ControlFlow::Break(found)
            } else {
                ControlFlow::Continue(())
            });
            prop_assert_eq!(end, ControlFlow::Break(*reason));
        }
    }
}
