//! What outlives a restart: fingerprints, and the shares that they were held to.
//!
//! Who starts in the midst of a flood has no calm to go by. Whoever ran before him had, and what he
//! measured holds: without it, a flood that only a fingerprint meets would come through from a restart
//! to its end. The sample of calm itself is visitors' packets, and not for a disk.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    calm::Calm,
    condition::fits,
    lifecycle::{Attack, MOST, rule},
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

/// So long after its end, what was found says something.
const HOLDS: Duration = Duration::from_secs(600);

/// A fingerprint as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
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

/// A fingerprint of an earlier daemon.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Restored {
    pub attack: Attack,
    pub found: Fingerprint,
    /// How long it would still be in force.
    pub left: Duration,
    /// How long it says something.
    pub holds: Duration,
    pub stored: Stored,
}

impl Stored {
    /// As it is written down.
    pub(super) fn of((vector, target): &Attack, found: &Fingerprint, until: Timestamp) -> Self {
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

    /// The rule, in its canonical text.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// When the kernel lets it go.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// `None` if it is of another time, or written in words of another version. No rule is given a
    /// longer time than `stay`.
    fn read(self, now: Timestamp, stay: Duration) -> Option<Restored> {
        let Rule { matches, .. } = self.rule.parse().ok()?;
        let left = self.until.duration_since(now);
        let distance = left.unsigned_abs();
        let (left, holds) = if left.is_positive() {
            (distance, HOLDS.checked_add(distance)?)
        } else {
            (Duration::ZERO, HOLDS.checked_sub(distance)?)
        };
        // Else the clock was set.
        (left <= stay.max(HOLDS)).then(|| Restored {
            attack: (self.vector, self.target.clone()),
            found: Fingerprint {
                matches,
                caught: self.caught,
                samples: self.samples,
                calm: self.calm,
                connections: self.connections,
                doubt: None,
            },
            left: left.min(stay),
            holds,
            stored: self,
        })
    }
}

impl Restored {
    /// Whether it met no more of calm traffic, when there was some to measure, than it may now.
    pub fn is_harmless(&self, most_collateral: f64) -> bool {
        let shares = [Some(self.found.calm), self.found.connections];
        shares
            .iter()
            .flatten()
            .all(|share| share.most <= most_collateral)
    }
}

/// What is still of use.
pub(super) fn read(stored: Vec<Stored>, now: Timestamp, stay: Duration) -> Vec<Restored> {
    let all = stored.into_iter().take(MOST);
    all.filter_map(|one| one.read(now, stay)).collect()
}

/// Reads what this version understands, and leaves the rest: vectors and targets of another version
/// must not cost what else is remembered.
pub fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Stored>, D::Error> {
    let all = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let all = all.into_iter().take(MOST);
    Ok(all
        .filter_map(|one| serde_json::from_value(one).ok())
        .collect())
}

/// An earlier fingerprint that catches these samples and is harmless. What is known of calm since has
/// the last word.
pub(super) fn fitting<'a>(
    earlier: impl Iterator<Item = &'a Restored>,
    attack: &[&Observed],
    calm: &Calm,
    aim: Aim,
) -> Option<Fingerprint> {
    if attack.len() < FEWEST {
        return None;
    }
    let mut earlier = earlier
        .filter(|one| one.is_harmless(aim.most_collateral))
        .peekable();
    earlier.peek()?;
    let known = Known::of(calm);
    earlier.find_map(|Restored { found, .. }| {
        let now = score(found.matches.clone(), attack, &known, aim);
        let mut of_calm = known.all.iter().chain(&known.openings);
        let is_met = of_calm.any(|one| fits(&found.matches, one.seen));
        (!is_met && now.caught >= aim.least).then_some(Fingerprint {
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
    use crate::detect::Memory;

    const STAY: Duration = Duration::from_secs(60);

    fn written(rule: &str) -> Vec<Stored> {
        vec![Stored {
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
        let read = |rule, now, stay| {
            let read = read(written(rule), now, stay);
            let one = read.first();
            one.map(|one| (one.left.as_secs(), one.holds.as_secs()))
        };
        let rule = "drop udp dport 7777 length 22";
        assert_eq!(read(rule, at(-30), STAY), Some((30, 630)));
        assert_eq!(read(rule, at(30), STAY), Some((0, 570)));
        assert_eq!(read(rule, at(601), STAY), None);
        assert_eq!(read(rule, at(-900), STAY), None, "a clock that was wrong");
        let long = Duration::from_secs(1_200);
        assert_eq!(read(rule, at(-900), long), Some((900, 1_500)));
        assert_eq!(read("drop what was never meant", at(0), STAY), None);
    }

    #[test]
    fn what_another_version_wrote_costs_nothing_else() {
        let memory = Memory {
            next_incident: 7,
            fingerprints: written("drop udp sport 9"),
            ..Memory::default()
        };
        let mut json = serde_json::to_value(&memory).expect("written");
        let other = serde_json::json!({ "vector": "of tomorrow" });
        json["fingerprints"]
            .as_array_mut()
            .expect("a list")
            .insert(0, other);
        let read: Memory = serde_json::from_value(json).expect("read");
        assert_eq!(read, memory);
    }

    #[test]
    fn there_are_never_more_than_may_be_in_force() {
        let many: Vec<Stored> = (0..100).flat_map(|_| written("drop udp sport 9")).collect();
        assert_eq!(read(many, Timestamp::UNIX_EPOCH, STAY).len(), MOST);
    }
}
