//! What comes in, by kind, whatever becomes of it.

use filter_common::abi::{
    defence::PortSet,
    traffic::TrafficClass::{
        self, Ack, Close, Fragment, Icmp, Malformed, Other, Protocol, Reflected, Syn, SynAck, Udp,
    },
};

use crate::{
    bench::Bench,
    force::Force,
    frame::{
        ACK, FIN, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, ethernet, icmp, syn, tagged, tcp, udp, v4,
        v6,
    },
};

const GRE: u8 = 47;

/// Packets of both families, each with its class.
fn packets() -> Vec<(TrafficClass, u8, Vec<u8>)> {
    let segment = |class, flags| (class, TCP, tcp(40_000, 80, flags));
    vec![
        segment(Syn, SYN),
        segment(Syn, SYN | FIN),
        segment(SynAck, SYN | ACK),
        segment(Close, RST),
        segment(Close, FIN | ACK),
        segment(Ack, ACK),
        segment(Ack, PSH | ACK),
        segment(Ack, 0),
        (Udp, UDP, udp(40_000, 53)),
        (Udp, UDP, udp(54, 80)),
        (Reflected, UDP, udp(53, 40_000)),
        (Reflected, UDP, udp(60_000, 40_000)),
        (Protocol, GRE, vec![0; 8]),
    ]
}

fn frames() -> Vec<(TrafficClass, Vec<u8>)> {
    let (near4, near6) = ("192.0.2.1", "2001:db8::1");
    let mut frames = Vec::new();
    for (class, protocol, payload) in packets() {
        let packet = v4(near4, protocol, payload.clone());
        frames.push((class, packet.frame()));
        frames.push((class, tagged(&[0x8100], 0x0800, &packet.packet())));
        frames.push((class, v6(near6, protocol, payload).frame()));
    }
    let lying = |frame: Vec<u8>, at: usize| {
        let mut frame = frame;
        // The data offset of TCP: less than a header.
        frame[at] = 0x10;
        frame
    };
    let tiny = v4(near4, TCP, vec![0; 8]).piece(0, true);
    let cut = ethernet(0x0800, &v4(near4, UDP, udp(1, 2)).packet()[..19]);
    let cut6 = ethernet(0x86dd, &v6(near6, UDP, udp(1, 2)).packet()[..39]);
    frames.extend([
        (Icmp, v4(near4, ICMP, icmp(8, 0)).frame()),
        (Icmp, v6(near6, ICMPV6, icmp(128, 0)).frame()),
        (Udp, v4(near4, UDP, udp(1, 2)).piece(0, true).frame()),
        (Udp, v6(near6, UDP, udp(1, 2)).piece(0, true).frame()),
        (Fragment, v4(near4, UDP, udp(53, 2)).piece(9, true).frame()),
        (Fragment, v6(near6, UDP, udp(53, 2)).piece(9, false).frame()),
        (Fragment, tiny.frame()),
        (Malformed, cut),
        (Malformed, cut6),
        (
            Malformed,
            v4(near4, UDP, udp(1, 2)).version_and_length(0x44).frame(),
        ),
        (Malformed, tagged(&[0x8100; 3], 0x0800, &[0; 40])),
        (Malformed, lying(v4(near4, TCP, syn(80)).frame(), 46)),
        (Malformed, lying(v6(near6, TCP, syn(80)).frame(), 66)),
        (Other, ethernet(0x0806, &[0; 46])),
    ]);
    frames
}

/// Forces under which nothing, something and everything is dropped: it makes no difference.
#[test]
fn each_frame_is_counted_in_its_class_whatever_becomes_of_it() {
    let reflectors = || {
        Force::new()
            .port(PortSet::Reflectors, 53)
            .port(PortSet::Reflectors, 60_000)
    };
    let mut bench = Bench::new();
    for force in [
        reflectors(),
        reflectors().with(|settings| settings.enforced = 0),
        reflectors().with(|settings| settings.unchecked = u64::MAX),
        reflectors().block("192.0.2.0/24").block("2001:db8::/32"),
    ] {
        bench.put(&force);
        for (class, frame) in frames() {
            let counted = bench.run(&frame).traffic;
            let [(found, counter)] = counted.as_slice() else {
                panic!("{class:?}: {counted:?}")
            };
            assert_eq!(
                (*found, counter.packets, counter.bytes),
                (class, 1, frame.len() as u64),
                "{frame:02x?}"
            );
        }
    }
}
