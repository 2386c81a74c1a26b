//! What no real client sends.

use super::{
    address::{Address, Family},
    packet::{Packet, TcpFlags, Transport},
};
use crate::abi::reason::Reason;

/// The reasons that an operator can switch off one by one: all that this module and the parser's
/// `defect` give.
pub const SWITCHABLE: [Reason; 8] = [
    Reason::MartianSource,
    Reason::Land,
    Reason::TcpFlags,
    Reason::PortZero,
    Reason::TinyFragment,
    Reason::FragmentOffset,
    Reason::FragmentOverrun,
    Reason::ForgedDiscovery,
];

/// Calls `found` with everything that is wrong with a packet, until it breaks.
///
/// All of it, not the first: a check that is switched off or only watched must not hide another.
#[inline(always)]
pub fn check<B>(
    packet: &Packet,
    mut found: impl FnMut(Reason) -> core::ops::ControlFlow<B>,
) -> core::ops::ControlFlow<B> {
    if let Some(defect) = packet.defect {
        found(defect)?;
    }
    if is_martian(&packet.source) {
        found(Reason::MartianSource)?;
    }
    if is_land(packet) {
        found(Reason::Land)?;
    }
    match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => {
            // The parser tells of a SYN in pieces, unless its options are cut off besides.
            let is_told = matches!(packet.defect, Some(Reason::TcpFlags));
            let is_cut_off = matches!(packet.defect, Some(Reason::TinyFragment));
            let opens = flags.0 & TcpFlags::SYN != 0;
            if !is_told && (flags_are_nonsense(flags) || is_cut_off && opens) {
                found(Reason::TcpFlags)?;
            }
            ports(source_port, destination_port, found)
        }
        Transport::Udp {
            source_port,
            destination_port,
        } => ports(source_port, destination_port, found),
        Transport::Icmp { .. } | Transport::Opaque => core::ops::ControlFlow::Continue(()),
    }
}

#[inline(always)]
fn is_land(packet: &Packet) -> bool {
    match packet.source.family() {
        Family::V4 => packet.source.high32() == packet.destination.high32(),
        Family::V6 => packet.source.words() == packet.destination.words(),
    }
}

#[inline(always)]
fn ports<B>(
    source: u16,
    destination: u16,
    mut found: impl FnMut(Reason) -> core::ops::ControlFlow<B>,
) -> core::ops::ControlFlow<B> {
    if source == 0 || destination == 0 {
        found(Reason::PortZero)?;
    }
    core::ops::ControlFlow::Continue(())
}

/// Sources that no packet from a wire can have (RFC 6890, RFC 4291): "this network", loopback,
/// multicast and reserved; the unspecified, loopback, multicast and v4-mapped addresses of IPv6.
/// Private, shared, link-local and documentation ranges are not among them: real hosts use them.
#[inline(always)]
pub const fn is_martian(source: &Address) -> bool {
    let high = source.high32();
    match source.family() {
        Family::V4 => matches!(high >> 24, 0 | 127 | 224..),
        Family::V6 => {
            let words = source.words();
            let low = u32::from_be(words[3]);
            let zeros = high | words[1];
            high >> 24 == 0xff
                || (zeros | words[2] == 0 && low <= 1)
                || (zeros == 0 && u32::from_be(words[2]) == 0xffff)
        }
    }
}

/// SYN with FIN, SYN with RST, no flag at all, or FIN with PSH and URG alone ("Xmas").
#[inline(always)]
const fn flags_are_nonsense(flags: TcpFlags) -> bool {
    const SYN_FIN: u8 = TcpFlags::SYN | TcpFlags::FIN;
    const SYN_RST: u8 = TcpFlags::SYN | TcpFlags::RST;
    const XMAS: u8 = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
    let flags = flags.0 & 0x3f;
    flags & SYN_FIN == SYN_FIN || flags & SYN_RST == SYN_RST || flags == 0 || flags == XMAS
}
