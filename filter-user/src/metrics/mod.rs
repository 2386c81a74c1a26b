//! What Prometheus reads. No address is a label: whoever floods chooses those.

mod exposition;
pub mod server;

use std::time::Duration;

use crate::{
    api::types::Status,
    detect::{View, input::Traffic},
};

pub use self::exposition::{Format, expose};

/// Everything that is exposed.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The state of things.
    pub status: Status,
    /// What the controller sees.
    pub view: View,
    /// What came in by class; `None` before the controller looked.
    pub traffic: Option<Traffic>,
    /// Packets of known good sources that were dropped since the start.
    pub good_dropped: f64,
    /// How long steps of the controller took.
    pub steps: Steps,
    /// How messages to the webhook fared.
    pub webhook: Deliveries,
}

/// How many messages to the webhook met which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// They arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// They were given up.
    pub lost: u64,
    /// They wait.
    pub waiting: u64,
}

/// Upper bounds of steps, in seconds: 10 ms is what the heaviest should take.
const BOUNDS: [f64; 9] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// A histogram of what steps of the controller took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// By [`BOUNDS`], each without those before it; the last for all above.
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Steps {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| took <= *bound);
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(BOUNDS.len())) {
            *count = count.saturating_add(1);
        }
        self.sum += took;
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}
