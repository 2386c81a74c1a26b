//! The one place that reads clocks.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Wall-clock time.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Monotonic time, for measuring.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The end of something that lasts `duration` from `since`; `None` beyond the year 9999.
pub fn end(since: Timestamp, duration: Duration) -> Option<Timestamp> {
    since
        .checked_add(jiff::SignedDuration::try_from(duration).ok()?)
        .ok()
}
