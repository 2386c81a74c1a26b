//! What people noticed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What was noticed in a while.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Requests answered in time.
    pub answered: u64,
    /// Requests refused, cut off or not answered in time.
    pub failed: u64,
    latencies: Vec<Duration>,
}

impl Heard {
    /// Notes one request.
    pub fn note(&mut self, answered: bool, took: Duration) {
        self.latencies.push(took);
        if answered {
            self.answered += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Requests made.
    pub fn asked(&self) -> u64 {
        self.answered + self.failed
    }

    /// The share of requests that were answered; nothing asked is nothing failed.
    pub fn success(&self) -> f64 {
        match self.asked() {
            0 => 1.0,
            asked => self.answered as f64 / asked as f64,
        }
    }

    /// The time within which this share of the requests was answered or given up.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted
            .get((last as f64 * share).round() as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The longest time that any took.
    pub fn longest(&self) -> Duration {
        self.latencies.iter().max().copied().unwrap_or_default()
    }

    /// Adds what was noticed in another while.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latencies.extend_from_slice(&other.latencies);
    }
}

/// Where several threads note what they notice.
#[derive(Debug, Default)]
pub struct Notebook(Mutex<Heard>);

impl Notebook {
    /// Notes one request.
    pub fn note(&self, answered: bool, took: Duration) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.note(answered, took);
    }

    /// What was noted since the last call.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
