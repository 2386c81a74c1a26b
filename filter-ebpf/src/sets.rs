//! Big sets of prefixes: imported lists.

use core::ops::ControlFlow;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use filter_common::{
    abi::{counter::Counter, feature::Feature, reason::Reason},
    logic::{
        address::Family,
        lines::{Line, Lines},
        packet::Packet,
        set4, set6,
    },
};

use crate::{count, judge::Judge, lists::MMAPABLE, shape};

/// Not pinned, and never changed: a new set comes with a new program, and goes with the old one.
#[map]
static SET4: Array<Line> = Array::with_max_entries(1, MMAPABLE);

#[map]
static SET6: Array<Line> = Array::with_max_entries(1, MMAPABLE);

#[map]
static LIST_HITS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(set4::LISTS, 0);

/// What the look-ups give for an address that is in no list.
const NOWHERE: u32 = u32::MAX;

/// Drops what an imported list names, and counts it to the list.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    let list = match packet.source.family() {
        Family::V4 if shape::has(Feature::Set4) => {
            set4::find(&Table(&SET4), packet.source.high32()).map_or(NOWHERE, u32::from)
        }
        Family::V6 if shape::has(Feature::Set6) => {
            let [high, low] = packet.source.numbers();
            set6_find(high, low)
        }
        Family::V4 | Family::V6 => NOWHERE,
    };
    if list == NOWHERE {
        return ControlFlow::Continue(());
    }
    if let Some(hits) = LIST_HITS.get_ptr_mut(list) {
        count::to(hits, judge.length());
    }
    judge.found(Reason::Listed)
}

/// [`set6::find`]. Exported, because the verifier then looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn set6_find(high: u64, low: u64) -> u32 {
    if !shape::has(Feature::Set6) {
        return NOWHERE;
    }
    set6::find(&Table(&SET6), high, low).map_or(NOWHERE, u32::from)
}

/// A map of lines as what the look-ups read.
pub struct Table(pub &'static Array<Line>);

impl Lines for Table {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        self.0.get(index)
    }
}
