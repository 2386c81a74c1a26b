//! The search for what an attack has and calm traffic has not.

use std::collections::BTreeMap;

use super::{
    bits::Bits,
    calm::{Calm, Weighed, opens},
    candidates,
    condition::{Condition, Dimension, matches},
    pattern::{self, Bytes},
    score::{Aim, FEWEST, Fingerprint, Known, score},
};
use crate::detect::input::Observed;

/// Samples of an attack that are looked at, the last of those given.
pub const ATTACK: usize = 2_048;
/// Sets of conditions that are followed at a time.
const BEAM: usize = 8;
/// Conditions that are looked for; what is added when the match is narrowed comes on top.
const DEPTH: usize = 5;
/// A match that catches such a share of what the best catches is as good, if it harms less.
const AS_GOOD: f64 = 0.9;
/// The conditions that narrow a match leave, all together, such a share of what it caught.
const NARROWED: f64 = 0.99;
/// A range narrows a match only if calm packets of the protocol are outside it to such a share.
const TELLING: f64 = 0.1;
/// Matches that are scored on the other half of the calm sample: more would find one that only
/// seems harmless.
const SCORED: usize = 3;

/// Finds the match that catches most of an attack's samples and least of calm traffic: a beam search
/// over conditions, ranked by the logarithm of the likelihood ratio, weighed by what is caught.
///
/// `None` if there is none that would be worth it and harmless. It looks at half of the calm
/// sample; the other half says what harm it does. The same input gives the same output.
pub fn find(attack: &[&Observed], calm: &Calm, aim: Aim) -> Option<Fingerprint> {
    let attack = attack.get(attack.len().saturating_sub(ATTACK)..)?;
    if attack.len() < FEWEST {
        return None;
    }
    let calm = Known::of(calm);
    let mut of_protocol: BTreeMap<u8, Vec<&Observed>> = BTreeMap::new();
    for seen in attack {
        of_protocol.entry(seen.protocol).or_default().push(seen);
    }
    let (protocol, of_it) = of_protocol
        .into_iter()
        .rev()
        .max_by_key(|(_, samples)| samples.len())?;
    // What opens connections is told from what opens connections.
    let openings = of_it.iter().filter(|seen| opens(seen)).count();
    let from = if openings.saturating_mul(2) > of_it.len() {
        &calm.openings
    } else {
        &calm.all
    };
    let found = Search::new(protocol, &of_it, attack.len(), from, aim).run();
    let scored: Vec<Fingerprint> = found
        .into_iter()
        .map(|state| {
            let matches = matches(protocol, &state.conditions);
            score(matches, attack, &calm, aim)
        })
        .collect();
    let sure = scored.iter().position(|found| found.doubt.is_none());
    scored.into_iter().nth(sure.unwrap_or(0))
}

/// A set of conditions and what it matches.
#[derive(Clone)]
struct State {
    conditions: Vec<Condition>,
    attack: Bits,
    /// Of the calm packets that the search looks at.
    calm: Bits,
    /// Share of the attack.
    caught: f64,
    /// Share of calm traffic, by weight.
    met: f64,
    score: f64,
}

impl State {
    fn has(&self, dimension: Dimension) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.any(|condition| condition.dimension() == dimension)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.attack == other.attack && self.calm == other.calm
    }
}

/// A condition with what it matches.
struct Candidate {
    condition: Condition,
    attack: Bits,
    calm: Bits,
}

struct Search<'a> {
    /// Samples of the attack that are of the protocol.
    attack: &'a [&'a Observed],
    /// All samples.
    samples: usize,
    /// Calm packets of the protocol, of the half that is looked at.
    calm: Vec<Weighed<'a>>,
    /// Weight of that half.
    total: f64,
    /// What no share of calm traffic is taken to be below.
    floor: f64,
    bytes: Bytes,
    aim: Aim,
}

