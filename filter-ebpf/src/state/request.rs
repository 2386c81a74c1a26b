//! Which datagrams ask, of protocols whose servers may ask each other from the port that they answer
//! at.

use filter_common::logic::{
    packet::Packet,
    parse::{Frame, Piece as _},
};

/// Port of DNS.
pub const DNS: u16 = 53;
/// Port of NTP.
pub const NTP: u16 = 123;

/// Whether a datagram of DNS is a query (RFC 1035, 4.1.1: the bit QR is clear).
#[inline(always)]
pub fn is_dns_query(frame: &impl Frame, packet: &Packet) -> bool {
    byte::<2>(frame, packet).is_some_and(|flags| flags & 0x80 == 0)
}

/// Whether a datagram of NTP is a client's, or a symmetric active peer's (RFC 5905, 7.3: mode 3
/// or 1).
#[inline(always)]
pub fn is_ntp_request(frame: &impl Frame, packet: &Packet) -> bool {
    byte::<0>(frame, packet).is_some_and(|byte| matches!(byte & 7, 1 | 3))
}

/// The byte at `AT` of a datagram's payload. Padding is none of it.
#[inline(always)]
fn byte<const AT: u32>(frame: &impl Frame, packet: &Packet) -> Option<u8> {
    let at = u32::from(packet.payload).wrapping_add(AT);
    if packet.payload == 0 || at >= packet.end {
        return None;
    }
    Some(frame.piece::<1>(at)?.byte::<0>())
}
