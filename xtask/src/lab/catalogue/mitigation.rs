//! How long it takes until a flood is stopped.

use std::time::Duration;

/// The share of a flood that counts as stopped.
const STOPPED: f64 = 0.95;
/// The share of all that arrived which has to be behind a moment for it to say anything.
const REST: f64 = 0.25;

/// Counters at a moment of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Since the flood began.
    pub at: Duration,
    /// Packets that arrived.
    pub arrived: u64,
    /// Packets of the flood that reached the stack.
    pub passed: u64,
}

/// The first moment from which on, to the last look, 95 % of what arrived was stopped; `None` if
/// there is none.
pub fn mitigated(looks: &[Look]) -> Option<Duration> {
    let (first, last) = (looks.first()?, looks.last()?);
    let all = last.arrived.saturating_sub(first.arrived);
    looks
        .iter()
        .find(|look| {
            let arrived = last.arrived.saturating_sub(look.arrived) as f64;
            let passed = last.passed.saturating_sub(look.passed) as f64;
            arrived > 0.0 && arrived >= all as f64 * REST && passed <= arrived * (1.0 - STOPPED)
        })
        .map(|look| look.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(passed_until: u64) -> Vec<Look> {
        let look = |number: u64| Look {
            at: Duration::from_millis(number * 10),
            arrived: number * 1_000,
            passed: number.min(passed_until) * 1_000,
        };
        (0..=200).map(look).collect()
    }

    #[test]
    fn the_moment_is_when_no_more_than_a_twentieth_of_the_rest_passes() {
        assert_eq!(mitigated(&looks(0)), Some(Duration::ZERO));
        let found = mitigated(&looks(50)).expect("it was stopped");
        let expected = Duration::from_millis(420)..=Duration::from_millis(500);
        assert!(expected.contains(&found), "{found:?}");
    }

    #[test]
    fn what_is_never_stopped_has_no_moment() {
        assert_eq!(mitigated(&looks(200)), None);
        assert_eq!(mitigated(&looks(180)), None, "too late to be sure");
        assert_eq!(mitigated(&[]), None);
    }
}
