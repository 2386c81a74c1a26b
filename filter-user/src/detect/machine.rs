//! How far an attack has come: calm, suspected, under attack, recovering.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | calm | suspected | four times the threshold in one step, or above it for 0.3 s |
//! | suspected | under attack | still above it 0.1 s later, and there is evidence; or above the ceiling |
//! | suspected | calm | below four fifths of it for 2 s; or ten minutes without evidence |
//! | under attack | recovering | below 0.7 of it for a second; or 3 s of evidence to the contrary; or a minute without any |
//! | recovering | under attack | above it again, and nothing speaks against it |
//! | recovering | calm | nothing for as long as the configuration says |
//!
//! Pulses are remembered: what comes back within ten minutes is under attack at once, and each time
//! recovering lasts twice as long, eight times at most. It was away only if the whole vector was calm
//! meanwhile: what one service gets of a flood is an estimate, which comes and goes. What was suspected
//! for ten minutes without evidence is tolerated up to half as much again, so that a tunnel which began
//! today is learned as usual; evidence ends that.

use std::time::Duration;

use super::{
    baseline::Normal,
    evidence::{BENIGN, ENOUGH},
    vector::Phase,
};

/// How far above its threshold a single step is enough for suspicion.
const STRONG: f64 = 4.0;
/// How far below it what is suspected is calm again.
const CALM: f64 = 0.8;
/// How far below it an attack is over.
const OVER: f64 = 0.7;
/// How long what is suspected stays below before it is calm.
const CALMS: Duration = Duration::from_secs(2);
/// How long an attack stays below before it recovers.
const ENDS: Duration = Duration::from_secs(1);
/// How long the contrary must be evident before an attack is taken back.
const CONTRARY: Duration = Duration::from_secs(3);
/// How long suspicion lasts at least before it is more.
const CONFIRM: Duration = Duration::from_millis(90);
/// How long nothing must speak for an attack before it is over, whatever comes in.
const FADES: Duration = Duration::from_secs(60);
/// How long the last attack is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How long suspicion may last without evidence.
const TOLERATES: Duration = Duration::from_secs(600);
/// How much more than what was tolerated is suspicious.
const MORE: f64 = 1.5;
/// Recovering lasts so many times as long at most.
const LONGEST: u32 = 8;
/// How long something may be not calm before its baseline learns again.
pub const FROZEN: Duration = Duration::from_secs(24 * 3_600);

/// What a step shows of a vector at a target, packets a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// In the last step.
    pub fast: f64,
    /// In the last 0.3 s.
    pub brisk: f64,
    /// In the last second.
    pub steady: f64,
    /// What is usual.
    pub normal: Normal,
    /// What speaks for an attack.
    pub score: f64,
    /// Whether enough was observed for nothing to speak for it.
    pub is_known: bool,
    /// Whether the vector is back to what is usual, wherever it is aimed.
    pub is_quiet: bool,
}

impl Reading {
    /// Whether a vector at `rate` packets a second is back to what is usual.
    pub fn is_quiet(rate: f64, normal: &Normal) -> bool {
        rate < OVER * normal.threshold
    }
}

/// A vector at a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// How far it is.
    pub phase: Phase,
    /// Since when, in time that never jumps.
    pub since: Duration,
    /// Since when it was not calm.
    pub restless: Option<Duration>,
    /// Since when it is below what keeps it in its phase.
    below: Option<Duration>,
    /// Since when there is evidence to the contrary.
    contrary: Option<Duration>,
    /// Since when there has been no evidence.
    baseless: Option<Duration>,
    /// When the last attack ended.
    ended: Option<Duration>,
    /// Whether nothing of its vector came since.
    was_away: bool,
    /// How often it came back.
    returns: u32,
    /// Up to which rate it is tolerated without evidence, packets a second.
    tolerated: Option<f64>,
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
}

impl Track {
    /// Takes a reading.
    pub fn step(&mut self, now: Duration, reading: &Reading, recover: Duration) -> Option<Change> {
        let from = self.phase;
        self.was_away |= reading.is_quiet;
        let to = match from {
            Phase::Calm => self.calm(now, reading),
            Phase::Suspected => self.suspected(now, reading),
            Phase::Attack => self.attack(now, reading),
            Phase::Recovering => self.recovering(now, reading, recover),
        };
        if from == to {
            return None;
        }
        self.enter(now, from, to);
        Some(Change { from, to })
    }

    fn enter(&mut self, now: Duration, from: Phase, to: Phase) {
        self.phase = to;
        self.since = now;
        self.below = None;
        self.contrary = None;
        self.baseless = None;
        match to {
            Phase::Calm => self.restless = None,
            Phase::Suspected => {
                self.restless.get_or_insert(now);
            }
            Phase::Attack => {
                self.restless.get_or_insert(now);
                self.tolerated = None;
                if !self.remembers(now) {
                    self.returns = 0;
                } else if self.was_away {
                    self.returns = self.returns.saturating_add(1);
                }
                self.was_away = false;
            }
            Phase::Recovering => {}
        }
        if from == Phase::Attack {
            self.ended = Some(now);
            self.was_away = false;
        }
    }

