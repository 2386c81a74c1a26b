//! How many SYNs are answered. Whoever answers forged SYNs answers those they are forged in the name
//! of: so there is a ceiling in all and for each prefix, and known good go first.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::{
        address::Family,
        bucket,
        hash::source_number,
        packet::Packet,
        share::Level,
        source::{Line, SETS_LOG2, Slot},
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

/// Charges an answer to this CPU and to the prefix; says whether both have room. Those who are not
/// known good lose from a quarter of the CPU's bucket on at random, and from the half on always.
#[inline(always)]
pub fn have_room(packet: &Packet, settings: &Settings, cpu: &mut CpuState, is_good: bool) -> bool {
    let now = Tick::now().moment();
    let limit = &settings.cookies.answers;
    let deficit = bucket::deficit(cpu.cookies, now, limit);
    let after = deficit.wrapping_add(limit.interval);
    // To be told apart without a division.
    if after > limit.depth >> 2 {
        let level = Level::of(after, limit.depth);
        if level.is_full() || !is_good && level.loses(random::number()) {
            return false;
        }
    }
    is_within_prefix(packet, settings, is_good) && bucket::take(&mut cpu.cookies, now, limit)
}

/// Those who are not known good have half of the prefix's bucket, so that nobody who forges in the
/// names of their neighbours shuts known good out.
#[inline(always)]
fn is_within_prefix(packet: &Packet, settings: &Settings, is_good: bool) -> bool {
    let mut limit = settings.cookies.answers_prefix;
    if limit.is_none() {
        return true;
    }
    if !is_good {
        // Room for one there is, however small the burst.
        limit.depth = (limit.depth >> 1).max(limit.interval);
    }
    let family = packet.source.family();
    let mask = match family {
        Family::V4 => settings.prefix_mask_v4,
        Family::V6 => settings.prefix_mask_v6,
    };
    let number = source_number(&packet.source) & mask;
    let slot = Slot::of_number(family, number, &settings.key, SHIFT);
    match ANSWERS.get_ptr_mut(slot.line >> SETS_LOG2) {
        Some(line) => atomic::charge(line, &slot, Tick::now().moment(), &limit, limit.interval),
        None => true,
    }
}
