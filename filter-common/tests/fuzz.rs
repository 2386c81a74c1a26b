//! Bytes from the wire: `cargo xtask fuzz packet`, guided by coverage. As tests, these run what
//! was found before, in `__fuzz__/`, and some random input.

use std::{net::IpAddr, ops::ControlFlow};

use bolero::check;
use etherparse::{NetSlice, SlicedPacket};
use filter_common::logic::{
    address::{Address, Family},
    control,
    packet::Packet,
    parse, quoted, sanity,
};

/// Whatever arrives is a packet within the frame, or a reason; and every look at it says the same.
#[test]
fn packet() {
    check!()
        .with_iterations(20_000)
        .with_max_len(512)
        .for_each(|frame: &[u8]| {
            let whole = parse::packet(&frame);
            for plain in [parse::plain(&frame), parse::plain_v6(&frame)]
                .into_iter()
                .flatten()
            {
                assert_eq!(ControlFlow::Continue(plain), whole);
            }
            let ControlFlow::Continue(packet) = whole else {
                return;
            };
            // A packet that is cut short says where it should have ended, and what lies behind a
            // header that does not fit.
            let is_within =
                u32::from(packet.payload) <= packet.end && packet.end as usize <= frame.len();
            assert!(
                is_within || packet.defect.is_some(),
                "{packet:?} in {} bytes",
                frame.len()
            );
            let _ = control::classify(&packet);
            let _ = sanity::check(&packet, |reason| -> ControlFlow<_> {
                ControlFlow::Break(reason)
            });
            if let Some(theirs) = addresses(frame) {
                assert_eq!((packet.source, packet.destination), theirs);
            }
            read_quotation(&packet, frame);
        });
}

/// Who sends to whom, as another parser reads it.
fn addresses(frame: &[u8]) -> Option<(Address, Address)> {
    let (source, destination): (IpAddr, IpAddr) =
        match SlicedPacket::from_ethernet(frame).ok()?.net? {
            NetSlice::Ipv4(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            NetSlice::Ipv6(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            NetSlice::Arp(_) => return None,
        };
    Some((source.into(), destination.into()))
}

/// What an ICMP error quotes comes from the wire likewise: nothing behind the packet is read, and
/// what is read stands there.
fn read_quotation(packet: &Packet, frame: &[u8]) {
    if packet.defect.is_some() || quoted::message(packet) == quoted::Message::Other {
        return;
    }
    let family = packet.source.family();
    let start = u32::from(packet.payload);
    let cut = frame.get(..packet.end as usize).unwrap_or(frame);
    let read = quoted::quoted(&cut, family, start, packet.end);
    assert_eq!(read, quoted::quoted(&frame, family, start, packet.end));
    let Some(read) = read else { return };
    let quotation = cut.get(start as usize..).unwrap_or_default();
    let stands = |offset: usize, address: Address| {
        let bytes = match (family, IpAddr::from(address)) {
            (Family::V4, IpAddr::V4(v4)) => v4.octets().to_vec(),
            (_, IpAddr::V6(v6)) => v6.octets().to_vec(),
            (_, IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets().to_vec(),
        };
        quotation.get(offset..offset + bytes.len()) == Some(bytes.as_slice())
    };
    let (source, destination) = match family {
        Family::V4 => (12, 16),
        Family::V6 => (8, 24),
    };
    assert!(stands(source, read.source) && stands(destination, read.destination));
}
