//! The one place that reads clocks.

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::time::{ClockId, clock_getres};

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

/// How long a tick of the kernel is. Its coarse clock moves with the ticks, and says how far each
/// time. Measured, the ticks of a busy machine are sometimes taken for those of another rate.
#[doc(alias = "CONFIG_HZ")]
pub fn tick() -> io::Result<Duration> {
    Ok(Duration::from(clock_getres(
        ClockId::CLOCK_MONOTONIC_COARSE,
    )?))
}

/// The end of something that lasts `duration` from `since`; `None` beyond the year 9999.
pub fn end(since: Timestamp, duration: Duration) -> Option<Timestamp> {
    since
        .checked_add(jiff::SignedDuration::try_from(duration).ok()?)
        .ok()
}
