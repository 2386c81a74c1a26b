//! What this CPU keeps for itself: pressure, ceilings, budgets.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::bucket,
};

use crate::{clock::Tick, scratch::Scratch, settings};

/// All that a CPU has for itself, in one place, so that it is looked up once.
#[repr(C)]
struct Own {
    state: CpuState,
    scratch: Scratch,
}

#[map]
static CPU: PerCpuArray<Own> = PerCpuArray::with_max_entries(1, 0);

/// What belongs to the CPU that runs this: its state, and its notes on the packet at hand.
#[inline(always)]
pub fn own() -> Option<(&'static mut CpuState, &'static mut Scratch)> {
    let own = CPU.get_ptr_mut(0)?;
    // SAFETY: the entry lives as long as the map, and only this CPU touches it while this
    // program, which cannot be preempted by itself, runs. An exported function asks again, while
    // its caller holds no part that both use.
    let own = unsafe { &mut *own };
    Some((&mut own.state, &mut own.scratch))
}

/// The notes alone, for functions that are called with a packet noted.
#[inline(always)]
pub fn notes() -> Option<&'static mut Scratch> {
    Some(own()?.1)
}

/// The notes, and the settings that hold for the packet at hand.
#[inline(always)]
pub fn noted() -> Option<(&'static mut Scratch, &'static Settings)> {
    let scratch = notes()?;
    let settings = settings::noted(scratch)?;
    Some((scratch, settings))
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
