//! From bytes to a packet, beside another parser.

use std::{net::IpAddr, ops::ControlFlow};

use etherparse::{
    IpNumber, Ipv6ExtensionSlice, NetSlice, SlicedPacket, TcpHeaderSlice, UdpHeaderSlice,
};
use filter_common::{
    abi::reason::Reason,
    logic::{
        address::Address,
        control,
        packet::{Fragment, Header, Packet, TcpFlags, Transport, protocol},
        parse, sanity,
    },
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        judge(&bytes);
    }

    #[test]
    fn no_bytes_behind_a_good_beginning_make_it_panic(
        frame in frames(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
    ) {
        let mut frame = frame;
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(length.index(frame.len() + 1));
        judge(&frame);
    }

    #[test]
    fn a_well_formed_frame_is_read_as_etherparse_reads_it(
        frame in frames(), padding in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let frame = [frame, padding].concat();
        let ours = match parse::packet(&frame.as_slice()) {
            ControlFlow::Continue(packet) => packet,
            ControlFlow::Break(reason) => return Err(TestCaseError::fail(format!("{reason:?}: {frame:02x?}"))),
        };
        let theirs = SlicedPacket::from_ethernet(&frame);
        let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{error}: {frame:02x?}")))?;
        let expected = translate(&theirs, &frame);
        prop_assert_eq!(&ours, &expected, "{:02x?}", frame);
    }

    #[test]
    fn what_is_read_as_plain_is_read_so_by_the_closer_look(
        frame in frames(), changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..3),
    ) {
        let mut frame = frame;
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let frame = frame.as_slice();
        for plain in [parse::plain(&frame), parse::plain_v6(&frame)].into_iter().flatten() {
            prop_assert_eq!(ControlFlow::Continue(plain), parse::packet(&frame));
        }
    }

    #[test]
    fn a_frame_that_ends_within_its_packet_is_none_or_a_truncated_one(frame in frames(), cut in 1..64_usize) {
        let headers = 14;
        let end = frame.len().saturating_sub(cut).max(headers);
        if end < frame.len() {
            let cut = parse::packet(&&frame[..end]);
            let is_told = match cut {
                ControlFlow::Break(_) => true,
                ControlFlow::Continue(packet) => {
                    packet.defect == Some(Reason::Truncated)
                        && packet.transport() == Transport::Opaque
                }
            };
            prop_assert!(is_told, "{:?}", cut);
        }
    }
}

/// Everything that both sides do with a frame.
fn judge(frame: &[u8]) {
    if let ControlFlow::Continue(packet) = parse::packet(&frame) {
        let _ = control::classify(&packet);
        let _: ControlFlow<()> = sanity::check(&packet, |_| ControlFlow::Continue(()));
    }
}

