//! The one place where xtask reads a clock: how long a step took, told to whoever waits.

use std::time::{Duration, Instant};

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[allow(
        clippy::disallowed_methods,
        reason = "elapsed time is shown, nothing depends on it"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
