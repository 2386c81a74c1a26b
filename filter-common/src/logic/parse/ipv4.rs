//! IPv4 (RFC 791), options included.

use core::ops::ControlFlow;

use super::{Frame, Piece as _, transport};
use crate::{
    abi::reason::Reason,
    logic::{
        address::Address,
        packet::{Fragment, Packet, protocol},
    },
};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
const LARGEST: u32 = 65_535;

/// Parses the packet at `offset`.
#[inline(always)]
pub fn packet(frame: &impl Frame, offset: u32) -> ControlFlow<Reason, Packet> {
    let header = frame.need::<20>(offset)?;
    let version = header.byte::<0>();
    let header_length = u32::from(version & 0x0f).wrapping_mul(4);
    let total_length = u32::from(header.be16::<2>());
    if version >> 4 != 4 || header_length < 20 || total_length < header_length {
        return ControlFlow::Break(Reason::Malformed);
    }
    let end = offset.wrapping_add(total_length);
    if !frame.holds(end) {
        return ControlFlow::Break(Reason::Truncated);
    }

    let pieces = header.be16::<6>();
    let position = u32::from(pieces & OFFSET_MASK).wrapping_mul(8);
    let fragment = match (position, pieces & MORE_FRAGMENTS) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    };
    let carried = header.byte::<9>();
    let transport_at = offset.wrapping_add(header_length);
    let (transport, defect) = match fragment {
        Fragment::Later if carried == protocol::TCP && position == 8 => {
            (transport::NONE, Some(Reason::FragmentOffset))
        }
        Fragment::Later if position.wrapping_add(total_length) > LARGEST => {
            (transport::NONE, Some(Reason::FragmentOverrun))
        }
        Fragment::Later => (transport::NONE, None),
        Fragment::Whole | Fragment::First => {
            transport::header(frame, transport_at, end, carried, fragment)?
        }
    };

    ControlFlow::Continue(Packet {
        source: Address::v4(header.word::<12>()),
        destination: Address::v4(header.word::<16>()),
        protocol: carried,
        hops: header.byte::<8>(),
        fragment,
        transport,
        defect,
    })
}
