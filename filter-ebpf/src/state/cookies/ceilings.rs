//! How many SYNs are answered. Whoever answers forged SYNs answers those they are forged in the name
//! of: so there is a ceiling in all and for each prefix, and those go first for whom more speaks.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::{
        address::Family,
        bucket::{self, HALF_RANGE, Limit},
        hash::source_number,
        packet::Packet,
        share::Level,
        source::{Line, SETS_LOG2, Slot, salt},
    },
};

use crate::{atomic, clock::Tick, lists::MMAPABLE, random};

/// Buckets of prefixes, in sets of two ways. Few enough to stay in the cache of a processor that
/// answers a flood; a third prefix that is above its ceiling in one set is not held to it.
#[map]
static ANSWERS: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

const LINES_LOG2: u32 = 11;
/// `64 - log2(sets)`, where a line has four sets.
const SHIFT: u32 = 64 - LINES_LOG2 - SETS_LOG2;

/// What speaks for a SYN, as the eighths of its prefix's bucket that are there for it: what lies above
/// them is kept for those for whom more speaks, so that these go first.
pub mod standing {
    /// Nothing.
    pub const STRANGER: u64 = 4;
    /// Its source is known good.
    pub const GOOD: u64 = 6;
    /// And it has the source's hop limit: the one that is odd.
    pub const EXPECTED: u64 = 7;
    /// It is sent again.
    pub const REPEATED: u64 = 8;
}

/// Charges an answer to this CPU and to the prefix; says whether both have room. Those who are not
/// known good lose from a quarter of the CPU's bucket on at random, and from the half on always.
#[inline(always)]
pub fn have_room(packet: &Packet, settings: &Settings, cpu: &mut CpuState, standing: u64) -> bool {
    let now = Tick::now().moment();
    let limit = &settings.cookies.answers;
    let deficit = bucket::deficit(cpu.cookies, now, limit);
    let after = deficit.wrapping_add(limit.interval);
    // To be told apart without a division.
    if after > limit.depth >> 2 {
        let level = Level::of(after, limit.depth);
        let is_stranger = standing == standing::STRANGER;
        if level.is_full() || is_stranger && level.loses(random::number()) {
            return false;
        }
    }
    is_within_prefix(packet, settings, standing) && bucket::take(&mut cpu.cookies, now, limit)
}

/// Likewise for the SYN of a known good source that had no room and is sent again. That has a bucket of
/// its own before, of half the prefix's rate: who repeats what he forges takes that from others who
/// repeat, and no more than it from the rest. Half of it is kept for those with an expected hop limit.
#[inline(always)]
pub fn have_room_again(
    packet: &Packet,
    settings: &Settings,
    cpu: &mut CpuState,
    standing: u64,
) -> bool {
    let now = Tick::now().moment();
    let all = &settings.cookies.answers;
    // First, for what the prefix is charged is not given back.
    if bucket::deficit(cpu.cookies, now, all).wrapping_add(all.interval) > all.depth {
        return false;
    }
    let limit = &settings.cookies.answers_prefix;
    let repeats = halved(limit);
    let eighths = (standing & 1).wrapping_mul(4).wrapping_add(4);
    if !limit.is_none() && !charge(packet, settings, REPEATS, &part(&repeats, eighths)) {
        return false;
    }
    is_within_prefix(packet, settings, standing::REPEATED)
        && bucket::take(&mut cpu.cookies, now, all)
}

#[inline(always)]
fn is_within_prefix(packet: &Packet, settings: &Settings, standing: u64) -> bool {
    let limit = &settings.cookies.answers_prefix;
    limit.is_none() || charge(packet, settings, ALL, &part(limit, standing))
}

/// What is added to a prefix's number for all answers, and for those to what is sent again.
const ALL: u64 = 0;
const REPEATS: u64 = salt(0);

/// Charges an answer to a bucket of the prefix.
#[inline(always)]
fn charge(packet: &Packet, settings: &Settings, salt: u64, limit: &Limit) -> bool {
    let family = packet.source.family();
    let mask = match family {
        Family::V4 => settings.prefix_mask_v4,
        Family::V6 => settings.prefix_mask_v6,
    };
    let number = (source_number(&packet.source) & mask).wrapping_add(salt);
    let slot = Slot::of_number(family, number, &settings.key, SHIFT);
    match ANSWERS.get_ptr_mut(slot.line >> SETS_LOG2) {
        Some(line) => atomic::charge(line, &slot, Tick::now().moment(), limit, limit.interval),
        None => true,
    }
}

/// A limit of so many eighths of the burst. Room for one there is, however small that is.
#[inline(always)]
fn part(limit: &Limit, eighths: u64) -> Limit {
    Limit {
        depth: (limit.depth >> 3).wrapping_mul(eighths).max(limit.interval),
        ..*limit
    }
}

/// A limit of half the rate and half the burst.
#[inline(always)]
fn halved(limit: &Limit) -> Limit {
    Limit {
        interval: limit.interval.wrapping_mul(2),
        depth: limit.depth.max(limit.interval.wrapping_mul(2)),
        horizon: limit.horizon.wrapping_mul(2).min(HALF_RANGE),
    }
}
