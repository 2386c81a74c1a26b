//! ICMP errors, and the packet that one quotes: the beginning of what this host is said to have
//! sent (RFC 792, RFC 1812, RFC 4443).

use super::{
    address::{Address, Family},
    packet::{Packet, Transport, protocol},
    parse::{Frame, Piece as _, extension},
};

/// What an ICMP message is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A router cannot forward packets of this size: what path MTU discovery lives on (RFC 1191,
    /// RFC 8201).
    TooBig,
    /// Another error, which quotes a packet.
    Error,
    /// Echo, and whatever else is no error.
    Other,
}

mod icmp {
    pub const UNREACHABLE: u8 = 3;
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

mod icmpv6 {
    pub const TOO_BIG: u8 = 2;
    /// Errors are below (RFC 4443, section 2.1).
    pub const FIRST_INFORMATIONAL: u8 = 128;
}

/// What a packet's ICMP message is. ICMPv6 within IPv4, and ICMP within IPv6, is no error, for no
/// stack takes it for one.
#[inline(always)]
pub const fn message(packet: &Packet) -> Message {
    let Transport::Icmp { kind, code } = packet.transport() else {
        return Message::Other;
    };
    match (packet.source.family(), packet.protocol) {
        (Family::V4, protocol::ICMP) => match (kind, code) {
            (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED) => Message::TooBig,
            (
                icmp::UNREACHABLE
                | icmp::SOURCE_QUENCH
                | icmp::REDIRECT
                | icmp::TIME_EXCEEDED
                | icmp::PARAMETER_PROBLEM,
                _,
            ) => Message::Error,
            _ => Message::Other,
        },
        (Family::V6, protocol::ICMPV6) => match kind {
            icmpv6::TOO_BIG => Message::TooBig,
            0..icmpv6::FIRST_INFORMATIONAL => Message::Error,
            _ => Message::Other,
        },
        (Family::V4 | Family::V6, _) => Message::Other,
    }
}

/// A quoted TCP segment or UDP datagram, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Who sent it: this host, if the error is an honest one.
    pub source: Address,
    /// Whom it was meant for.
    pub destination: Address,
    /// TCP or UDP.
    pub protocol: u8,
    /// Its source port.
    pub source_port: u16,
    /// Its destination port.
    pub destination_port: u16,
}

/// Extension headers that are followed.
const DEPTH: u32 = 6;
/// Bytes of the transport header that an error quotes at least.
const LEAST: u32 = 8;
/// Where in a frame a quoted header may end: the kernel's side reads no further than 16 KiB.
const REACH: u32 = 0x3f00;

/// The TCP segment or UDP datagram that lies between two offsets of a frame, cut short as it may
/// be. `None` if it is of another protocol, a later fragment, or too short to have ports.
#[inline(always)]
pub fn quoted(frame: &impl Frame, family: Family, offset: u32, end: u32) -> Option<Quoted> {
    let end = if end > REACH { REACH } else { end };
    match family {
        Family::V4 => v4(frame, offset, end),
        Family::V6 => v6(frame, offset, end),
    }
}

#[inline(always)]
fn v4(frame: &impl Frame, offset: u32, end: u32) -> Option<Quoted> {
    const OFFSET_MASK: u16 = 0x1fff;
    let header = piece::<20, _>(frame, offset, end)?;
    let length = u32::from(header.byte::<0>() & 0x0f).wrapping_mul(4);
    if header.byte::<0>() >> 4 != 4 || length < 20 || header.be16::<6>() & OFFSET_MASK != 0 {
        return None;
    }
    let source = Address::v4(header.word::<12>());
    let destination = Address::v4(header.word::<16>());
    let carried = header.byte::<9>();
    ports(
        frame,
        carried,
        offset.wrapping_add(length),
        end,
        source,
        destination,
    )
}

#[inline(always)]
fn v6(frame: &impl Frame, offset: u32, end: u32) -> Option<Quoted> {
    let header = piece::<40, _>(frame, offset, end)?;
    if header.byte::<0>() >> 4 != 6 {
        return None;
    }
    let source = Address::v6([
        header.word::<8>(),
        header.word::<12>(),
        header.word::<16>(),
        header.word::<20>(),
    ]);
    let destination = Address::v6([
        header.word::<24>(),
        header.word::<28>(),
        header.word::<32>(),
        header.word::<36>(),
    ]);
    let (carried, at) = follow(frame, header.byte::<6>(), offset.wrapping_add(40), end)?;
    ports(frame, carried, at, end, source, destination)
}

/// The protocol behind the extension headers, and where its header lies.
#[inline(always)]
fn follow(frame: &impl Frame, first: u8, offset: u32, end: u32) -> Option<(u8, u32)> {
    const OFFSET_MASK: u16 = 0xfff8;
    let (mut next, mut at) = (first, offset);
    for _ in 0..DEPTH {
        let (more, unit) = match next {
            extension::HOP_BY_HOP
            | extension::ROUTING
            | extension::DESTINATION
            | extension::MOBILITY
            | extension::HIP
            | extension::SHIM6 => (1_u32, 8_u32),
            extension::AUTHENTICATION => (2, 4),
            extension::FRAGMENT => (0, 0),
            _ => return Some((next, at)),
        };
        let header = piece::<8, _>(frame, at, end)?;
        if unit == 0 && header.be16::<2>() & OFFSET_MASK != 0 {
            return None;
        }
        let length = match unit {
            0 => 8,
            _ => u32::from(header.byte::<1>())
                .wrapping_add(more)
                .wrapping_mul(unit),
        };
        next = header.byte::<0>();
        at = at.wrapping_add(length);
    }
    Some((next, at))
}

#[inline(always)]
fn ports(
    frame: &impl Frame,
    carried: u8,
    offset: u32,
    end: u32,
    source: Address,
    destination: Address,
) -> Option<Quoted> {
    if !matches!(carried, protocol::TCP | protocol::UDP) || offset.wrapping_add(LEAST) > end {
        return None;
    }
    let header = piece::<4, _>(frame, offset, end)?;
    Some(Quoted {
        source,
        destination,
        protocol: carried,
        source_port: header.be16::<0>(),
        destination_port: header.be16::<2>(),
    })
}

#[inline(always)]
fn piece<const N: usize, F: Frame>(frame: &F, offset: u32, end: u32) -> Option<F::Piece<'_, N>> {
    if offset.wrapping_add(N as u32) > end {
        return None;
    }
    frame.piece(offset)
}