impl<'a> Search<'a> {
    fn new(
        protocol: u8,
        attack: &'a [&'a Observed],
        samples: usize,
        calm: &[Weighed<'a>],
        aim: Aim,
    ) -> Self {
        let half = || calm.iter().step_by(2).copied();
        let (total, squares) = half().fold((0.0, 0.0), |(sum, squares), one| {
            (sum + one.weight, squares + one.weight * one.weight)
        });
        let of_protocol: Vec<_> = half().filter(|one| one.seen.protocol == protocol).collect();
        let effective = if squares > 0.0 {
            total * total / squares
        } else {
            1.0
        };
        Self {
            attack,
            samples,
            bytes: Bytes::of_calm(&of_protocol),
            calm: of_protocol,
            total,
            floor: 0.5 / effective.max(1.0),
            aim,
        }
    }

    /// The best matches, best first.
    fn run(&self) -> Vec<State> {
        // Of the samples of the protocol, so many are needed.
        let of_protocol = self.samples as f64 / self.attack.len().max(1) as f64;
        let least = (self.aim.least * of_protocol).min(1.0);
        let mut conditions = candidates::headers(self.attack, least);
        let bytes = Bytes::of_attack(self.attack);
        conditions.extend(pattern::single(&bytes, &self.bytes, least));
        let candidates: Vec<Candidate> = conditions
            .into_iter()
            .filter_map(|condition| self.candidate(condition))
            .collect();
        let all = self.all();
        let mut found = vec![all.clone()];
        let mut beam = vec![all];
        for _ in 0..DEPTH {
            beam = self.further(&beam, &candidates);
            if beam.is_empty() {
                break;
            }
            found.extend(beam.iter().cloned());
        }
        let best = self.best(found);
        best.into_iter()
            .map(|state| self.narrowed(state, &candidates))
            .collect()
    }

    fn all(&self) -> State {
        let attack = Bits::of(self.attack, |_| true);
        let calm = Bits::of(&self.calm, |_| true);
        self.state(Vec::new(), attack, calm)
    }

    fn candidate(&self, condition: Condition) -> Option<Candidate> {
        let attack = Bits::of(self.attack, |seen| condition.holds(seen));
        let caught = attack.count() as f64 / self.samples as f64;
        (caught >= self.aim.least).then(|| Candidate {
            attack,
            calm: Bits::of(&self.calm, |one| condition.holds(one.seen)),
            condition,
        })
    }

    fn state(&self, conditions: Vec<Condition>, attack: Bits, calm: Bits) -> State {
        let caught = attack.count() as f64 / self.samples as f64;
        let weights = calm.indexes().filter_map(|index| self.calm.get(index));
        let weight = weights
            .map(|one| one.weight)
            .fold(0.0, |sum, weight| sum + weight);
        let met = if self.total > 0.0 {
            weight / self.total
        } else {
            0.0
        };
        State {
            conditions,
            attack,
            calm,
            caught,
            met,
            score: caught * (caught / met.max(self.floor)).max(f64::MIN_POSITIVE).ln(),
        }
    }

    /// The state with another condition, unless that catches too little.
    fn with(&self, state: &State, candidate: &Candidate) -> Option<State> {
        if state.has(candidate.condition.dimension()) {
            return None;
        }
        let caught = state.attack.count_both(&candidate.attack) as f64 / self.samples as f64;
        if caught < self.aim.least {
            return None;
        }
        let mut conditions = state.conditions.clone();
        conditions.push(candidate.condition.clone());
        let attack = state.attack.and(&candidate.attack);
        Some(self.state(conditions, attack, state.calm.and(&candidate.calm)))
    }

    /// The best states that have one condition more, each better than the one it came of.
    fn further(&self, beam: &[State], candidates: &[Candidate]) -> Vec<State> {
        let mut next: Vec<State> = Vec::new();
        for (place, state) in beam.iter().enumerate() {
            let payload = (place < 2).then(|| self.payload(state)).flatten();
            next.extend(
                candidates
                    .iter()
                    .chain(payload.as_ref())
                    .filter_map(|candidate| self.with(state, candidate))
                    .filter(|with| with.score > state.score),
            );
        }
        // Stable: among equals, the candidate that came first.
        next.sort_by(|one, two| two.score.total_cmp(&one.score));
        let mut best: Vec<State> = Vec::new();
        for state in next {
            if best.len() >= BEAM {
                break;
            }
            if !best.iter().any(|other| other.is_same(&state)) {
                best.push(state);
            }
        }
        best
    }