/// What etherparse says, in our words.
pub fn translate(theirs: &SlicedPacket<'_>, frame: &[u8]) -> Packet {
    let (source, destination, hops, carried, fragment, payload, id, start, length): (
        IpAddr,
        IpAddr,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
    ) = match theirs.net.as_ref().expect("it is IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (offset, more) = (header.fragments_offset().value(), header.more_fragments());
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.ttl(),
                header.protocol(),
                fragment(offset, more, false),
                ip.payload().payload,
                u32::from(header.identification()),
                header.slice(),
                header.total_len(),
            )
        }
        NetSlice::Ipv6(ip) => {
            let pieces = ip.extensions().clone().into_iter().find_map(|header| {
                if let Ipv6ExtensionSlice::Fragment(header) = header {
                    Some(header)
                } else {
                    None
                }
            });
            let how = pieces.as_ref().map_or(Fragment::Whole, |header| {
                fragment(
                    header.fragment_offset().value(),
                    header.more_fragments(),
                    true,
                )
            });
            // Behind a later fragment's header there are no headers to be read.
            let carried = match &pieces {
                Some(header) if how == Fragment::Later => header.next_header(),
                _ => ip.payload().ip_number,
            };
            (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                ip.header().hop_limit(),
                carried,
                how,
                ip.payload().payload,
                pieces.map_or(0, |header| header.identification()),
                ip.header().slice(),
                ip.header().payload_length().saturating_add(40),
            )
        }
        NetSlice::Arp(_) => panic!("no frame here is ARP"),
    };
    let in_pieces = match theirs.net.as_ref() {
        Some(NetSlice::Ipv4(ip)) => ip.header().more_fragments(),
        Some(NetSlice::Ipv6(ip)) => ip.extensions().clone().into_iter().any(|header| {
            matches!(header, Ipv6ExtensionSlice::Fragment(header) if header.more_fragments())
        }),
        Some(NetSlice::Arp(_)) | None => false,
    };
    let seen = match fragment {
        Fragment::Later => Transport::Opaque,
        Fragment::Whole | Fragment::First => transport(carried, payload),
    };
    Packet {
        source: Address::from(source),
        destination: Address::from(destination),
        protocol: carried.0,
        hops,
        fragment,
        fragment_id: if fragment == Fragment::Whole { 0 } else { id },
        length,
        payload: behind_header(&seen, payload, frame),
        end: (offset_in(frame, start) + usize::from(length)) as u32,
        header: match seen {
            Transport::Tcp { .. } => Header::from(seen).with_words(payload[12] >> 4),
            Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Opaque => seen.into(),
        },
        defect: match seen {
            Transport::Tcp { flags, .. } if in_pieces && flags.0 & TcpFlags::SYN != 0 => {
                Some(Reason::TcpFlags)
            }
            Transport::Tcp { .. }
            | Transport::Udp { .. }
            | Transport::Icmp { .. }
            | Transport::Opaque => None,
        },
    }
}

/// Where in the frame the payload of the transport protocol begins.
fn behind_header(transport: &Transport, carried: &[u8], frame: &[u8]) -> u16 {
    let header = match transport {
        Transport::Tcp { .. } => usize::from(carried[12] >> 4) * 4,
        Transport::Udp { .. } | Transport::Icmp { .. } => 8,
        Transport::Opaque => return 0,
    };
    u16::try_from(offset_in(frame, carried) + header).expect("a frame of a test")
}

/// Where in the frame a part of it begins.
pub fn offset_in(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
}

fn fragment(offset: u16, more: bool, is_said: bool) -> Fragment {
    match (offset, more || is_said) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

fn transport(carried: IpNumber, payload: &[u8]) -> Transport {
    match carried {
        IpNumber::TCP => {
            let header = TcpHeaderSlice::from_slice(payload).expect("a TCP header");
            let bits = [
                (header.fin(), TcpFlags::FIN),
                (header.syn(), TcpFlags::SYN),
                (header.rst(), TcpFlags::RST),
                (header.psh(), TcpFlags::PSH),
                (header.ack(), TcpFlags::ACK),
                (header.urg(), TcpFlags::URG),
                (header.ece(), 64),
                (header.cwr(), 128),
            ];
            let flags = bits
                .iter()
                .filter(|(is_set, _)| *is_set)
                .map(|(_, bit)| bit)
                .sum();
            Transport::Tcp {
                source_port: header.source_port(),
                destination_port: header.destination_port(),
                flags: TcpFlags(flags),
            }
        }
        IpNumber::UDP => {
            let header = UdpHeaderSlice::from_slice(payload).expect("a UDP header");
            Transport::Udp {
                source_port: header.source_port(),
                destination_port: header.destination_port(),
            }
        }
        IpNumber::ICMP | IpNumber::IPV6_ICMP => Transport::Icmp {
            kind: payload[0],
            code: payload[1],
        },
        _ => Transport::Opaque,
    }
}

/// Well-formed frames: 0 to 2 tags, IPv4 with options, IPv6 with up to six extension headers,
/// whole or in pieces.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(prop::sample::select(vec![0x8100_u16, 0x88a8, 0x9100]), 0..3);
    (tags, prop_oneof![ipv4(), ipv6()]).prop_map(|(tags, (ethertype, packet))| {
        let mut frame = vec![2; 12];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 42]);
        }
        frame.extend(u16::to_be_bytes(ethertype));
        frame.extend(packet);
        frame
    })
}

