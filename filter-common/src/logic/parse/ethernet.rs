//! Ethernet with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use core::ops::ControlFlow;

use super::{Frame, Piece as _};
use crate::abi::reason::Reason;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
/// Stacked tags as switches wrote them before 802.1ad.
const OLD_PROVIDER_VLAN: u16 = 0x9100;

/// Which network layer follows.
pub enum Network {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The network layer, and the offset it starts at.
#[inline(always)]
pub fn network(frame: &impl Frame) -> ControlFlow<Reason, (Network, u32)> {
    let header = frame.need::<14>(0)?;
    let mut ethertype = header.be16::<12>();
    let mut offset = 14_u32;
    for _ in 0..2 {
        if !is_tag(ethertype) {
            break;
        }
        let tag = frame.need::<4>(offset)?;
        ethertype = tag.be16::<2>();
        offset = offset.wrapping_add(4);
    }
    match ethertype {
        IPV4 => ControlFlow::Continue((Network::Ipv4, offset)),
        IPV6 => ControlFlow::Continue((Network::Ipv6, offset)),
        other if is_tag(other) => ControlFlow::Break(Reason::VlanDepth),
        _ => ControlFlow::Break(Reason::NotIp),
    }
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN)
}