    /// Whether the last attack was a short time ago.
    pub fn remembers(&self, now: Duration) -> bool {
        self.ended
            .is_some_and(|ended| now.saturating_sub(ended) <= REMEMBERED)
    }

    /// Whether what comes at it is accounted for, and so is unusual nowhere else.
    pub fn explains(&self) -> bool {
        self.phase != Phase::Calm || self.tolerated.is_some()
    }

    /// Whether there is nothing to be remembered of it.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.phase == Phase::Calm && self.tolerated.is_none() && !self.remembers(now)
    }

    /// How long it recovers.
    pub fn recovery(&self, recover: Duration) -> Duration {
        let times = 1_u32.checked_shl(self.returns).unwrap_or(LONGEST);
        // Longer than an attack is remembered would be for ever.
        let longest = recover.max(REMEMBERED);
        recover.saturating_mul(times.min(LONGEST)).min(longest)
    }

    /// The level from which on it is noticed.
    fn level(&self, reading: &Reading) -> f64 {
        let threshold = reading.normal.threshold;
        match self.tolerated {
            Some(tolerated) if reading.score < ENOUGH => threshold.max(tolerated),
            Some(_) | None => threshold,
        }
    }

    fn calm(&mut self, now: Duration, reading: &Reading) -> Phase {
        let level = self.level(reading);
        if reading.steady < CALM * reading.normal.threshold {
            self.tolerated = None;
        }
        let is_over = reading.fast >= STRONG * level || reading.brisk >= level;
        if !is_over {
            return Phase::Calm;
        }
        if self.remembers(now) && reading.score > 0.0 {
            return Phase::Attack;
        }
        Phase::Suspected
    }

    fn suspected(&mut self, now: Duration, reading: &Reading) -> Phase {
        let threshold = reading.normal.threshold;
        let is_past = |since: Duration, time: Duration| now.saturating_sub(since) >= time;
        let is_confirmed = is_past(self.since, CONFIRM) && reading.brisk >= threshold;
        let is_too_much = reading
            .normal
            .ceiling
            .is_some_and(|ceiling| reading.brisk >= ceiling);
        if is_confirmed && (reading.score >= ENOUGH || is_too_much) {
            return Phase::Attack;
        }
        if reading.steady.max(reading.brisk) < CALM * threshold {
            let below = *self.below.get_or_insert(now);
            if is_past(below, CALMS) {
                return Phase::Calm;
            }
        } else {
            self.below = None;
        }
        if reading.score >= 0.5 {
            self.baseless = None;
        } else if is_past(*self.baseless.get_or_insert(now), TOLERATES) {
            self.tolerated = Some(reading.steady.max(reading.brisk) * MORE);
            return Phase::Calm;
        }
        Phase::Suspected
    }

    fn attack(&mut self, now: Duration, reading: &Reading) -> Phase {
        let is_past = |since: Duration, time: Duration| now.saturating_sub(since) >= time;
        if reading.steady.max(reading.brisk) < OVER * reading.normal.threshold {
            if is_past(*self.below.get_or_insert(now), ENDS) {
                return Phase::Recovering;
            }
        } else {
            self.below = None;
        }
        if reading.score <= BENIGN {
            if is_past(*self.contrary.get_or_insert(now), CONTRARY) {
                return Phase::Recovering;
            }
        } else {
            self.contrary = None;
        }
        if reading.score > 0.0 || !reading.is_known {
            self.baseless = None;
        } else if is_past(*self.baseless.get_or_insert(now), FADES) {
            return Phase::Recovering;
        }
        Phase::Attack
    }

    fn recovering(&mut self, now: Duration, reading: &Reading, recover: Duration) -> Phase {
        let threshold = reading.normal.threshold;
        let is_over = reading.fast >= STRONG * threshold || reading.brisk >= threshold;
        if is_over && reading.score > 0.0 {
            return Phase::Attack;
        }
        if now.saturating_sub(self.since) >= self.recovery(recover) {
            return Phase::Calm;
        }
        Phase::Recovering
    }

    /// Whether what comes may be learned as usual: it is calm, or has not been for so long that it
    /// may be the new usual.
    pub fn may_learn(&self, now: Duration) -> bool {
        match self.phase {
            Phase::Calm => true,
            Phase::Suspected | Phase::Attack | Phase::Recovering => self.is_unfrozen(now),
        }
    }

    /// Whether it is suspected for nothing but its rate, and for longer than evidence takes: where
    /// nothing is known of what is usual, that may be it.
    pub fn may_be_usual(&self, now: Duration) -> bool {
        let is_past = |since: Duration| now.saturating_sub(since) >= CALMS;
        self.phase == Phase::Suspected && self.baseless.is_some_and(is_past)
    }

    /// Whether it was not calm for a day without interruption.
    pub fn is_unfrozen(&self, now: Duration) -> bool {
        self.restless
            .is_some_and(|since| now.saturating_sub(since) >= FROZEN)
    }
}

#[cfg(test)]
mod tests;
