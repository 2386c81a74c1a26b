//! A share of something that only a sample is known of.

use serde::{Deserialize, Serialize};

/// What a share may be of.
pub(super) const TRAFFIC: &str = "calm traffic";
pub(super) const CONNECTIONS: &str = "calm connections";

/// A share, as a weighted sample tells it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Of the sample, 0 to 1.
    pub measured: f64,
    /// At most, of what was sampled, with 95 % certainty.
    pub most: f64,
    /// The size of the sample.
    pub samples: usize,
}

/// The quantile of the normal distribution that 95 % lie below.
const Z: f64 = 1.6449;

impl Share {
    /// The share that `hit` has in all, by weights.
    ///
    /// The bound is Wilson's with continuity correction (Newcombe, "Two-sided confidence intervals
    /// for the single proportion", 1998), which errs to the safe side: 3.6 / n where nothing was
    /// hit. Weights that differ make a sample worth less: its effective size is Kish's,
    /// (Σ w)² / Σ w² ("Survey Sampling", 1965). Of an empty sample nothing is certain.
    pub fn of(weights: impl Iterator<Item = f64>, hit: f64) -> Self {
        let (mut samples, mut sum, mut squares) = (0, 0.0, 0.0);
        for weight in weights {
            samples += 1;
            sum += weight;
            squares += weight * weight;
        }
        if sum <= 0.0 {
            return Self {
                measured: 0.0,
                most: 1.0,
                samples: 0,
            };
        }
        let measured = (hit / sum).clamp(0.0, 1.0);
        Self {
            measured,
            most: upper(measured, sum * sum / squares),
            samples,
        }
    }

    /// `at most 0.21 % of calm traffic (n=3,950)`.
    pub(super) fn tell(self, of: &str) -> String {
        // Rounded up: a bound stays one.
        let most = (self.most * 10_000.0).ceil() / 100.0;
        format!("at most {most:.2} % of {of} (n={})", grouped(self.samples))
    }
}

/// The bound of a share that a sample of size `n` has.
fn upper(share: f64, n: f64) -> f64 {
    // Half a sample more is hit than was.
    let hit = (share * n + 0.5).min(n);
    let spread = (hit * (1.0 - hit / n) + Z * Z / 4.0).max(0.0).sqrt();
    ((hit + Z * Z / 2.0 + Z * spread) / (n + Z * Z)).clamp(share, 1.0)
}

/// A number with commas between thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::sketch::Random;

    #[test]
    fn nothing_is_certain_of_an_empty_sample() {
        let share = Share::of(std::iter::empty(), 0.0);
        assert!(share.most >= 1.0 && share.samples == 0);
    }

    #[test]
    fn shares_are_told_with_their_sample() {
        let share = Share::of(std::iter::repeat_n(1.0, 3_950), 2.0);
        assert_eq!(
            share.tell(TRAFFIC),
            "at most 0.18 % of calm traffic (n=3,950)"
        );
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn the_bound_holds_in_95_of_100() {
        // The rarer of two values is drawn with probability p; how often the bound is below p.
        for (p, n) in [(0.005, 800), (0.005, 3_000), (0.02, 500), (0.3, 100)] {
            let mut random = Random::new(5);
            let mut wrong = 0;
            for _ in 0..1_000 {
                let hit = (0..n).filter(|_| random.unit() < p).count();
                let share = Share::of(std::iter::repeat_n(1.0, n), hit as f64);
                wrong += u32::from(share.most < p);
            }
            // 50 may be; four standard deviations above that.
            assert!(wrong < 78, "{p} of {n}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn bounds_are_shares_and_scale_does_not_matter(
            weights in prop::collection::vec(0.001..2.0_f64, 1..300), part in 0.0..1.0_f64,
        ) {
            let sum: f64 = weights.iter().sum();
            let share = Share::of(weights.iter().copied(), sum * part);
            prop_assert!(share.measured <= share.most && share.most <= 1.0);
            // No sample is worth more than its size.
            prop_assert!(share.most >= upper(share.measured, weights.len() as f64) - 1e-9);
            let scaled = Share::of(weights.iter().map(|weight| weight * 7.0), sum * part * 7.0);
            prop_assert!((scaled.most - share.most).abs() < 1e-9);
        }
    }
}
