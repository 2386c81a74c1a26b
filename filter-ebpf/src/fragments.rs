//! Fragments: the later share the fate of the first.
//!
//! The fates are kept in a small table that new ones overwrite. A word of it is
//! `tag:16 | tick:32 | service:8 | fate:8`, the service being that of the first fragment, by its
//! index plus one: later fragments have no ports to be known by.

use core::ops::ControlFlow;

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{
        feature::Feature,
        reason::{Action, Reason},
        settings::FragmentPolicy,
    },
    logic::packet::{Fragment, Packet},
};

use crate::{atomic, judge::Judge, lists::MMAPABLE, shape};

const WORDS_LOG2: u32 = 14;

#[map]
static FRAGMENTS: Array<u64> = Array::with_max_entries(1 << WORDS_LOG2, MMAPABLE);

/// The bucket of all fragments.
#[map]
static FRAGMENT_BUCKET: Array<u64> = Array::with_max_entries(1, 0);

/// What became of a first fragment.
#[repr(u8)]
#[derive(Clone, Copy)]
enum Fate {
    Passed = 1,
    Dropped = 2,
    /// By a rule.
    Spared = 3,
}

/// Drops later fragments of what was dropped, and treats those whose first was not seen as the
/// policy says.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Fragments)
        || matches!(packet.fragment, Fragment::Whole)
        || judge.is_spared()
    {
        return ControlFlow::Continue(());
    }
    let mut is_limited = true;
    if matches!(packet.fragment, Fragment::Later) {
        let word = fate(packet, judge);
        match word as u8 {
            code if code == Fate::Dropped as u8 => judge.found(Reason::FragmentOfDropped)?,
            code if code == Fate::Passed as u8 => judge.belongs_to((word >> 8) as u8),
            code if code == Fate::Spared as u8 => {
                judge.belongs_to((word >> 8) as u8);
                judge.spare(Reason::RulePass)?;
                is_limited = false;
            }
            _ => {
                let policy = judge.settings.fragment_policy;
                if policy == FragmentPolicy::Drop as u32 {
                    judge.found(Reason::FragmentUnknown)?;
                }
                is_limited = policy != FragmentPolicy::Pass as u32;
            }
        }
    }
    if is_limited && !is_within(judge) {
        judge.found(Reason::LimitFragments)?;
    }
    ControlFlow::Continue(())
}

/// Remembers what became of a first fragment.
#[inline(always)]
pub fn remember(packet: &Packet, reason: Reason, judge: &Judge) {
    if !shape::has(Feature::Fragments) || !matches!(packet.fragment, Fragment::First) {
        return;
    }
    let fate = match reason.action() {
        Action::Drop | Action::Answer => Fate::Dropped,
        Action::Pass if matches!(reason, Reason::RulePass) => Fate::Spared,
        Action::Pass => Fate::Passed,
    };
    let (index, tag) = place(packet, judge);
    if let Some(word) = FRAGMENTS.get_ptr_mut(index) {
        let tick = judge.now.count() as u32;
        // SAFETY: a whole word of a live map value.
        unsafe {
            word.write_volatile(
                tag << 48 | u64::from(tick) << 16 | u64::from(judge.service()) << 8 | fate as u64,
            )
        };
    }
}

/// Service and fate of the first fragment of the same packet; zero if it is not known.
#[inline(always)]
fn fate(packet: &Packet, judge: &Judge) -> u16 {
    let (index, tag) = place(packet, judge);
    let Some(word) = FRAGMENTS.get_ptr_mut(index) else {
        return 0;
    };
    // SAFETY: a whole word of a live map value.
    let word = unsafe { word.read_volatile() };
    let age = (judge.now.count() as u32).wrapping_sub((word >> 16) as u32);
    if word >> 48 == tag && u64::from(age) < judge.settings.fragment_hold {
        word as u16
    } else {
        0
    }
}

/// Where the fate of a packet lies, and the tag it goes by: by addresses, protocol and
/// identification (RFC 791, RFC 8200).
#[inline(always)]
fn place(packet: &Packet, judge: &Judge) -> (u32, u64) {
    let key = &judge.settings.key;
    let family = packet.source.family();
    let [a, b] = packet.source.numbers();
    let [c, d] = packet.destination.numbers();
    let id = u64::from(packet.fragment_id) << 8 | u64::from(packet.protocol);
    let mut hash = key.set(family, a);
    for part in [b, c, d, id] {
        hash = key.tag(family, (hash ^ part).rotate_left(29));
    }
    ((hash >> (64 - WORDS_LOG2)) as u32, hash >> 24 & 0xffff)
}

/// Whether a fragment is within the limit of all fragments. No limit is none.
#[inline(always)]
fn is_within(judge: &Judge) -> bool {
    let limit = &judge.settings.fragments;
    if limit.is_none() {
        return true;
    }
    let Some(word) = FRAGMENT_BUCKET.get_ptr_mut(0) else {
        return true;
    };
    atomic::take(word, judge.now.moment(), limit, limit.interval)
}
