//! State per source, in sets of one cache line.
//!
//! A line holds two ways for each class of traffic, each way a bucket's word whose tag says whose
//! it is. A full bucket and no state mean the same, so a newcomer takes the way whose bucket,
//! refilled to now, is fullest, and loses nothing for its former owner. If both are more than
//! half empty, the newcomer gets no state: a flood of new sources cannot push out those that are
//! being limited.

use super::{
    address::{Address, Family},
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

/// What the table says to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Above the limit. Nothing is written.
    Refused,
    /// No way is free for a source that was not seen before. It passes.
    Untracked,
    /// Within the limit: write this to that way.
    Granted(usize, Write),
}

/// Charges a packet of the source with this tag, that costs so many units of time, to one of a
/// class's two ways.
#[inline(always)]
pub const fn charge(ways: [u64; WAYS], tag: u64, now: Now, limit: &Limit, cost: u64) -> Charge {
    let deficits = [
        bucket::deficit(ways[0], now, limit),
        bucket::deficit(ways[1], now, limit),
    ];
    let (way, deficit) = if bucket::tag(ways[0]) == tag {
        (0, deficits[0])
    } else if bucket::tag(ways[1]) == tag {
        (1, deficits[1])
    } else {
        let fuller = if deficits[1] < deficits[0] { 1 } else { 0 };
        let emptiest_to_replace = limit.depth >> 1;
        if deficits[0] > emptiest_to_replace && deficits[1] > emptiest_to_replace {
            return Charge::Untracked;
        }
        (fuller, 0)
    };
    match bucket::charge(deficit, tag, now, limit, cost) {
        Some(write) => Charge::Granted(way, write),
        None => Charge::Refused,
    }
}
