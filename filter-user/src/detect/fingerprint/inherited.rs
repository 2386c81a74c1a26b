//! What outlives a restart: fingerprints, and the shares that they were held to.
//!
//! Who starts in the midst of a flood has no calm to go by. Whoever ran before him had, and what he
//! measured holds: without it, a flood that only a fingerprint meets would come through from a restart
//! to its end. The sample of calm itself is visitors' packets, and not for a disk.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    calm::Calm,
    condition::fits,
    lifecycle::{MOST, rule},
    score::{Aim, FEWEST, Fingerprint, Known, score},
    share::Share,
};
use crate::{
    detect::{
        input::Observed,
        vector::{Target, Vector},
    },
    rules::Rule,
};

/// So long after its end, what an earlier daemon found says something.
const HOLDS: Duration = Duration::from_secs(600);

/// A fingerprint in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    /// Of which attack.
    vector: Vector,
    target: Target,
    /// What it does, as an operator would write it.
    rule: String,
    caught: f64,
    samples: usize,
    calm: Share,
    connections: Option<Share>,
    /// When the kernel lets it go.
    until: Timestamp,
}

/// One that an earlier daemon found, read back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heirloom {
    pub attack: (Vector, Target),
    pub found: Fingerprint,
    /// How long it would still be in force.
    pub left: Duration,
}

impl Inherited {
    /// As it is written down.
    pub(super) fn of(
        (vector, target): &(Vector, Target),
        found: &Fingerprint,
        until: Timestamp,
    ) -> Self {
        Self {
            vector: *vector,
            target: target.clone(),
            rule: rule(&found.matches, false).to_string(),
            caught: found.caught,
            samples: found.samples,
            calm: found.calm,
            connections: found.connections,
            until,
        }
    }

    /// `None` if it is of another time, or written in words of another version.
    fn read(self, now: Timestamp) -> Option<Heirloom> {
        let Rule { matches, .. } = self.rule.parse().ok()?;
        let left = self.until.duration_since(now);
        let age = left.unsigned_abs();
        if age > HOLDS {
            return None;
        }
        Some(Heirloom {
            attack: (self.vector, self.target),
            found: Fingerprint {
                matches,
                caught: self.caught,
                samples: self.samples,
                calm: self.calm,
                connections: self.connections,
                doubt: None,
            },
            left: if left.is_positive() {
                age
            } else {
                Duration::ZERO
            },
        })
    }
}

/// What is still of use.
pub(super) fn read(inherited: Vec<Inherited>, now: Timestamp) -> Vec<Heirloom> {
    let all = inherited.into_iter().take(MOST);
    all.filter_map(|one| one.read(now)).collect()
}

/// A fingerprint that catches these samples and met no more of calm traffic than it may when there was
/// some to measure. What is known of calm since has the last word.
pub(super) fn fitting(
    heirlooms: &[Heirloom],
    attack: &[&Observed],
    calm: &Calm,
    aim: Aim,
) -> Option<Fingerprint> {
    if attack.len() < FEWEST || heirlooms.is_empty() {
        return None;
    }
    let known = Known::of(calm);
    let is_enough = |share: &Share| share.most <= aim.most_collateral;
    heirlooms.iter().find_map(|Heirloom { found, .. }| {
        let now = score(found.matches.clone(), attack, &known, aim);
        let mut of_calm = known.all.iter().chain(&known.openings);
        let is_harmless = is_enough(&found.calm)
            && found.connections.as_ref().is_none_or(is_enough)
            && !of_calm.any(|one| fits(&found.matches, one.seen));
        (is_harmless && now.caught >= aim.least).then_some(Fingerprint {
            calm: found.calm,
            connections: found.connections,
            doubt: None,
            ..now
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rule: &str) -> Vec<Inherited> {
        vec![Inherited {
            vector: Vector::Udp,
            target: Target::Host,
            rule: rule.to_owned(),
            caught: 1.0,
            samples: 100,
            calm: Share {
                measured: 0.0,
                most: 0.001,
                samples: 3_000,
            },
            connections: None,
            until: Timestamp::UNIX_EPOCH,
        }]
    }

    #[test]
    fn words_of_another_version_and_of_another_time_are_left_alone() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let left = |rule, now| {
            let read = read(written(rule), now);
            read.first().map(|one| one.left.as_secs())
        };
        assert_eq!(left("drop udp dport 7777 length 22", at(-30)), Some(30));
        assert_eq!(left("drop udp dport 7777 length 22", at(30)), Some(0));
        assert_eq!(left("drop udp dport 7777 length 22", at(601)), None);
        // A clock that was wrong.
        assert_eq!(left("drop udp dport 7777 length 22", at(-601)), None);
        assert_eq!(left("drop what was never meant", at(0)), None);
    }

    #[test]
    fn there_are_never_more_than_may_be_in_force() {
        let many: Vec<Inherited> = (0..100).flat_map(|_| written("drop udp sport 9")).collect();
        assert_eq!(read(many, Timestamp::UNIX_EPOCH).len(), MOST);
    }
}
