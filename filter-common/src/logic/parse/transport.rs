//! TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792) and ICMPv6 (RFC 4443) headers.

use core::ops::ControlFlow;

use super::{Frame, Piece as _};
use crate::{
    abi::reason::Reason,
    logic::packet::{Header, TcpFlags, protocol},
};

/// What is known of what an IP packet carries.
pub struct Upper {
    /// The transport header.
    pub header: Header,
    /// Where in the frame its payload begins.
    pub payload: u16,
    /// What sanity should judge.
    pub defect: Option<Reason>,
}

impl Upper {
    /// Of a packet whose transport header cannot be seen.
    #[inline(always)]
    pub const fn opaque(defect: Option<Reason>) -> Self {
        Self {
            header: Header::OPAQUE,
            payload: 0,
            defect,
        }
    }
}

/// The header at `offset` of a packet that ends at `end`, and says whether `more` follows in other
/// pieces.
#[inline(always)]
pub fn header(
    frame: &impl Frame,
    offset: u32,
    end: u32,
    carried: u8,
    more: bool,
) -> ControlFlow<Reason, Upper> {
    let room = end.wrapping_sub(offset);
    let smallest = match carried {
        protocol::TCP => 20,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
        _ => return ControlFlow::Continue(Upper::opaque(None)),
    };
    if room < smallest {
        return if more {
            ControlFlow::Continue(Upper::opaque(Some(Reason::TinyFragment)))
        } else {
            ControlFlow::Break(Reason::Truncated)
        };
    }
    match carried {
        protocol::TCP => tcp(frame, offset, room, more),
        protocol::UDP => udp(frame, offset, room, more),
        _ => {
            let header = frame.need::<2>(offset)?;
            ControlFlow::Continue(Upper {
                header: Header::icmp(header.byte::<0>(), header.byte::<1>()),
                payload: offset.wrapping_add(8) as u16,
                defect: None,
            })
        }
    }
}

#[inline(always)]
fn tcp(frame: &impl Frame, offset: u32, room: u32, more: bool) -> ControlFlow<Reason, Upper> {
    let header = frame.need::<14>(offset)?;
    let length = u32::from(header.byte::<12>() >> 4).wrapping_mul(4);
    if length < 20 || (length > room && !more) {
        return ControlFlow::Break(Reason::Malformed);
    }
    let flags = TcpFlags(header.byte::<13>());
    let defect = if length > room {
        Some(Reason::TinyFragment)
    } else if more && flags.0 & TcpFlags::SYN != 0 {
        // What opens a connection is never longer than any path takes. With data (RFC 7413), it is
        // sent again without.
        Some(Reason::TcpFlags)
    } else {
        None
    };
    ControlFlow::Continue(Upper {
        header: Header::tcp(header.be16::<0>(), header.be16::<2>(), flags)
            .with_words(header.byte::<12>() >> 4),
        payload: offset.wrapping_add(length) as u16,
        defect,
    })
}

#[inline(always)]
fn udp(frame: &impl Frame, offset: u32, room: u32, more: bool) -> ControlFlow<Reason, Upper> {
    let header = frame.need::<6>(offset)?;
    let length = u32::from(header.be16::<4>());
    if length < 8 || (length > room && !more) {
        return ControlFlow::Break(Reason::Malformed);
    }
    ControlFlow::Continue(Upper {
        header: Header::udp(header.be16::<0>(), header.be16::<2>()),
        payload: offset.wrapping_add(8) as u16,
        defect: None,
    })
}
