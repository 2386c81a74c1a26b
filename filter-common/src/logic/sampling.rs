//! Which packets are sampled: a fair choice within a budget.
//!
//! A bucket alone would always give the first packets of a tick. So packets are passed over, a random
//! number of them before each sample, in proportion to how many came of late (systematic sampling
//! with random gaps). While half the budget is left, everything is taken: in calm nothing is missed,
//! and of what begins there is something at once.

use super::bucket::{self, FRACTION_BITS, Limit, Now};

/// The choice among the packets of one kind that one CPU sees. All zero is a good beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sampler {
    /// What is left of the budget, as in [`bucket`].
    bucket: u64,
    /// The tick of the last look.
    tick: u64,
    /// Packets to be passed over before the next is sampled.
    left: u32,
    /// What `left` was after the last look.
    drawn: u32,
    /// Packets of this tick, up to the last look.
    seen: u32,
    /// Packets in a tick of late.
    rate: u32,
}

crate::abi::map_value!(Sampler: 32);

/// More packets than this in a tick count as so many.
const MOST: u32 = 1 << 20;
/// The longest mean gap.
const LONGEST: u64 = 1 << 30;

impl Sampler {
    /// Passes a packet over, if that is all there is to do.
    #[inline(always)]
    pub const fn passes_over(&mut self, tick: u64) -> bool {
        if self.tick != tick || self.left == 0 {
            return false;
        }
        self.left = self.left.wrapping_sub(1);
        true
    }

    /// Whether to sample a packet that was not passed over. `random` gives any number.
    #[inline(always)]
    pub fn takes(&mut self, tick: u64, budget: &Limit, random: impl Fn() -> u32) -> bool {
        let passed = self.drawn.wrapping_sub(self.left);
        self.seen = self.seen.wrapping_add(passed);
        if self.tick != tick {
            self.begin(tick);
        }
        self.seen = self.seen.wrapping_add(1);
        let now = Now::from_tick(tick);
        let gap = self.gap(now, budget);
        if u64::from(self.left) > gap.wrapping_mul(2) {
            // It was drawn when more came, or less was left.
            self.left = draw(gap, random());
        }
        let is_due = self.left == 0;
        let is_taken = is_due && bucket::take(&mut self.bucket, now, budget);
        self.left = if is_taken {
            draw(self.gap(now, budget), random())
        } else if is_due {
            draw(gap.max(self.seen.into()), random())
        } else {
            self.left.wrapping_sub(1)
        };
        self.drawn = self.left;
        is_taken
    }

    /// Learns the rate from the ticks before this one.
    #[inline(always)]
    fn begin(&mut self, tick: u64) {
        let ticks = tick.wrapping_sub(self.tick);
        let seen = u64::from(self.seen).checked_div(ticks).unwrap_or_default() as u32;
        self.rate = match ticks {
            1 => seen.wrapping_add(self.rate) >> 1,
            _ => seen,
        };
        self.seen = 0;
        self.tick = tick;
    }

    /// How many packets to pass over on average. Zero while half the budget is left, twice as many as
    /// would spend it evenly when nothing is: so it settles in between.
    #[inline(always)]
    fn gap(&self, now: Now, budget: &Limit) -> u64 {
        let spent = bucket::deficit(self.bucket, now, budget).wrapping_mul(2);
        let beyond_half = spent.saturating_sub(budget.depth);
        let factor = beyond_half
            .wrapping_shl(9)
            .checked_div(budget.depth)
            .unwrap_or_default();
        let rate = u64::from(self.rate.max(self.seen).min(MOST));
        let even = rate.wrapping_mul(budget.interval >> 8) >> (FRACTION_BITS - 8);
        (even.wrapping_mul(factor) >> 8).min(LONGEST)
    }
}

/// A number of packets with this mean: everything up to twice that is equally likely.
#[inline(always)]
fn draw(gap: u64, random: u32) -> u32 {
    let range = gap.wrapping_mul(2).wrapping_add(1);
    (u64::from(random).wrapping_mul(range) >> u32::BITS) as u32
}
