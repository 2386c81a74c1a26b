//! The least an XDP program can do, to compare with.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};

use crate::{
    memory::{Place, SOURCE_V4, SOURCE_V6},
    rewrite::bytes_at,
};

const DESTINATION_MAC_END: usize = 4;
/// Where the last two bytes of the source's hardware address lie.
pub const SOURCE_MAC_END: usize = 10;
/// How the hardware address of the sandbox's gateway ends, which templates and albums come from.
pub const GATEWAY: u16 = 0x00fe;
/// How that of the sandbox's attacker ends.
pub const ATTACKER: u16 = 0x0003;
const ETHERTYPE_AT: usize = 12;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Where a packet comes from, as the reference programs key their maps.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Source {
    /// The IPv4 address, or the first half of the IPv6 address; in memory order, left-aligned.
    pub address: u64,
    /// How many bits of it count.
    pub bits: u32,
}

/// Lets everything through; a veth's other end needs a program for frames sent by XDP.
#[xdp(frags)]
pub fn pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// Drops everything unseen: what the kernel's own path costs, and the ceiling of any filter.
#[xdp(frags)]
pub fn bare_drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Drops what comes from the hardware addresses of the lab's floods, and passes people: the best
/// that a filter could do which knew the attacker beforehand.
#[xdp(frags)]
pub fn drop_flood(ctx: XdpContext) -> u32 {
    match mac_end(&ctx, SOURCE_MAC_END) {
        Some(GATEWAY | ATTACKER) => XDP_DROP,
        Some(_) | None => XDP_PASS,
    }
}

/// The far end of the server's wire: what is meant for forged addresses is sent to the gateway, and
/// ends here, as it would be gone behind a card. The rest passes.
#[xdp(frags)]
pub fn far_end(ctx: XdpContext) -> u32 {
    match mac_end(&ctx, DESTINATION_MAC_END) {
        Some(GATEWAY) => XDP_DROP,
        Some(_) | None => XDP_PASS,
    }
}

/// The last two bytes of a hardware address; the sandbox's hosts differ in them.
#[inline(always)]
fn mac_end(ctx: &XdpContext, offset: usize) -> Option<u16> {
    let end = bytes_at::<u16>(ctx, offset)?;
    // SAFETY: `bytes_at` checked the bounds, and the offset is even.
    Some(u16::from_be(unsafe { *end }))
}

/// Sends every frame back to where it came from: what an answer costs without making one.
#[xdp(frags)]
pub fn bare_answer(ctx: XdpContext) -> u32 {
    let Some(addresses) = bytes_at::<[u16; 6]>(&ctx, 0) else {
        return XDP_DROP;
    };
    // SAFETY: `bytes_at` checked the bounds; frames start on an even address.
    unsafe {
        let [a, b, c, d, e, f] = *addresses;
        *addresses = [d, e, f, a, b, c];
    }
    XDP_TX
}

/// Parses Ethernet and IP, then drops: the floor of the benchmark.
#[xdp(frags)]
pub fn floor(ctx: XdpContext) -> u32 {
    // Depends on the address, so that the compiler keeps the parsing.
    if source_of(&ctx).address != 0 {
        XDP_DROP
    } else {
        XDP_PASS
    }
}

/// The source of a frame without VLAN tags; of IPv6 the /64. No bits of it count if there is none:
/// an `Option` would leave the address undefined then, which the verifier does not like.
#[inline(always)]
pub fn source_of(ctx: &XdpContext) -> Source {
    let none = Source {
        address: 0,
        bits: 0,
    };
    let Some(ethertype) = bytes_at::<u16>(ctx, ETHERTYPE_AT) else {
        return none;
    };
    // SAFETY: `bytes_at` checked the bounds, and the offset is even.
    match u16::from_be(unsafe { *ethertype }) {
        IPV4 => match Place::<4>::of(ctx, SOURCE_V4) {
            Some(place) => Source {
                address: u64::from(place.get32()),
                bits: 32,
            },
            None => none,
        },
        IPV6 => match Place::<8>::of(ctx, SOURCE_V6) {
            Some(place) => Source {
                address: place.get64(),
                bits: 64,
            },
            None => none,
        },
        _ => none,
    }
}
