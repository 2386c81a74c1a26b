//! The packet that almost all are: untagged, IPv4 without options, in one piece, TCP or UDP.

use super::{Frame, Piece as _};
use crate::logic::{
    address::Address,
    packet::{Fragment, Header, Packet, TcpFlags, protocol},
};

const IPV4: u16 = 0x0800;
/// Version 4, a header of five words.
const NO_OPTIONS: u8 = 0x45;
/// All of flags and fragment offset but "don't fragment".
const PIECES: u16 = 0xbfff;
/// Where the IP packet begins.
const IP: u32 = 14;
/// Where the transport header begins.
const UPPER: u32 = 34;

/// Parses a frame that is plain and sound, all in the first buffer. `None` says nothing about the
/// frame: then [`super::packet`] has to look at it. Both say the same of a frame that is plain.
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
    let (header, size) = match carried {
        protocol::TCP => {
            let words = bytes.byte::<46>() >> 4;
            let size = (words as u32).wrapping_mul(4);
            let flags = TcpFlags(bytes.byte::<47>());
            let header = Header::tcp(bytes.be16::<34>(), bytes.be16::<36>(), flags);
            (
                header.with_words(words),
                if size < 20 { return None } else { size },
            )
        }
        protocol::UDP => {
            let told = bytes.be16::<38>() as u32;
            if told < 8 || UPPER.wrapping_add(told) > end {
                return None;
            }
            (Header::udp(bytes.be16::<34>(), bytes.be16::<36>()), 8)
        }
        _ => return None,
    };
    let payload = UPPER.wrapping_add(size);
    if payload > end {
        return None;
    }
    Some(Packet {
        source: Address::v4(bytes.word::<26>()),
        destination: Address::v4(bytes.word::<30>()),
        protocol: carried,
        hops: bytes.byte::<22>(),
        fragment: Fragment::Whole,
        fragment_id: 0,
        length,
        payload: payload as u16,
        end,
        header,
        defect: None,
    })
}
