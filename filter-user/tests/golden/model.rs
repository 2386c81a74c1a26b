//! Random frames: the kernel's verdict equals the model's.

use std::ops::ControlFlow;

use filter_common::{
    abi::reason::{Action, Reason},
    logic::{
        control::{self, Control},
        parse, sanity,
    },
};
use proptest::{
    prelude::{Strategy, any, prop, prop_oneof},
    strategy::{Just, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    bench::{Bench, Force},
    frame::{
        AUTHENTICATION, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, IGMP, MOBILITY, ROUTING,
        TCP, UDP, icmp, tagged, tcp, udp, v4, v6,
    },
};

const FRAMES: u32 = 20_000;

/// What the host computes with the functions that the kernel has.
fn model(frame: &[u8]) -> Reason {
    match way(frame) {
        ControlFlow::Break(reason) => reason,
        ControlFlow::Continue(()) => Reason::Clean,
    }
}

pub fn way(frame: &[u8]) -> ControlFlow<Reason> {
    let packet = parse::packet(&frame)?;
    match control::classify(&packet) {
        Control::Discovery | Control::Membership | Control::Dhcp => {
            return ControlFlow::Break(Reason::Control);
        }
        Control::Forged => return ControlFlow::Break(Reason::ForgedDiscovery),
        Control::No => {}
    }
    sanity::check(&packet, ControlFlow::Break)
}

#[test]
fn the_kernel_says_of_random_frames_what_the_model_says() {
    let mut bench = Bench::new();
    bench.put(&Force::new());
    // Always the same frames, so that what fails once fails again.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let frames = frames();
    let mut met = [0_u32; 64];
    for number in 0..FRAMES {
        let frame = frames
            .new_tree(&mut runner)
            .expect("frames can be made")
            .current();
        let expected = model(&frame);
        let verdict = bench.kernel.run(&frame).expect("the program runs");
        let samples = bench.samples();
        let [sample] = samples.as_slice() else {
            panic!("one sample, not {}", samples.len())
        };
        assert_eq!(
            Reason::try_from(sample.reason),
            Ok(expected),
            "frame {number}: {frame:02x?}"
        );
        let dropped = expected.action() == Action::Drop;
        assert_eq!(verdict, if dropped { 1 } else { 2 }, "frame {number}");
        met[usize::from(expected.code())] += 1;
    }
    println!("model packets: {FRAMES}");

    // A generator that meets few reasons proves little.
    for reason in Reason::ALL {
        let is_modelled = !matches!(
            reason,
            Reason::Lifeline
                | Reason::Allowed
                | Reason::HeaderSpan
                | Reason::Blocked
                | Reason::LimitAll
                | Reason::LimitSyn
                | Reason::LimitUdp
                | Reason::LimitIcmp
        );
        let count = met[usize::from(reason.code())];
        assert!(
            !is_modelled || count > 0,
            "no frame met {reason:?}: {met:?}"
        );
    }
}

/// Frames that are nearly right: well-formed ones, of which some bytes are changed and some ends
/// are cut off; and noise.
pub fn frames() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(prop_oneof![Just(0x8100), Just(0x88a8), Just(0x9100)], 0..4);
    let tags = prop_oneof![3 => Just(Vec::new()), 1 => tags];
    let packet = prop_oneof![packet4(), packet6()];
    let formed =
        (tags, packet).prop_map(|(tags, (ethertype, packet))| tagged(&tags, ethertype, &packet));
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
    let noise = prop::collection::vec(any::<u8>(), 14..200);
    prop_oneof![20 => cut, 1 => noise]
}

type Packet = (u16, Vec<u8>);

fn packet4() -> impl Strategy<Value = Packet> {
    let source = prop_oneof![
        2 => any::<u32>(),
        1 => prop::sample::select(vec![0, 0x7f00_0001, 0xe000_0001, 0xc000_0201, 0xcb00_7101]),
    ];
    let pieces = prop_oneof![
        3 => Just((0, false)),
        1 => (prop::sample::select(vec![0, 1, 2, 185, 8188, 8191]), any::<bool>()),
    ];
    (source, carried(), hops(), 0..11_usize, pieces).prop_map(
        |(source, (protocol, payload), hops, options, (offset, more))| {
            let source = std::net::Ipv4Addr::from(source).to_string();
            let packet = v4(&source, protocol, payload)
                .hops(hops)
                .options(options * 4)
                .piece(offset, more);
            (0x0800, packet.packet())
        },
    )
}

fn packet6() -> impl Strategy<Value = Packet> {
    let source = prop_oneof![
        2 => any::<u128>(),
        3 => prop::sample::select(vec![0, 1, 2, 0xfe80 << 112 | 1, 0xff02 << 112 | 1, 0xffff_c000_0201, 0x2001_0db8 << 96 | 7]),
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
        let source = std::net::Ipv6Addr::from(source).to_string();
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
            any::<u16>(),
            prop::sample::select(vec![0, 67, 68, 546, 547])
        ]
    };
    let tcp =
        (ports(), ports(), any::<u8>(), any::<bool>()).prop_map(|(from, to, flags, is_likely)| {
            (TCP, tcp(from, to, if is_likely { 0x10 } else { flags }))
        });
    let udp = (ports(), ports()).prop_map(|(from, to)| (UDP, udp(from, to)));
    let code = || prop_oneof![3 => Just(0), 1 => any::<u8>()];
    let discovery = (128..144_u8, code()).prop_map(|(kind, code)| (ICMPV6, icmp(kind, code)));
    let message = (any::<u8>(), code()).prop_map(|(kind, code)| (ICMP, icmp(kind, code)));
    let other =
        (any::<u8>(), 0..40_usize).prop_map(|(protocol, length)| (protocol, vec![0; length]));
    let group = Just((IGMP, vec![0x16; 8]));
    prop_oneof![3 => tcp, 3 => udp, 2 => discovery, 1 => message, 1 => other, 1 => group]
}
