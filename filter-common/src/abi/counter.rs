//! Counters per reason, one set per CPU.

use super::{
    map_value,
    reason::{CODES, Reason},
};

/// How many packets, and how many bytes of frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets. An aggregate (generic mode, veth) counts as one.
    pub packets: u64,
    /// Bytes of frame, from the Ethernet header on, without preamble and checksum.
    pub bytes: u64,
}

map_value!(Counter: 16);

impl Counter {
    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// Entries of the counter map: what happened, then what would have happened.
pub const COUNTERS: u32 = CODES.wrapping_mul(2);

/// Where the counter of what happened for `reason` lies.
#[inline(always)]
pub const fn happened(reason: Reason) -> u32 {
    reason as u32
}

/// Where the counter of packets lies that the reason with this
/// code would have dropped, were it enforced.
#[inline(always)]
pub const fn observed(code: u8) -> u32 {
    CODES.wrapping_add(code as u32)
}
