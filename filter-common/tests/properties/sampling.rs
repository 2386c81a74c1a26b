//! The choice of samples.

use filter_common::logic::{bucket::Limit, sampling::Sampler};
use proptest::{prelude::*, sample::select};

/// Numbers as good as the kernel's (xorshift; Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

/// A sampler, its budget, and the clock.
struct Run {
    sampler: Sampler,
    budget: Limit,
    tick: u64,
    random: std::cell::RefCell<Random>,
}

impl Run {
    fn new(rate: u64, hz: u64, tick: u64, seed: u64) -> Self {
        Self {
            sampler: Sampler::default(),
            budget: Limit::new(rate, rate, hz, 1).expect("the bucket holds a second's budget"),
            tick,
            random: std::cell::RefCell::new(Random(seed | 1)),
        }
    }

    /// Shows a packet; says whether it was taken.
    fn show(&mut self) -> bool {
        !self.sampler.passes_over(self.tick)
            && self.sampler.takes(self.tick, &self.budget, || {
                self.random.borrow_mut().number()
            })
    }

    /// A tick with so many packets; gives which were taken.
    fn tick(&mut self, packets: u32) -> Vec<u32> {
        let taken = (0..packets).filter(|_| self.show()).collect();
        self.tick += 1;
        taken
    }
}

fn hz() -> impl Strategy<Value = u64> {
    select(vec![100, 250, 1000])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever comes, and however it comes and goes, the budget is kept.
    #[test]
    fn no_more_than_the_budget(
        (rate, hz) in (select(vec![1, 50, 250, 5000_u64]), hz()),
        start in any::<u64>().prop_map(|tick| tick >> 1),
        bursts in prop::collection::vec((0..400_u64, 0..3000_u32), 1..60),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(rate, hz, start, seed);
        let mut taken = 0;
        for (gap, packets) in bursts {
            run.tick += gap;
            taken += run.tick(packets).len() as u64;
        }
        let ticks = run.tick - start;
        prop_assert!(taken <= rate + (rate * (ticks + 1)).div_ceil(hz) + 1, "{taken} in {ticks} ticks");
    }

    /// Within half the budget, nothing is missed.
    #[test]
    fn in_calm_everything_is_taken(
        hz in hz(), start in any::<u64>().prop_map(|tick| tick >> 1), seed in any::<u64>(),
        gaps in prop::collection::vec(1..50_u64, 100),
    ) {
        let mut run = Run::new(2000, hz, start, seed);
        for gap in gaps {
            run.tick += gap;
            prop_assert!(run.show());
        }
    }

    /// Under a flood most of the budget is used, and each part of a tick gets its share of it.
    #[test]
    fn a_flood_is_sampled_fairly(
        (rate, hz) in (select(vec![100, 250, 500_u64]), hz()),
        packets in 1000..6000_u32,
        // By how much ticks differ.
        uneven in 1..4_u32,
        seed in any::<u64>(),
    ) {
        const PARTS: usize = 8;
        let mut run = Run::new(rate, hz, 1 << 33, seed);
        let mut sizes = Random(seed | 3);
        let mut next = || packets / 2 + sizes.number() % (packets * uneven);
        for _ in 0..2 * hz {
            run.tick(next());
        }
        let mut parts = [0_u64; PARTS];
        let mut first = 0;
        let seconds = 10;
        for _ in 0..seconds * hz {
            let packets = next();
            for taken in run.tick(packets) {
                parts[taken as usize * PARTS / packets as usize] += 1;
                first += u64::from(taken == 0);
            }
        }
        let all: u64 = parts.iter().sum();
        prop_assert!(all * 10 >= seconds * rate * 8, "{all} of {}", seconds * rate);
        // Six standard deviations, and a little for the edges of a tick.
        let fair = all as f64 / PARTS as f64;
        for part in parts {
            let off = (part as f64 - fair).abs();
            prop_assert!(off < 6.0 * fair.sqrt() + 0.1 * fair, "{parts:?}");
        }
        prop_assert!(first * 50 <= all, "{first} of {all} are the first of their tick");
    }

    /// When a flood ends, what comes then is not passed over for long.
    #[test]
    fn after_a_flood_there_are_samples_within_a_second(hz in hz(), seed in any::<u64>()) {
        let mut run = Run::new(250, hz, 77, seed);
        for _ in 0..hz {
            run.tick(10_000);
        }
        let taken: usize = (0..hz).map(|_| run.tick(1).len()).sum();
        prop_assert!(taken > 50, "{taken} of {hz}");
    }
}
