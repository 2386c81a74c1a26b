//! The packets that almost all are: untagged, without options or extension headers, in one piece, TCP
//! or UDP.

use super::{Frame, Piece as _};
use crate::logic::{
    address::Address,
    packet::{Fragment, Header, Packet, TcpFlags, protocol},
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Version 4, a header of five words.
const NO_OPTIONS: u8 = 0x45;
/// All of flags and fragment offset but "don't fragment".
const PIECES: u16 = 0xbfff;
/// Where the IP packet begins.
const IP: u32 = 14;

/// The transport header at `$upper` of a packet that ends at `$end`, and where in the frame its
/// payload begins. Returns from the function around it where something is odd.
macro_rules! upper {
    ($bytes:expr, $upper:literal, $end:expr, $carried:expr) => {{
        let (header, size) = match $carried {
            protocol::TCP => {
                let words = $bytes.byte::<{ $upper + 12 }>() >> 4;
                let flags = TcpFlags($bytes.byte::<{ $upper + 13 }>());
                let ports = ($bytes.be16::<{ $upper }>(), $bytes.be16::<{ $upper + 2 }>());
                if words < 5 {
                    return None;
                }
                (
                    Header::tcp(ports.0, ports.1, flags).with_words(words),
                    (words as u32).wrapping_mul(4),
                )
            }
            protocol::UDP => {
                let told = $bytes.be16::<{ $upper + 4 }>() as u32;
                if told < 8 || u32::wrapping_add($upper, told) > $end {
                    return None;
                }
                let header =
                    Header::udp($bytes.be16::<{ $upper }>(), $bytes.be16::<{ $upper + 2 }>());
                (header, 8)
            }
            _ => return None,
        };
        let payload = u32::wrapping_add($upper, size);
        if payload > $end {
            return None;
        }
        (header, payload as u16)
    }};
}

/// Parses a frame that is plain and sound IPv4, all in the first buffer. `None` says nothing about
/// the frame: then [`super::packet`] has to look at it. Both say the same of a frame that is plain.
///
/// It costs a third of the instructions, for every field has one place.
#[inline(always)]
pub fn plain(frame: &impl Frame) -> Option<Packet> {
    let bytes = frame.piece::<54>(0)?;
    if bytes.be16::<12>() != IPV4 || bytes.byte::<14>() != NO_OPTIONS {
        return None;
    }
    if bytes.be16::<20>() & PIECES != 0 {
        return None;
    }
    let length = bytes.be16::<16>();
    let end = IP.wrapping_add(length as u32);
    if !frame.first_holds(end) {
        return None;
    }
    let carried = bytes.byte::<23>();
    let (header, payload) = upper!(bytes, 34, end, carried);
    Some(Packet {
        source: Address::v4(bytes.word::<26>()),
        destination: Address::v4(bytes.word::<30>()),
        protocol: carried,
        hops: bytes.byte::<22>(),
        fragment: Fragment::Whole,
        fragment_id: 0,
        length,
        payload,
        end,
        header,
        defect: None,
    })
}

/// The same for IPv6.
#[inline(always)]
pub fn plain_v6(frame: &impl Frame) -> Option<Packet> {
    let bytes = frame.piece::<74>(0)?;
    if bytes.be16::<12>() != IPV6 || bytes.byte::<14>() >> 4 != 6 {
        return None;
    }
    let length = (bytes.be16::<18>() as u32).wrapping_add(40);
    let end = IP.wrapping_add(length);
    if length > u16::MAX as u32 || !frame.first_holds(end) {
        return None;
    }
    let carried = bytes.byte::<20>();
    let (header, payload) = upper!(bytes, 54, end, carried);
    Some(Packet {
        source: Address::v6([
            bytes.word::<22>(),
            bytes.word::<26>(),
            bytes.word::<30>(),
            bytes.word::<34>(),
        ]),
        destination: Address::v6([
            bytes.word::<38>(),
            bytes.word::<42>(),
            bytes.word::<46>(),
            bytes.word::<50>(),
        ]),
        protocol: carried,
        hops: bytes.byte::<21>(),
        fragment: Fragment::Whole,
        fragment_id: 0,
        length: length as u16,
        payload,
        end,
        header,
        defect: None,
    })
}
