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

/// What speaks for a SYN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Stranger,
    /// Its source is known good.
    Good,
    /// And it has the source's hop limit.
    Expected,
    /// Its source is known good, and it is sent again.
    Repeated,
    /// And it has the source's hop limit.
    RepeatedExpected,
}

impl Standing {
    /// The eighths of a prefix's bucket that are there for the SYN: what is above them is kept for
    /// those for whom more speaks, so that these go first.
    #[inline(always)]
    const fn eighths(self) -> u64 {
        match self {
            Self::Stranger => 4,
            Self::Good => 6,
            Self::Expected => 7,
            Self::Repeated | Self::RepeatedExpected => 8,
        }
    }
}

/// Charges an answer to this CPU and to the prefix; says whether both have room. Those who are not
/// known good lose from a quarter of the CPU's bucket on at random, and from the half on always.
#[inline(always)]
pub fn have_room(
    packet: &Packet,
    settings: &Settings,
    cpu: &mut CpuState,
    standing: Standing,
) -> bool {
    let now = Tick::now().moment();
    let limit = &settings.cookies.answers;
    let deficit = bucket::deficit(cpu.cookies, now, limit);
    let after = deficit.wrapping_add(limit.interval);
    // To be told apart without a division.
    if after > limit.depth >> 2 {
        let level = Level::of(after, limit.depth);
        let is_stranger = standing == Standing::Stranger;
        if level.is_full() || is_stranger && level.loses(random::number()) {
            return false;
        }
    }
    is_within_prefix(packet, settings, standing) && bucket::take(&mut cpu.cookies, now, limit)
}

/// What is sent again has a bucket of its own before, of half the prefix's rate: who repeats what he
/// forges takes that from others who repeat, and no more than it from the rest.
#[inline(always)]
fn is_within_prefix(packet: &Packet, settings: &Settings, standing: Standing) -> bool {
    let limit = &settings.cookies.answers_prefix;
    if limit.is_none() {
        return true;
    }
    let repeats = halved(limit);
    let is_within = match standing {
        Standing::Stranger | Standing::Good | Standing::Expected => true,
        Standing::Repeated => charge(packet, settings, REPEATS, &part(&repeats, 4)),
        Standing::RepeatedExpected => charge(packet, settings, REPEATS, &repeats),
    };
    is_within && charge(packet, settings, ALL, &part(limit, standing.eighths()))
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
