//! What this CPU keeps for itself: pressure, ceilings, budgets.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::bucket,
};

use crate::clock::Tick;

#[map]
static CPU: PerCpuArray<CpuState> = PerCpuArray::with_max_entries(1, 0);

/// The state of the CPU that runs this.
#[inline(always)]
pub fn state() -> Option<&'static mut CpuState> {
    let state = CPU.get_ptr_mut(0)?;
    // SAFETY: the entry lives as long as the map, and only this CPU touches it while this
    // program, which cannot be preempted by itself, runs.
    Some(unsafe { &mut *state })
}

/// Counts a packet of this CPU, and tells whether the CPU is under pressure. Pressure lasts for a
/// while after the last packet above the floor, so that limits do not flicker.
#[inline(always)]
pub fn under_pressure(state: &mut CpuState, settings: &Settings, now: Tick) -> bool {
    let until = now.count().wrapping_add(settings.pressure_hold);
    // A bucket that refused a packet refuses every one of the same tick.
    if state.pressure_until == until {
        return true;
    }
    if !bucket::take(&mut state.pressure, now.moment(), &settings.pressure) {
        state.pressure_until = until;
    }
    state.pressure_until > now.count()
}
