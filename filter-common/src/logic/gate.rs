//! The gate before the lists: 2²⁴ bits that say "an entry lies near this address, look".
//!
//! IPv4 has one bit for each /24, exactly. IPv6 has two: one for the hash of the /48, and one for
//! that of the /32. An IPv6 entry of /40 or longer sets the bits of the /48s it covers, a shorter
//! one those of the /32s; entries shorter than /20 open the gate for all of IPv6. So no entry sets
//! more than 4,096 bits behind a hash, and a clean packet reads one word, or two.
//!
//! Behind it lies an inner gate, whose bits are for single entries alone: who comes to the lists
//! because of a big set, which has no need of it, is spared the look-ups in hashes.

use super::{
    address::{Address, Family},
    hash::HashKey,
};

/// Words of 64 bits in an entry of the gate's map: one cache line.
pub const LINE_WORDS: usize = 8;
/// Lines of the gate, and as many of the inner gate.
pub const LINES: u32 = 1 << 15;
/// Entries of the gate's map: the gate, then the inner gate.
pub const ENTRIES: u32 = LINES * 2;

/// IPv6 entries shorter than this have no bits of their own.
pub const SHORTEST_V6: u8 = 20;
/// IPv6 entries at least this long have bits of /48s, others bits of /32s.
pub const SHORTEST_V6_NARROW: u8 = 40;

/// Where a bit of the gate lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bit(u32);

impl Bit {
    /// The bit that a packet from `address` looks at.
    #[inline(always)]
    pub const fn of(address: &Address, key: &HashKey) -> Self {
        match address.family() {
            Family::V4 => Self(address.high32() >> 8),
            Family::V6 => Self((key.set(Family::V6, address.high64() >> 16) >> 40) as u32),
        }
    }

    /// The other bit that a packet from an IPv6 `address` looks at.
    #[inline(always)]
    pub const fn wide(address: &Address, key: &HashKey) -> Self {
        Self::of_v6_wide_block(address.high64() >> 32, key)
    }

    /// The bit of the IPv6 /32 with this number.
    #[inline(always)]
    pub const fn of_v6_wide_block(block: u64, key: &HashKey) -> Self {
        Self((key.tag(Family::V6, block) >> 40) as u32)
    }

    /// The bit of the IPv4 /24 with this number.
    pub const fn of_v4_block(block: u32) -> Self {
        Self(block & 0x00ff_ffff)
    }

    /// The bit of the IPv6 /48 with this number.
    pub const fn of_v6_block(block: u64, key: &HashKey) -> Self {
        Self((key.set(Family::V6, block) >> 40) as u32)
    }

    /// Index in the gate's map.
    #[inline(always)]
    pub const fn line(self) -> u32 {
        self.0 >> 9
    }

    /// Index in the gate's map of its line in the inner gate.
    #[inline(always)]
    pub const fn inner_line(self) -> u32 {
        LINES | self.line()
    }

    /// Word within the line.
    #[inline(always)]
    pub const fn word(self) -> usize {
        (self.0 >> 6 & 7) as usize
    }

    /// Mask within the word.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        1_u64.wrapping_shl(self.0 & 63)
    }
}
