//! For how long something is held: while it is needed, a while beyond, and longer where an attack
//! comes in pulses.

use std::time::Duration;

/// How long the kernel holds something that is not renewed.
pub const TERM: Duration = Duration::from_secs(30);
/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(15);
/// How long what is no longer needed is held at least, so that it does not blink.
const LEAST: Duration = Duration::from_secs(5);
/// How long it is remembered that something was held.
const MEMORY: Duration = Duration::from_secs(600);
/// How many times as long as usual something is held at most.
const MOST: u32 = 3;

/// Something that is held.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    needed: Duration,
    renewed: Duration,
    linger: Duration,
}

impl Lease {
    /// From now on, and for `linger` after the last need.
    pub const fn new(elapsed: Duration, linger: Duration) -> Self {
        Self {
            needed: elapsed,
            renewed: elapsed,
            linger,
        }
    }

    /// It is needed.
    pub fn need(&mut self, elapsed: Duration) {
        self.needed = elapsed;
    }

    /// It was renewed.
    pub fn renew(&mut self, elapsed: Duration) {
        self.renewed = elapsed;
    }

    /// Whether the kernel would let go of it too early.
    pub fn is_due(&self, elapsed: Duration) -> bool {
        elapsed.saturating_sub(self.renewed) >= RENEWAL
            && self.renewed.saturating_add(TERM) < self.end()
    }

    /// Whether it is over.
    pub fn is_over(&self, elapsed: Duration) -> bool {
        elapsed >= self.end()
    }

    /// For how long it was not needed.
    pub fn quiet(&self, elapsed: Duration) -> Duration {
        elapsed.saturating_sub(self.needed)
    }

    /// For how long it is held without being needed.
    pub const fn linger(&self) -> Duration {
        self.linger
    }

    fn end(&self) -> Duration {
        self.needed.saturating_add(self.linger)
    }
}

/// What is remembered of something that was held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recall {
    ended: Option<Duration>,
    returns: u32,
}

impl Recall {
    /// It was let go of.
    pub fn end(&mut self, elapsed: Duration) {
        self.ended = Some(elapsed);
    }

    /// It is needed, perhaps again: for how long it is held beyond the need.
    ///
    /// Three quarters of the time of recovery, so that detection has the rest to see that an attack
    /// is over. An attack that returned twice within ten minutes of the end before is one that
    /// pulses, and has its defences held longer each time.
    pub fn begin(&mut self, elapsed: Duration, recover: Duration) -> Duration {
        let is_return = self
            .ended
            .is_some_and(|ended| elapsed.saturating_sub(ended) < MEMORY);
        self.returns = if is_return {
            self.returns.saturating_add(1)
        } else {
            0
        };
        let usual = recover.saturating_mul(3) / 4;
        let longer = 1_u32
            .checked_shl(self.returns.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = recover.saturating_mul(MOST);
        usual.saturating_mul(longer).min(most).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_returns_again_and_again_is_held_longer_up_to_a_bound() {
        let mut recall = Recall::default();
        let mut held = Vec::new();
        for pulse in 1..7_u64 {
            let begin = seconds(pulse * 500);
            held.push(recall.begin(begin, seconds(60)).as_secs());
            recall.end(begin + seconds(50));
        }
        assert_eq!(held, [45, 45, 90, 180, 180, 180]);
        assert_eq!(recall.begin(seconds(9_000), seconds(60)), seconds(45));
    }

    #[test]
    fn a_lease_is_renewed_only_where_it_would_end_too_early() {
        let mut lease = Lease::new(seconds(100), seconds(45));
        assert!(!lease.is_due(seconds(114)));
        assert!(lease.is_due(seconds(115)));
        lease.renew(seconds(115));
        assert!(!lease.is_due(seconds(130)), "until 145 it holds anyway");
        assert!(!lease.is_over(seconds(144)));
        assert!(lease.is_over(seconds(145)));
        lease.need(seconds(140));
        assert!(lease.is_due(seconds(141)));
        assert_eq!(lease.quiet(seconds(141)), seconds(1));
    }
}
