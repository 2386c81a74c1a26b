//! What ICMP errors quote, beside another parser.

use etherparse::{NetSlice, SlicedPacket};
use filter_common::logic::{
    address::Family,
    packet::{Fragment, Header, Packet, Transport, protocol},
    parse::Frame,
    quoted::{Message, Quoted, message, quoted},
};
use proptest::prelude::*;

use crate::parse::{Network, ipv4, ipv6, offset_in, translate};

/// A frame that may be read between two offsets only.
struct Window<'a> {
    bytes: &'a [u8],
    from: usize,
    to: usize,
}

impl Frame for Window<'_> {
    type Piece<'a, const N: usize>
        = &'a [u8; N]
    where
        Self: 'a;

    fn holds(&self, length: u32) -> bool {
        length as usize <= self.bytes.len()
    }

    fn piece<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        let at = offset as usize;
        assert!(
            self.from <= at && at + N <= self.to,
            "{N} bytes at {at}, of {} to {}",
            self.from,
            self.to
        );
        self.bytes.get(at..)?.first_chunk()
    }
}

/// Reads a quotation that lies behind `before` bytes and before others.
fn read(quotation: &[u8], family: Family, before: usize) -> Option<Quoted> {
    let bytes = [&vec![0xff; before], quotation, &[0xff; 64]].concat();
    let to = before + quotation.len();
    let window = Window {
        bytes: &bytes,
        from: before,
        to,
    };
    quoted(&window, family, before as u32, to as u32)
}

const fn family(ethertype: u16) -> Family {
    match ethertype {
        0x0800 => Family::V4,
        _ => Family::V6,
    }
}

/// What etherparse makes of a whole packet, and where its transport header begins.
fn theirs((ethertype, packet): &Network) -> Option<(Quoted, usize)> {
    let frame = [&[2; 12], &ethertype.to_be_bytes()[..], packet].concat();
    let sliced = SlicedPacket::from_ethernet(&frame).expect("a well-formed packet");
    let read = translate(&sliced, &frame);
    let (Transport::Tcp {
        source_port,
        destination_port,
        ..
    }
    | Transport::Udp {
        source_port,
        destination_port,
    }) = read.transport()
    else {
        return None;
    };
    let transport = match sliced.net.as_ref().expect("it is IP") {
        NetSlice::Ipv4(ip) => ip.payload().payload,
        NetSlice::Ipv6(ip) => ip.payload().payload,
        NetSlice::Arp(_) => panic!("no packet here is ARP"),
    };
    let quoted = Quoted {
        source: read.source,
        destination: read.destination,
        protocol: read.protocol,
        source_port,
        destination_port,
    };
    Some((quoted, offset_in(&frame, transport) - 14))
}

fn packets() -> impl Strategy<Value = Network> {
    prop_oneof![ipv4(), ipv6()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_are_read_but_those_of_the_quotation(
        packet in packets(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(), before in 0..200_usize,
    ) {
        let (ethertype, mut packet) = packet;
        for (at, value) in changes {
            let at = at.index(packet.len());
            packet[at] = value;
        }
        packet.truncate(length.index(packet.len() + 1));
        read(&packet, family(ethertype), before);
    }

    #[test]
    fn nor_of_noise(bytes in prop::collection::vec(any::<u8>(), 0..200), before in 0..200_usize) {
        read(&bytes, Family::V4, before);
        read(&bytes, Family::V6, before);
    }

    #[test]
    fn a_quotation_is_read_as_etherparse_reads_the_packet_if_eight_bytes_of_its_transport_are_there(
        packet in packets(), length in any::<prop::sample::Index>(), before in 0..200_usize,
    ) {
        let length = length.index(packet.1.len() + 1);
        let expected = theirs(&packet)
            .filter(|(_, transport)| transport + 8 <= length)
            .map(|(quoted, _)| quoted);
        let ours = read(&packet.1[..length], family(packet.0), before);
        prop_assert_eq!(ours, expected, "{} of {:02x?}", length, packet.1);
    }
}

#[test]
fn a_quotation_beyond_what_the_kernel_reads_is_none() {
    let datagram = [
        &[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0][..],
        &[192, 0, 2, 1, 192, 0, 2, 2],
        &[0, 53, 0, 53, 0, 8, 0, 0],
    ]
    .concat();
    assert!(read(&datagram, Family::V4, 0x3f00 - 28).is_some());
    assert!(read(&datagram, Family::V4, 0x3f00 - 27).is_none());
    assert!(read(&datagram, Family::V4, 0x4000).is_none());
}

#[test]
fn messages_are_told_apart_by_family_and_type() {
    let message = |source: &str, protocol, kind, code| {
        let source: std::net::IpAddr = source.parse().expect("an address");
        let packet = Packet {
            source: source.into(),
            destination: source.into(),
            protocol,
            hops: 64,
            fragment: Fragment::Whole,
            fragment_id: 0,
            length: 0,
            payload: 0,
            end: 0,
            header: Header::icmp(kind, code),
            defect: None,
        };
        message(&packet)
    };
    let v4 = |kind, code| message("192.0.2.1", protocol::ICMP, kind, code);
    let v6 = |kind| message("2001:db8::1", protocol::ICMPV6, kind, 0);
    assert_eq!(v4(3, 4), Message::TooBig);
    for (kind, code) in [(3, 0), (3, 3), (4, 0), (5, 1), (11, 0), (11, 1), (12, 0)] {
        assert_eq!(v4(kind, code), Message::Error, "{kind}/{code}");
    }
    for kind in (0..3).chain(6..11).chain(13..=255) {
        assert_eq!(v4(kind, 4), Message::Other, "{kind}");
    }
    assert_eq!(v6(2), Message::TooBig);
    for kind in (0..2).chain(3..128) {
        assert_eq!(v6(kind), Message::Error, "{kind}");
    }
    for kind in 128..=255 {
        assert_eq!(v6(kind), Message::Other, "{kind}");
    }
    let crossed = [
        message("192.0.2.1", protocol::ICMPV6, 3, 4),
        message("2001:db8::1", protocol::ICMP, 2, 0),
    ];
    assert_eq!(crossed, [Message::Other; 2]);
}
