//! IPv6 (RFC 8200) with its chain of extension headers.

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

/// Extension headers that are followed.
const DEPTH: u32 = 6;
const LARGEST: u32 = 65_535;

/// Next-header numbers of extension headers (IANA).
pub mod extension {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Authentication (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
    /// Mobility (RFC 6275).
    pub const MOBILITY: u8 = 135;
    /// Host identity (RFC 7401).
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533).
    pub const SHIM6: u8 = 140;
}

/// What the chain of headers led to.
struct Chain {
    protocol: u8,
    offset: u32,
    fragment: Fragment,
    fragment_id: u32,
    /// Whether other pieces follow: not behind an atomic fragment (RFC 6946), which is whole.
    more: bool,
    defect: Option<Reason>,
}

/// Parses the packet at `offset`. What is wrong behind the addresses is a defect of the packet, not
/// the end of it: the lists still apply.
#[inline(always)]
pub fn packet(frame: &impl Frame, offset: u32) -> ControlFlow<Reason, Packet> {
    let header = frame.need::<40>(offset)?;
    if header.byte::<0>() >> 4 != 6 {
        return ControlFlow::Break(Reason::Malformed);
    }
    let rest = match rest(frame, offset, &header) {
        ControlFlow::Continue(rest) => rest,
        ControlFlow::Break(reason) => Rest {
            protocol: header.byte::<6>(),
            fragment: Fragment::Whole,
            fragment_id: 0,
            upper: Upper::opaque(Some(reason)),
        },
    };
    let length = u32::from(header.be16::<4>()).wrapping_add(40);
    ControlFlow::Continue(Packet {
        source: Address::v6([
            header.word::<8>(),
            header.word::<12>(),
            header.word::<16>(),
            header.word::<20>(),
        ]),
        destination: Address::v6([
            header.word::<24>(),
            header.word::<28>(),
            header.word::<32>(),
            header.word::<36>(),
        ]),
        protocol: rest.protocol,
        hops: header.byte::<7>(),
        fragment: rest.fragment,
        fragment_id: rest.fragment_id,
        length: if length > LARGEST {
            LARGEST as u16
        } else {
            length as u16
        },
        payload: rest.upper.payload,
        end: offset.wrapping_add(length),
        header: rest.upper.header,
        defect: rest.upper.defect,
    })
}

/// What follows the fixed header.
struct Rest {
    protocol: u8,
    fragment: Fragment,
    fragment_id: u32,
    upper: Upper,
}

#[inline(always)]
fn rest(frame: &impl Frame, offset: u32, header: &impl Piece) -> ControlFlow<Reason, Rest> {
    let first = offset.wrapping_add(40);
    let end = first.wrapping_add(u32::from(header.be16::<4>()));
    if !frame.holds(end) {
        return ControlFlow::Break(Reason::Truncated);
    }
    let chain = follow(frame, header.byte::<6>(), first, end)?;
    let upper = match chain.fragment {
        Fragment::Later => Upper::opaque(chain.defect),
        Fragment::Whole | Fragment::First => {
            transport::header(frame, chain.offset, end, chain.protocol, chain.more)?
        }
    };
    ControlFlow::Continue(Rest {
        protocol: chain.protocol,
        fragment: chain.fragment,
        fragment_id: chain.fragment_id,
        upper,
    })
}

/// Follows the chain to the transport header, or to a later fragment, behind which there is none.
#[inline(always)]
fn follow(frame: &impl Frame, first: u8, offset: u32, end: u32) -> ControlFlow<Reason, Chain> {
    let mut chain = Chain {
        protocol: first,
        offset,
        fragment: Fragment::Whole,
        fragment_id: 0,
        more: false,
        defect: None,
    };
    for _ in 0..DEPTH {
        let units = match chain.protocol {
            extension::HOP_BY_HOP
            | extension::ROUTING
            | extension::DESTINATION
            | extension::MOBILITY
            | extension::HIP
            | extension::SHIM6 => Some((1_u32, 8_u32)),
            extension::AUTHENTICATION => Some((2, 4)),
            extension::FRAGMENT => None,
            _ => return ControlFlow::Continue(chain),
        };
        let header = frame.need::<8>(chain.offset)?;
        let next = header.byte::<0>();
        let length = match units {
            Some((more, unit)) => u32::from(header.byte::<1>())
                .wrapping_add(more)
                .wrapping_mul(unit),
            None => 8,
        };
        let behind = chain.offset.wrapping_add(length);
        if behind > end {
            return ControlFlow::Break(Reason::Malformed);
        }
        if units.is_none() {
            if !matches!(chain.fragment, Fragment::Whole) {
                return ControlFlow::Break(Reason::Malformed);
            }
            let pieces = header.be16::<2>();
            chain.fragment_id = u32::from_be(header.word::<4>());
            chain.more = pieces & 1 != 0;
            let position = u32::from(pieces & 0xfff8);
            chain.fragment = if position > 0 {
                Fragment::Later
            } else {
                Fragment::First
            };
            if position > 0 {
                chain.protocol = next;
                chain.offset = behind;
                chain.defect = later_defect(next, position, end.wrapping_sub(behind));
                return ControlFlow::Continue(chain);
            }
        }
        chain.protocol = next;
        chain.offset = behind;
    }
    match chain.protocol {
        extension::HOP_BY_HOP
        | extension::ROUTING
        | extension::FRAGMENT
        | extension::AUTHENTICATION
        | extension::DESTINATION
        | extension::MOBILITY
        | extension::HIP
        | extension::SHIM6 => ControlFlow::Break(Reason::ExtensionDepth),
        _ => ControlFlow::Continue(chain),
    }
}

/// What is wrong with a later fragment at `position` that carries `length` bytes.
#[inline(always)]
const fn later_defect(carried: u8, position: u32, length: u32) -> Option<Reason> {
    if carried == protocol::TCP && position == 8 {
        Some(Reason::FragmentOffset)
    } else if position.wrapping_add(length) > LARGEST {
        Some(Reason::FragmentOverrun)
    } else {
        None
    }
}
