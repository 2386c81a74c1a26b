//! Who is known good: sources that got data acknowledged on two days. That gives precedence over a
//! ceiling, and exempts from nothing.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        known::{self, GATE_LOG2, LINES_LOG2, Line, Places, QUOTAS_LOG2},
        packet::Packet,
    },
};

use crate::{atomic, lists::MMAPABLE};

/// Masks of days.
#[map]
static KNOWN: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Where in that table anybody may be known good.
#[map]
static KNOWN_GATE: Array<u64> = Array::with_max_entries(1 << GATE_LOG2, MMAPABLE);

/// New marks of IPv6 prefixes.
#[map]
static KNOWN_QUOTAS: Array<u64> = Array::with_max_entries(1 << QUOTAS_LOG2, MMAPABLE);

/// Whether the source of a packet is known good.
#[inline(always)]
pub fn is_good(packet: &Packet, settings: &Settings) -> bool {
    let places = Places::of(&packet.source, &settings.key);
    let (word, bit) = places.gate();
    let Some(word) = KNOWN_GATE.get_ptr(word) else {
        return false;
    };
    // SAFETY: a whole word of a live map value.
    if unsafe { word.read_volatile() } & bit == 0 {
        return false;
    }
    let Some(line) = KNOWN.get_ptr_mut(places.line) else {
        return false;
    };
    known::is_good(days(line, &places))
}

/// Whether the source was marked on another day: with one mark more it is known good, if it is not
/// already.
#[inline(always)]
pub fn was_here_before(source: &Address, settings: &Settings) -> bool {
    let places = Places::of(source, &settings.key);
    match KNOWN.get_ptr_mut(places.line) {
        Some(line) => days(line, &places) & !known::column(settings.day) != 0,
        None => false,
    }
}

/// Marks a source for the day.
#[inline(always)]
pub fn mark(source: &Address, settings: &Settings) {
    let day = settings.day;
    let places = Places::of(source, &settings.key);
    let Some(line) = KNOWN.get_ptr_mut(places.line) else {
        return;
    };
    let days = days(line, &places);
    // Before the daemon has told the day, there is none.
    if day == 0 || days & known::column(day) != 0 || !spend(source, settings) {
        return;
    }
    for place in &places.masks {
        atomic::set(word(line, place.word), place.bit(day));
    }
    // Behind the masks: who makes the gate of the table anew relies on it.
    if known::is_good(days | known::column(day)) {
        let (word, bit) = places.gate();
        if let Some(word) = KNOWN_GATE.get_ptr_mut(word) {
            atomic::set(word, bit);
        }
    }
}

/// The days that both masks of a source have.
#[inline(always)]
fn days(line: *mut Line, places: &Places) -> u64 {
    let mut days = u64::MAX;
    for place in &places.masks {
        // SAFETY: a whole word of a live map value.
        days &= place.days(unsafe { word(line, place.word).read_volatile() });
    }
    days
}

/// Whether the quota of the source's prefix has room for a mark; charges it.
#[inline(always)]
fn spend(source: &Address, settings: &Settings) -> bool {
    let Some(index) = known::quota(source, &settings.key) else {
        return true;
    };
    let Some(quota) = KNOWN_QUOTAS.get_ptr_mut(index) else {
        return false;
    };
    // SAFETY: a whole word of a live map value; of two CPUs that write at the same time, one mark
    // may count as none.
    unsafe {
        let used = known::quota_on(quota.read_volatile(), settings.day);
        if !known::has_room(used) {
            return false;
        }
        quota.write_volatile(used.wrapping_add(1));
    }
    true
}

#[inline(always)]
fn word(line: *mut Line, index: u32) -> *mut u64 {
    // SAFETY: the word is one of the line's.
    unsafe { line.cast::<u64>().add(index as usize & 7) }
}
