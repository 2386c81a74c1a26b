//! The kernel's time.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};
use filter_common::logic::bucket::Now;

/// A count of jiffies since boot.
#[derive(Clone, Copy)]
pub struct Tick(u64);

impl Tick {
    /// The present. The verifier turns the helper into a load (kernel 5.6).
    #[doc(alias = "bpf_jiffies64")]
    #[inline(always)]
    pub fn now() -> Self {
        // SAFETY: the helper takes nothing and has no precondition.
        Self(unsafe { aya_ebpf::helpers::generated::bpf_jiffies64() })
    }

    /// The count.
    #[inline(always)]
    pub const fn count(self) -> u64 {
        self.0
    }

    /// The moment as buckets count it.
    #[inline(always)]
    pub const fn moment(self) -> Now {
        Now::from_tick(self.0)
    }
}

#[map]
static CLOCK: Array<u64> = Array::with_max_entries(1, 0);

/// Tells userspace the tick of the moment. Never attached: the daemon runs it.
#[xdp(frags)]
fn clock(_ctx: XdpContext) -> u32 {
    if let Some(tick) = CLOCK.get_ptr_mut(0) {
        // SAFETY: a whole word of a live map value.
        unsafe { tick.write_volatile(Tick::now().count()) };
    }
    xdp_action::XDP_ABORTED
}
