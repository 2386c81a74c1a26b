//! Which rates are usual: a histogram that forgets slowly.
//!
//! Rates are put into steps of a quarter of an octave, so that median, spread and quantiles are
//! known within ±9 % over nine decades, in at most [`STEPS`] numbers. Weights fade with a half-life of
//! a week of calm time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Steps of the scale: 0.5 packets a second to about 1.9 billion.
pub const STEPS: u8 = 128;
/// Steps to an octave.
const FINE: f64 = 4.0;
/// Rates below this, packets a second, are all the same: nothing.
const LEAST: f64 = 0.5;
/// Half-life of what was learned, seconds of calm time.
const HALF: f64 = 7.0 * 86_400.0;

/// A histogram of rates, weighed by seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Seconds by step; step 0 is nothing.
    weights: BTreeMap<u8, f64>,
    /// Seconds learned since they were last faded.
    fresh: f64,
}

impl Levels {
    /// Adds a rate, packets a second, that held for so many seconds.
    pub fn add(&mut self, rate: f64, seconds: f64) {
        if !(rate.is_finite() && seconds.is_finite() && seconds > 0.0) {
            return;
        }
        *self.weights.entry(step(rate)).or_default() += seconds;
        self.fresh += seconds;
        if self.fresh >= 3_600.0 {
            let factor = (-self.fresh / HALF).exp2();
            self.fresh = 0.0;
            self.weights.retain(|_, weight| {
                *weight *= factor;
                *weight > 1e-3
            });
        }
    }

    /// Seconds that are remembered.
    pub fn seconds(&self) -> f64 {
        self.weights.values().sum()
    }

    /// The rate below which this share of time lay, packets a second; 0 if nothing was learned.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = self.seconds() * share.clamp(0.0, 1.0);
        let mut sum = 0.0;
        for (step, weight) in &self.weights {
            sum += weight;
            if sum >= wanted {
                return middle(*step);
            }
        }
        self.weights
            .last_key_value()
            .map_or(0.0, |(step, _)| middle(*step))
    }

    /// The median, packets a second.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The median absolute deviation from the median, packets a second: 0.67 standard deviations of
    /// what is normally distributed.
    pub fn spread(&self) -> f64 {
        let median = self.median();
        let mut distances: Vec<(f64, f64)> = self
            .weights
            .iter()
            .map(|(step, weight)| ((middle(*step) - median).abs(), *weight))
            .collect();
        distances.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = self.seconds() / 2.0;
        let mut sum = 0.0;
        for (distance, weight) in distances {
            sum += weight;
            if sum >= half {
                return distance;
            }
        }
        0.0
    }

    /// Throws out what cannot have been learned, as a file that was changed by hand may say it.
    pub fn sanitize(&mut self) {
        self.weights
            .retain(|step, weight| *step < STEPS && weight.is_finite() && *weight > 0.0);
        if !(self.fresh.is_finite() && (0.0..=3_600.0).contains(&self.fresh)) {
            self.fresh = 0.0;
        }
    }
}

/// The step of a rate.
fn step(rate: f64) -> u8 {
    if rate < LEAST {
        return 0;
    }
    let octaves = (rate / LEAST).log2();
    ((octaves * FINE) as u8).saturating_add(1).min(STEPS - 1)
}

/// The geometric middle of a step.
fn middle(step: u8) -> f64 {
    match step {
        0 => 0.0,
        step => LEAST * ((f64::from(step) - 0.5) / FINE).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_spread_and_quantiles_are_within_a_step() {
        let mut levels = Levels::default();
        for second in 0..1_000 {
            levels.add(900.0 + f64::from(second % 201), 1.0);
        }
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.1;
        assert!(near(levels.median(), 1_000.0), "{}", levels.median());
        assert!(near(levels.quantile(1.0), 1_100.0));
        assert!(levels.spread() < 200.0);
        assert!((levels.seconds() - 1_000.0).abs() < 1e-6);
    }

    #[test]
    fn what_was_long_ago_weighs_less_and_room_is_bounded() {
        let mut levels = Levels::default();
        for hour in 0..10_000_u32 {
            levels.add(f64::from(hour % 977) * 1e7, 3_600.0);
        }
        assert!(levels.weights.len() <= usize::from(STEPS));
        // A week's half-life keeps ten days' worth.
        let days = levels.seconds() / 86_400.0;
        assert!((9.0..12.0).contains(&days), "{days}");
        for _ in 0..24 * 7 * 3 {
            levels.add(10.0, 3_600.0);
        }
        assert!(levels.median() < 12.0);
    }

    #[test]
    fn nonsense_is_neither_learned_nor_kept() {
        let mut levels = Levels::default();
        levels.add(f64::NAN, 1.0);
        levels.add(f64::INFINITY, 1.0);
        levels.add(5.0, -1.0);
        assert_eq!(levels, Levels::default());
        levels.weights.insert(200, 5.0);
        levels.weights.insert(3, f64::NAN);
        levels.fresh = 1e9;
        levels.sanitize();
        assert_eq!(levels, Levels::default());
        assert_eq!(levels.median() + levels.spread(), 0.0);
    }
}
