//! State per source, in sets of one cache line.
//!
//! A line holds two ways for each class of traffic, each way a bucket's word whose tag says whose
//! it is. A full bucket and no state mean the same, so a newcomer takes the way whose bucket,
//! refilled to now, is fullest, and loses nothing for its former owner. If both are more than
//! half empty, the newcomer gets no state: a flood of new sources cannot push out those that are
//! being limited.

use super::{
    address::{Address, Family},
    branchless::{below, choose, equal},
    bucket::{self, Limit, Now, TAG_BITS, Write},
    hash::{HashKey, source_number},
};
use crate::abi::settings::PACKET_CLASSES;

/// Ways of a class in a line.
pub const WAYS: usize = 2;
/// A line: the ways of the first class, then of the next.
pub type Line = [u64; LINE_WORDS];
/// Words in a line: 64 bytes.
pub const LINE_WORDS: usize = 8;

/// Sets of two ways in a line, as a power of two.
pub const SETS_LOG2: u32 = LINE_WORDS.ilog2() - WAYS.ilog2();

const _: () = assert!(LINE_WORDS == WAYS.wrapping_mul(PACKET_CLASSES));

/// Where a source's state is, and the tag it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Index of the line.
    pub line: u32,
    /// The tag, below 2²⁰ and never zero.
    pub tag: u64,
}

impl Slot {
    /// The slot of a source (IPv4 address, IPv6 /64) in a table of `2^(64 - shift)` lines.
    #[inline(always)]
    pub const fn of(source: &Address, key: &HashKey, shift: u32) -> Self {
        Self::of_number(source.family(), source_number(source), key, shift)
    }

    /// The slot of whoever has this number among senders of a family.
    #[inline(always)]
    pub const fn of_number(family: Family, number: u64, key: &HashKey, shift: u32) -> Self {
        Self {
            line: (key.set(family, number).wrapping_shr(shift)) as u32,
            tag: key.tag(family, number) >> (64_u32.wrapping_sub(TAG_BITS)) | 1,
        }
    }
}

/// What to add to a source's number, so that one source has a bucket for each of many purposes.
#[inline(always)]
pub const fn salt(purpose: u32) -> u64 {
    (purpose as u64)
        .wrapping_add(1)
        .wrapping_mul(1 << 48 | 0x9e37_79b9)
}

/// What a class's two ways say to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The way that the source has, or takes: 0 or 1.
    pub way: u32,
    /// Not zero: the packet is above the limit.
    pub refused: u64,
    /// Not zero: nothing is to be written.
    kept: u64,
    deficit: u64,
}

impl Charge {
    /// Of a class that has no limit.
    pub const NONE: Self = Self {
        way: 0,
        refused: 0,
        kept: 1,
        deficit: 0,
    };

    /// Whether the packet is above the limit.
    #[inline(always)]
    pub const fn is_refused(&self) -> bool {
        self.refused != 0
    }

    /// Whether nothing is to be written: refused, or untracked.
    #[inline(always)]
    pub const fn is_kept(&self) -> bool {
        self.kept != 0
    }

    /// What to write to the way, unless it is kept: of the tag, the moment and the cost that it
    /// was asked about.
    #[inline(always)]
    pub const fn write(&self, tag: u64, now: Now, cost: u64) -> Write {
        bucket::grant(self.deficit, tag, now, cost)
    }
}

/// Charges a packet of the source with this tag, that costs so many units of time, to one of a
/// class's two ways.
///
/// A source that has no way takes the fuller of the two. If both are more than half empty it
/// gets none: it passes, and leaves no trace.
#[inline(always)]
pub fn charge(ways: [u64; WAYS], tag: u64, now: Now, limit: &Limit, cost: u64) -> Charge {
    let deficits = [
        bucket::deficit(ways[0], now, limit),
        bucket::deficit(ways[1], now, limit),
    ];
    let first = equal(bucket::tag(ways[0]), tag);
    let second = equal(bucket::tag(ways[1]), tag);
    let known = first | second;
    let fuller = below(deficits[1], deficits[0]);
    let second = choose(known, second, fuller);
    let found = choose(second, deficits[1], deficits[0]);
    let untracked = below(limit.depth >> 1, found) & !known;
    let deficit = found & known;
    let refused = below(limit.depth, deficit.wrapping_add(cost));
    Charge {
        way: (second & 1) as u32,
        refused,
        kept: untracked | refused,
        deficit,
    }
}
