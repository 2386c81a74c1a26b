//! Classes of traffic.

use filter_common::{
    abi::{
        reason::Reason,
        traffic::{TRAFFIC_CLASSES, TrafficClass},
    },
    logic::{
        packet::{Fragment, Packet, TcpFlags, Transport},
        parse,
    },
};
use proptest::prelude::*;

/// A plain packet, whose transport is replaced.
fn packet(transport: Transport, fragment: Fragment, defect: Option<Reason>) -> Packet {
    let mut frame = [0_u8; 54];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[17] = 40;
    frame[23] = 6;
    frame[46] = 5 << 4;
    let parsed = parse::packet(&frame.as_slice()).continue_value();
    Packet {
        header: transport.into(),
        fragment,
        defect,
        ..parsed.expect("a plain packet")
    }
}

fn transports() -> impl Strategy<Value = Transport> {
    let ports = (any::<u16>(), any::<u16>());
    prop_oneof![
        (ports, any::<u8>()).prop_map(|((source_port, destination_port), flags)| {
            Transport::Tcp {
                source_port,
                destination_port,
                flags: TcpFlags(flags),
            }
        }),
        ports.prop_map(|(source_port, destination_port)| Transport::Udp {
            source_port,
            destination_port,
        }),
        (any::<u8>(), any::<u8>()).prop_map(|(kind, code)| Transport::Icmp { kind, code }),
        Just(Transport::Opaque),
    ]
}

fn fragments() -> impl Strategy<Value = Fragment> {
    prop_oneof![
        Just(Fragment::Whole),
        Just(Fragment::First),
        Just(Fragment::Later)
    ]
}

fn defects() -> impl Strategy<Value = Option<Reason>> {
    prop_oneof![
        Just(None),
        Just(Some(Reason::Truncated)),
        Just(Some(Reason::Malformed))
    ]
}

/// Whether the packet is of the class, as the class says of itself.
fn is_of(class: TrafficClass, packet: &Packet, is_reflector: bool) -> bool {
    let flags = match packet.transport() {
        Transport::Tcp { flags, .. } => Some(flags),
        Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Opaque => None,
    };
    let has = |flag| flags.is_some_and(|flags| flags.0 & flag != 0);
    let is_udp = matches!(packet.transport(), Transport::Udp { .. });
    let is_opaque = packet.transport() == Transport::Opaque;
    let is_whole = packet.fragment == Fragment::Whole;
    let has_defect = packet.defect.is_some();
    let (syn, ack) = (has(TcpFlags::SYN), has(TcpFlags::ACK));
    let closes = has(TcpFlags::RST) || has(TcpFlags::FIN);
    match class {
        TrafficClass::Syn => syn && !ack,
        TrafficClass::SynAck => syn && ack,
        TrafficClass::Close => closes && !syn,
        TrafficClass::Ack => flags.is_some() && !syn && !closes,
        TrafficClass::Udp => is_udp && !is_reflector,
        TrafficClass::Reflected => is_udp && is_reflector,
        TrafficClass::Icmp => matches!(packet.transport(), Transport::Icmp { .. }),
        TrafficClass::Fragment => is_opaque && !is_whole,
        TrafficClass::Protocol => is_opaque && is_whole && !has_defect,
        TrafficClass::Malformed => is_opaque && is_whole && has_defect,
        TrafficClass::Other => false,
    }
}

proptest! {
    #[test]
    fn every_packet_is_of_exactly_one_class(
        transport in transports(), fragment in fragments(), defect in defects(),
        is_reflector in any::<bool>(),
    ) {
        let packet = packet(transport, fragment, defect);
        let of: Vec<TrafficClass> = TrafficClass::ALL
            .into_iter()
            .filter(|class| is_of(*class, &packet, is_reflector))
            .collect();
        prop_assert_eq!(of, [TrafficClass::of(&packet, |_| is_reflector)]);
    }

    /// Nobody else's port is asked about, and of UDP the source's.
    #[test]
    fn only_the_source_port_of_udp_is_looked_up(transport in transports(), fragment in fragments()) {
        let mut asked = Vec::new();
        TrafficClass::of(&packet(transport, fragment, None), |port| {
            asked.push(port);
            false
        });
        match transport {
            Transport::Udp { source_port, .. } => prop_assert_eq!(asked, [source_port]),
            Transport::Tcp { .. } | Transport::Icmp { .. } | Transport::Opaque => {
                prop_assert!(asked.is_empty());
            }
        }
    }
}

#[test]
fn classes_stand_at_their_numbers() {
    for (number, class) in TrafficClass::ALL.into_iter().enumerate() {
        assert_eq!(class as usize, number);
    }
    assert_eq!(TrafficClass::ALL.len(), TRAFFIC_CLASSES);
}
