//! Notes on the packet at hand, in memory whose contents the verifier does not follow.
//!
//! The verifier walks every way through the program, and tells two ways apart as long as any value
//! differs that a later branch looks at. A parsed packet has hundreds of shapes; kept in registers
//! and on the stack, each would be followed through every later stage.

use core::mem::MaybeUninit;

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::{abi::reason::Reason, logic::packet::Packet};

/// The notes of one CPU. Meaningless between packets.
#[repr(C)]
pub struct Scratch {
    packet: MaybeUninit<Packet>,
    /// Code of the first reason that would have dropped the packet, plus one; 0 for none.
    observed: u64,
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

impl Scratch {
    /// The notes of this CPU, blank.
    #[inline(always)]
    pub fn blank() -> Option<&'static mut Self> {
        let scratch = SCRATCH.get_ptr_mut(0)?;
        // SAFETY: the entry lives as long as the map, and only this CPU uses it while this
        // program, which is not preempted by itself, runs.
        let scratch = unsafe { &mut *scratch };
        scratch.observed = 0;
        Some(scratch)
    }

    /// Writes the packet down and reads it back.
    #[inline(always)]
    pub fn keep(&mut self, packet: Packet) -> &'static Packet {
        self.packet.write(packet);
        forget();
        // SAFETY: written above; the entry lives as long as the map.
        unsafe { &*self.packet.as_ptr() }
    }

    /// Notes a reason, unless one was noted before.
    #[inline(always)]
    pub fn observe(&mut self, reason: Reason) {
        if self.observed == 0 {
            self.observed = u64::from(reason.code()).wrapping_add(1);
        }
        forget();
    }

    /// Code of the noted reason.
    #[inline(always)]
    pub fn observed(&self) -> Option<u8> {
        match self.observed {
            0 => None,
            code => Some(code.wrapping_sub(1) as u8),
        }
    }
}

/// Makes the compiler, too, forget what it knows of memory.
#[inline(always)]
fn forget() {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("", options(nostack)) };
}
