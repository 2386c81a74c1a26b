//! Whether answers reach anybody. A driver may take a frame that is to be sent back and lose it: a
//! veth does whose other end neither has a program nor runs NAPI. Then nobody gets a connection, and
//! no cookie comes back that could tell.

use std::time::{Duration, Instant};

/// Seconds of the calm before that are remembered, and in how many of them somebody has to have
/// connected: a host that few visit may be silent by chance.
const BUSY: u32 = 8;
/// How long answers may bring nothing, and when the question is settled either way: visitors may
/// stay away later.
const SILENCE: Duration = Duration::from_secs(10);
const SETTLED: Duration = Duration::from_secs(15);
/// Fewer answers say nothing.
const ANSWERS: u64 = 10;
/// How long nothing is answered then, at first and at most.
const PAUSE: Duration = Duration::from_secs(600);
const DOUBLINGS: u32 = 6;

/// What was counted, at all ports together, since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// SYNs that were answered.
    pub answered: u64,
    /// Valid cookies that came back.
    pub accepted: u64,
    /// Handshakes that were completed.
    pub completed: u64,
}

/// Compares what comes of answers with the calm before.
#[derive(Clone, Debug, Default)]
pub struct Silence {
    /// Whether somebody connected, for each of the last looks in calm.
    calm: u16,
    last: Option<Count>,
    /// When answers began, and what was counted then.
    start: Option<(Instant, Count)>,
    failures: u32,
    until: Option<Instant>,
}

impl Silence {
    /// Takes a count, once a second; says whether answers reach nobody.
    pub fn observe(&mut self, now: Instant, answers: bool, count: Count) -> bool {
        let last = self.last.replace(count);
        if !answers {
            self.start = None;
            let connected = last.is_some_and(|last| count.completed != last.completed);
            self.calm = self.calm << 1 | u16::from(connected);
            return false;
        }
        let (since, first) = *self.start.get_or_insert((now, count));
        if (count.accepted, count.completed) != (first.accepted, first.completed) {
            self.calm = 0;
            self.failures = 0;
            return false;
        }
        let waited = now.saturating_duration_since(since);
        let is_silent = (SILENCE..SETTLED).contains(&waited)
            && self.calm.count_ones() >= BUSY
            && count.answered.saturating_sub(first.answered) >= ANSWERS;
        if is_silent {
            self.until = Some(now + PAUSE.saturating_mul(1 << self.failures.min(DOUBLINGS)));
            self.failures = self.failures.saturating_add(1);
            self.calm = 0;
        }
        is_silent
    }

    /// Whether nothing is to be answered, for that reached nobody.
    pub fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// What to tell an operator.
pub const SAID: &str = "SYNs were answered for ten seconds and no cookie came back, where before \
                        clients connected all the time. To blame is likely: the driver loses what \
                        XDP sends back (a veth whose other end has no XDP program: attach = \
                        \"generic\"), or the line is so full that no client gets through. \
                        They are tried again by themselves";

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks a second apart: whether SYNs are answered, then answers, cookies and handshakes. Gives
    /// those looks that found silence.
    fn found(looks: impl IntoIterator<Item = (bool, u64, u64, u64)>) -> Vec<u64> {
        let start = crate::clock::monotonic();
        let mut silence = Silence::default();
        let mut found = Vec::new();
        for (second, (answers, answered, accepted, completed)) in (0..).zip(looks) {
            let count = Count {
                answered,
                accepted,
                completed,
            };
            let now = start + Duration::from_secs(second);
            if silence.observe(now, answers, count) {
                assert!(silence.holds(now) && !silence.holds(now + PAUSE));
                found.push(second);
            }
        }
        found
    }

    fn busy() -> impl Iterator<Item = (bool, u64, u64, u64)> {
        (0..20).map(|second| (false, 0, 0, second))
    }

    #[test]
    fn a_busy_host_that_nobody_reaches_any_more_is_found_once() {
        let dead = (0..40).map(|second| (true, second * 5, 0, 19));
        assert_eq!(found(busy().chain(dead)), [30]);
    }

    #[test]
    fn cookies_or_connections_that_come_are_no_silence() {
        let cookie = (0..40).map(|second| (true, second * 900, u64::from(second > 4), 19));
        assert!(found(busy().chain(cookie)).is_empty());
        let known = (0..40).map(|second| (true, second * 900, 0, 19 + second / 5));
        assert!(found(busy().chain(known)).is_empty());
    }

    #[test]
    fn a_flood_of_a_host_that_few_visit_is_no_silence() {
        let quiet = (0..60).map(|second| (false, 0, 0, second / 10));
        let flood = (0..60).map(|second| (true, second * 900_000, 0, 5));
        assert!(found(quiet.chain(flood)).is_empty());
    }

    #[test]
    fn what_comes_long_after_the_switching_on_says_nothing() {
        let idle = (0..30).map(|_| (true, 0, 0, 19));
        let flood = (0..30).map(|second| (true, second * 900, 0, 19));
        assert!(found(busy().chain(idle).chain(flood)).is_empty());
    }
}