/// An ethertype, and a packet of it.
pub type Network = (u16, Vec<u8>);

pub fn ipv4() -> impl Strategy<Value = Network> {
    let pieces = prop_oneof![
        3 => Just(0_u16),
        1 => Just(0x4000),
        1 => Just(0x2000),
        1 => (2..8000_u16, any::<bool>()).prop_map(|(offset, more)| offset | u16::from(more) << 13),
    ];
    (carried(), any::<[u8; 8]>(), 0..=10_u8, pieces, any::<u8>()).prop_map(
        |((carried, payload), addresses, options, pieces, hops)| {
            let header = 20 + usize::from(options) * 4;
            let mut packet = vec![0x45 + options, 0];
            packet.extend(((header + payload.len()) as u16).to_be_bytes());
            packet.extend([0, 1]);
            packet.extend(pieces.to_be_bytes());
            packet.extend([hops, carried, 0, 0]);
            packet.extend(addresses);
            packet.resize(header, 1);
            packet.extend(payload);
            (0x0800, packet)
        },
    )
}

/// An extension header: its kind, how long it is, and what a fragment header says.
type Extension = (u8, u8, (u16, bool));

pub fn ipv6() -> impl Strategy<Value = Network> {
    // Each kind once, destination options twice, in the order of RFC 8200, 4.1: as many as
    // etherparse follows.
    let header = |kind| {
        (
            Just(kind),
            0..4_u8,
            (prop_oneof![Just(0), 2..8000_u16], any::<bool>()),
        )
    };
    let chain = prop::sample::subsequence(vec![0_u8, 60, 43, 44, 51, 61], 0..=6)
        .prop_flat_map(move |kinds| kinds.into_iter().map(header).collect::<Vec<_>>());
    (carried(), any::<[u8; 32]>(), chain, any::<u8>()).prop_map(
        |((carried, payload), addresses, chain, hops)| {
            // The second place of destination options is told apart above only.
            let kind = |extension: &Extension| if extension.0 == 61 { 60 } else { extension.0 };
            let nexts = chain.iter().skip(1).map(kind).chain([carried]);
            let mut behind = Vec::new();
            for (extension, next) in chain.iter().zip(nexts) {
                behind.extend(header_bytes(extension, next));
            }
            behind.extend(payload);
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((behind.len() as u16).to_be_bytes());
            packet.extend([chain.first().map_or(carried, kind), hops]);
            packet.extend(addresses);
            packet.extend(behind);
            (0x86dd, packet)
        },
    )
}

fn header_bytes((kind, more, (offset, is_more)): &Extension, next: u8) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    match kind {
        44 => bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(*is_more)).to_be_bytes()),
        51 => {
            bytes.resize((usize::from(*more) + 3) * 4, 0);
            bytes[1] = more + 1;
        }
        _ => {
            bytes.resize((usize::from(*more) + 1) * 8, 0);
            bytes[1] = *more;
        }
    }
    bytes[0] = next;
    bytes
}

/// A protocol, and a whole header of it with some data.
fn carried() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let data = || prop::collection::vec(any::<u8>(), 0..32);
    let tcp = (any::<[u8; 14]>(), 5..=15_u8, data()).prop_map(|(start, words, data)| {
        let mut segment = start.to_vec();
        segment[12] = words << 4;
        segment.resize(usize::from(words) * 4, 0);
        segment.extend(data);
        (protocol::TCP, segment)
    });
    let udp = (any::<[u8; 4]>(), data()).prop_map(|(ports, data)| {
        let mut datagram = ports.to_vec();
        datagram.extend((8 + data.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        (protocol::UDP, datagram)
    });
    let message = |carried| {
        (any::<[u8; 8]>(), data())
            .prop_map(move |(start, data)| (carried, [start.to_vec(), data].concat()))
    };
    // Neither extension headers nor what etherparse looks into.
    let others = prop::sample::select(vec![47_u8, 50, 59, 89, 132, 253]);
    let other = (others, data());
    prop_oneof![3 => tcp, 3 => udp, 1 => message(protocol::ICMP), 1 => message(protocol::ICMPV6), 1 => other]
}