    /// The bytes that a state's packets have in common.
    fn payload(&self, state: &State) -> Option<Candidate> {
        if state.has(Dimension::Payload) {
            return None;
        }
        let condition = pattern::constant(self.attack, &state.attack, &self.bytes)?;
        self.candidate(condition)
    }

    /// Of those that seem harmless, those that catch nearly as much as the best, by their scores.
    fn best(&self, mut found: Vec<State>) -> Vec<State> {
        found.retain(|state| {
            state.caught >= self.aim.least && state.met <= self.aim.most_collateral
        });
        let most = found.iter().map(|state| state.caught).fold(0.0, f64::max);
        found.retain(|state| state.caught >= most * AS_GOOD);
        found.sort_by(|one, two| two.score.total_cmp(&one.score));
        let mut best: Vec<State> = Vec::new();
        for state in found {
            if best.len() < SCORED && !best.iter().any(|other| other.is_same(&state)) {
                best.push(state);
            }
        }
        best
    }

    /// Adds conditions that leave nearly all of what is caught: they spare what no sample shows.
    fn narrowed(&self, state: State, candidates: &[Candidate]) -> State {
        let most = state.caught;
        let mut state = self.with_pattern(state);
        let mut narrowing: Vec<(&Candidate, f64)> = candidates
            .iter()
            .map(|candidate| (candidate, self.outside(candidate)))
            .filter(|(candidate, outside)| is_telling(&candidate.condition, *outside))
            .collect();
        // Of one dimension, first single values, then what keeps most and spares most.
        narrowing.sort_by(|(one, outside), (two, other)| {
            let place = |candidate: &Candidate| {
                let condition = &candidate.condition;
                (condition.dimension(), !condition.is_exact())
            };
            let worth = |candidate: &Candidate, outside| candidate.attack.count() as f64 * outside;
            place(one)
                .cmp(&place(two))
                .then(worth(two, *other).total_cmp(&worth(one, *outside)))
        });
        for (candidate, _) in narrowing {
            if let Some(with) = self.with(&state, candidate)
                && with.caught >= most * NARROWED
            {
                state = with;
            }
        }
        state
    }

    /// The state with all bytes that its packets have in common, in place of those it has.
    fn with_pattern(&self, state: State) -> State {
        let Some(pattern) = pattern::constant(self.attack, &state.attack, &self.bytes) else {
            return state;
        };
        let mut conditions = state.conditions.clone();
        conditions.retain(|condition| condition.dimension() != Dimension::Payload);
        conditions.push(pattern);
        let all = |seen: &Observed| conditions.iter().all(|condition| condition.holds(seen));
        let attack = Bits::of(self.attack, |seen| all(seen));
        let calm = Bits::of(&self.calm, |one| all(one.seen));
        let with = self.state(conditions, attack, calm);
        if with.caught >= state.caught * NARROWED && with.met <= state.met {
            with
        } else {
            state
        }
    }

    /// The share of calm packets of the protocol for which a condition does not hold.
    fn outside(&self, candidate: &Candidate) -> f64 {
        let outside = self.calm.len() - candidate.calm.count();
        outside as f64 / self.calm.len().max(1) as f64
    }
}

/// Whether a condition says something that not nearly all packets of the protocol fulfil.
fn is_telling(condition: &Condition, outside: f64) -> bool {
    match condition {
        // What hosts have one of anyway.
        Condition::Fragment(_) | Condition::Family(_) | Condition::Destination(_) => {
            outside >= TELLING
        }
        Condition::SourcePort(_)
        | Condition::DestinationPort(_)
        | Condition::Flags(_)
        | Condition::Length(_)
        | Condition::Hops(_)
        | Condition::Payload(_) => condition.is_exact() || outside >= TELLING,
    }
}
