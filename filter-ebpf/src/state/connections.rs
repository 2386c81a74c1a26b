//! Completed handshakes of each source and each prefix, which SYNs are compared with.

use core::ops::ControlFlow;

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{defence::Defence, feature::Feature, reason::Reason, settings::Settings},
    logic::{
        address::Address,
        bucket::Limit,
        connections::{self, LINES_LOG2},
        source::{Line, SETS_LOG2, Slot},
    },
};

use crate::{atomic, clock::Tick, cpu, judge::Judge, lists::MMAPABLE, shape};

/// Buckets of sources and of prefixes, in sets of two ways.
#[map]
static CONNECTIONS: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// The tick until which some sender may be over its limit; the daemon, too, notes it with new limits.
/// In a flood of forged SYNs nobody is, and then no SYN has to wait for a line of the table.
#[map]
static OVERDRAWN: Array<u64> = Array::with_max_entries(1, 0);

/// Drops a SYN of a source, or of a prefix, that completed too many handshakes. It is charged to
/// nobody, for it may be forged.
#[inline(always)]
pub fn check(judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Connections)
        || !judge.defends(Defence::Connections)
        || !is_anybody_over(judge.now)
    {
        return ControlFlow::Continue(());
    }
    let over = state_connections();
    if over & SOURCE != 0 {
        judge.found(Reason::LimitConnections)?;
    }
    if over & PREFIX != 0 {
        judge.found(Reason::PrefixConnections)?;
    }
    ControlFlow::Continue(())
}

/// The source completed too many handshakes.
const SOURCE: u32 = 1;
/// The prefix did.
const PREFIX: u32 = 2;

/// Which of the noted packet's senders completed too many handshakes. Exported, because it then has
/// a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn state_connections() -> u32 {
    if !shape::has(Feature::Connections) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let source = &scratch.packet().source;
    let now = Tick::now();
    let [of_source, of_prefix] = &settings.connections;
    let mut over = 0;
    if is_over(&connections::source(source, &settings.key), of_source, now) {
        over |= SOURCE;
    }
    if is_over(&prefix(source, settings), of_prefix, now) {
        over |= PREFIX;
    }
    over
}

/// Charges a completed handshake to its source and to its prefix.
#[inline(always)]
pub fn charge(source: &Address, settings: &Settings, now: Tick) {
    let [of_source, of_prefix] = &settings.connections;
    pay(&connections::source(source, &settings.key), of_source, now);
    pay(&prefix(source, settings), of_prefix, now);
}

#[inline(always)]
fn prefix(source: &Address, settings: &Settings) -> Slot {
    let masks = [settings.prefix_mask_v4, settings.prefix_mask_v6];
    connections::prefix(source, masks, &settings.key)
}

#[inline(always)]
fn is_over(slot: &Slot, limit: &Limit, now: Tick) -> bool {
    if limit.is_none() {
        return false;
    }
    let Some(line) = CONNECTIONS.get_ptr_mut(slot.line >> SETS_LOG2) else {
        return false;
    };
    let ways = atomic::ways(line, slot);
    // SAFETY: both ways lie in the line, which lives as long as its map.
    let words = unsafe { [ways.read_volatile(), ways.add(1).read_volatile()] };
    connections::is_over(words, slot.tag, now.moment(), limit)
}

#[inline(always)]
fn pay(slot: &Slot, limit: &Limit, now: Tick) {
    if limit.is_none() {
        return;
    }
    let lenient = connections::with_debt(limit);
    if let Some(line) = CONNECTIONS.get_ptr_mut(slot.line >> SETS_LOG2) {
        atomic::charge(line, slot, now.moment(), &lenient, lenient.interval);
    }
    if is_over(slot, limit, now) {
        note_until(now.count().wrapping_add(connections::longest(limit)));
    }
}

#[inline(always)]
fn is_anybody_over(now: Tick) -> bool {
    // SAFETY: a whole word of a live map value.
    OVERDRAWN
        .get_ptr(0)
        .is_none_or(|until| unsafe { until.read_volatile() } >= now.count())
}

/// Notes that somebody is over a limit, until that tick at the latest. Of CPUs that do so at once
/// one may have its way with an earlier tick, and a sender overdrawn at that instant until the next
/// handshake.
#[inline(always)]
fn note_until(tick: u64) {
    if let Some(until) = OVERDRAWN.get_ptr_mut(0) {
        // SAFETY: a whole word of a live map value.
        unsafe {
            if until.read_volatile() < tick {
                until.write_volatile(tick);
            }
        }
    }
}
