//! Counters per reason, one set per CPU.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::abi::counter::{COUNTERS, Counter};

#[map]
static COUNTERS_BY_REASON: PerCpuArray<Counter> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// Adds a packet of `length` bytes to the counter at `index`.
#[inline(always)]
pub fn add(index: u32, length: u32) {
    if let Some(counter) = COUNTERS_BY_REASON.get_ptr_mut(index) {
        to(counter, length);
    }
}

/// Adds a packet of `length` bytes to a counter of this CPU in a live map value.
#[inline(always)]
pub fn to(counter: *mut Counter, length: u32) {
    // SAFETY: only this CPU writes its own copy, and this program is not preempted by itself.
    let counter = unsafe { &mut *counter };
    counter.packets = counter.packets.wrapping_add(1);
    counter.bytes = counter.bytes.wrapping_add(u64::from(length));
}
