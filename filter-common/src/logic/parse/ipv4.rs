//! IPv4 (RFC 791), options included.

use core::ops::ControlFlow;

use super::{
    Frame, Piece,
    transport::{self, Upper},
};
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

/// Parses the packet at `offset`. What is wrong behind the addresses is a defect of the packet, not
/// the end of it: the lists still apply.
#[inline(always)]
pub fn packet(frame: &impl Frame, offset: u32) -> ControlFlow<Reason, Packet> {
    let header = frame.need::<20>(offset)?;
    if header.byte::<0>() >> 4 != 4 {
        return ControlFlow::Break(Reason::Malformed);
    }
    let fragment = fragment(header.be16::<6>());
    let upper = match rest(frame, offset, &header, fragment) {
        ControlFlow::Continue(upper) => upper,
        ControlFlow::Break(reason) => Upper::opaque(Some(reason)),
    };
    let fragment_id = match fragment {
        Fragment::Whole => 0,
        Fragment::First | Fragment::Later => u32::from(header.be16::<4>()),
    };
    ControlFlow::Continue(Packet {
        source: Address::v4(header.word::<12>()),
        destination: Address::v4(header.word::<16>()),
        protocol: header.byte::<9>(),
        hops: header.byte::<8>(),
        fragment,
        fragment_id,
        length: header.be16::<2>(),
        payload: upper.payload,
        end: offset.wrapping_add(u32::from(header.be16::<2>())),
        header: upper.header,
        defect: upper.defect,
    })
}

/// What the flags and the fragment offset make of a packet.
#[inline(always)]
const fn fragment(pieces: u16) -> Fragment {
    match (pieces & OFFSET_MASK, pieces & MORE_FRAGMENTS) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// What the packet carries.
#[inline(always)]
fn rest(
    frame: &impl Frame,
    offset: u32,
    header: &impl Piece,
    fragment: Fragment,
) -> ControlFlow<Reason, Upper> {
    let header_length = u32::from(header.byte::<0>() & 0x0f).wrapping_mul(4);
    let total_length = u32::from(header.be16::<2>());
    if header_length < 20 || total_length < header_length {
        return ControlFlow::Break(Reason::Malformed);
    }
    let end = offset.wrapping_add(total_length);
    if !frame.holds(end) {
        return ControlFlow::Break(Reason::Truncated);
    }
    let carried = header.byte::<9>();
    let position = u32::from(header.be16::<6>() & OFFSET_MASK).wrapping_mul(8);
    match fragment {
        Fragment::Later if carried == protocol::TCP && position == 8 => {
            ControlFlow::Break(Reason::FragmentOffset)
        }
        Fragment::Later if position.wrapping_add(total_length) > LARGEST => {
            ControlFlow::Break(Reason::FragmentOverrun)
        }
        Fragment::Later => ControlFlow::Continue(Upper::opaque(None)),
        Fragment::Whole | Fragment::First => {
            let at = offset.wrapping_add(header_length);
            let more = matches!(fragment, Fragment::First);
            transport::header(frame, at, end, carried, more)
        }
    }
}
