//! The one place where the lab asks what time it is.

use std::time::Instant;

/// The monotonic time of this moment.
#[allow(clippy::disallowed_methods, reason = "the lab's only clock")]
pub fn now() -> Instant {
    Instant::now()
}
