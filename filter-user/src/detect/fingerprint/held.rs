//! A fingerprint that is tried or in force.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    calm::Calm,
    condition::fits,
    lifecycle::{Attack, is_of, is_ruled, reason, rule},
    score::Fingerprint,
    stored::Stored,
};
use crate::{
    core::command::Command,
    detect::{
        input::{Fate, Observed},
        output::Spoofed,
        scene::Scene,
        vector::Phase,
    },
};

/// A trial takes so long.
const TRIAL: Duration = Duration::from_secs(1);
/// Its shadow rule stays longer, for whoever looks.
const SHADOW: Duration = Duration::from_secs(10);
/// A trial that saw fewer samples of the attack says nothing.
const SEEN: u32 = 20;
/// In a trial a fingerprint catches at least such a part of what it is said to catch.
const AS_SAID: f64 = 0.5;
/// A rule is in force so long after it was asked for.
const DELAY: Duration = Duration::from_secs(2);
/// So many packets that pass in spite of a rule say that it is not in force.
const IN_SPITE: u32 = 20;
/// No rule stays shorter.
const SHORTEST: Duration = Duration::from_secs(10);
/// A rule that caught nothing for so long is not renewed.
const IDLE: Duration = Duration::from_secs(5);

/// A fingerprint that is tried or in force.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub attack: Attack,
    pub found: Fingerprint,
    /// When it ends, unless it is renewed.
    pub until: Duration,
    /// Likewise by the wall's clock, for who starts after a restart.
    ends: Timestamp,
    is_trial: bool,
    of_strangers: bool,
    began: Duration,
    /// When it last caught a packet of an attack.
    caught_at: Duration,
    /// Since it last caught one: packets that passed in spite of it.
    in_spite: u32,
    trial: Trial,
}

/// What a trial saw.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    /// Samples of the attack, and those it would have caught.
    attack: Hits,
    /// Samples of proven sources, and those it would have caught.
    proven: Hits,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hits {
    all: u32,
    hit: u32,
}

impl Hits {
    fn count(&mut self, hit: bool) {
        self.all = self.all.saturating_add(1);
        self.hit = self.hit.saturating_add(u32::from(hit));
    }
}

/// How long a rule stays.
pub(super) fn stay(scene: &Scene<'_>) -> Duration {
    scene.config.recover.max(SHORTEST)
}

/// What becomes of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It stays as it is.
    Keep,
    /// The trial is over and well.
    Install,
    /// It is still needed.
    Renew,
    /// It is of no use, and why.
    GiveUp(&'static str),
}

impl Held {
    /// One that is tried first; `of_strangers` says whether those who came in calm were left out of
    /// the samples that it was found by.
    pub fn trial(
        attack: Attack,
        found: Fingerprint,
        scene: &Scene<'_>,
        of_strangers: bool,
    ) -> Self {
        Self {
            is_trial: true,
            of_strangers,
            ..Self::installed(attack, found, scene, SHADOW)
        }
    }

    /// One that drops packets from now on.
    pub fn installed(
        attack: Attack,
        found: Fingerprint,
        scene: &Scene<'_>,
        stay: Duration,
    ) -> Self {
        Self {
            attack,
            found,
            until: scene.elapsed.saturating_add(stay),
            ends: scene.now.checked_add(stay).unwrap_or(scene.now),
            is_trial: false,
            of_strangers: false,
            began: scene.elapsed,
            caught_at: scene.elapsed,
            in_spite: 0,
            trial: Trial::default(),
        }
    }

    /// Adds the rule, or renews it: the same rule again has its end moved.
    pub fn command(&self, stay: Duration) -> Command {
        Command::AddRule {
            rule: Box::new(rule(&self.found.matches, self.is_trial)),
            before: None,
            duration: Some(stay),
            reason: self.reason(),
            force: false,
        }
    }

    /// Why, with both shares.
    pub fn reason(&self) -> String {
        reason(&self.attack, &self.found)
    }

    /// Looks at what was observed.
    pub fn watch(&mut self, scene: &Scene<'_>, calm: &Calm) {
        for seen in &scene.snapshot.observed {
            let of_attack = || {
                let mut threats = scene.threats.iter();
                threats.any(|threat| threat.phase == Phase::Attack && is_of(threat, seen))
            };
            if self.is_trial {
                let is_meant = of_attack() && !(self.of_strangers && calm.knows(seen));
                self.try_on(seen, is_meant);
            } else if fits(&self.found.matches, seen) && of_attack() {
                let is_due = scene.elapsed.saturating_sub(self.began) >= DELAY;
                if is_ruled(seen.fate) {
                    self.caught_at = scene.elapsed;
                    self.in_spite = 0;
                } else if seen.fate == Fate::Passed && !seen.is_proven && is_due {
                    // The allowlist spares those who are on it every rule.
                    self.in_spite = self.in_spite.saturating_add(1);
                }
            }
        }
    }

    fn try_on(&mut self, seen: &Observed, of_attack: bool) {
        if seen.fate != Fate::Passed {
            return;
        }
        let hit = fits(&self.found.matches, seen);
        if seen.is_proven {
            self.trial.proven.count(hit);
        }
        if of_attack {
            self.trial.attack.count(hit);
        }
    }

    /// What is to become of it.
    pub fn verdict(&self, scene: &Scene<'_>) -> Stage {
        if self.is_trial {
            return self.judge_trial(scene);
        }
        if self.in_spite >= IN_SPITE {
            return Stage::GiveUp(
                "does not take effect: it was refused or removed, or a rule before it decides; \
                 `floodwall rule list` and `floodwall events` tell",
            );
        }
        let left = self.until.saturating_sub(scene.elapsed);
        let is_used = scene.elapsed.saturating_sub(self.caught_at) < IDLE;
        let is_needed = scene
            .threats
            .iter()
            .any(|threat| threat.phase == Phase::Attack);
        if left <= stay(scene) / 2 && is_used && is_needed {
            Stage::Renew
        } else {
            Stage::Keep
        }
    }

    /// Moves the end: so long after the last packet that was caught.
    pub fn renew(&mut self, scene: &Scene<'_>) -> Command {
        self.until = self.caught_at.saturating_add(stay(scene));
        let left = self.until.saturating_sub(scene.elapsed);
        self.ends = scene.now.checked_add(left).unwrap_or(scene.now);
        self.command(left)
    }

    /// What of it outlives a restart: no trial.
    pub fn stored(&self) -> Option<Stored> {
        (!self.is_trial).then(|| Stored::of(&self.attack, &self.found, self.ends))
    }

    fn judge_trial(&self, scene: &Scene<'_>) -> Stage {
        if scene.elapsed.saturating_sub(self.began) < TRIAL {
            return Stage::Keep;
        }
        let Trial { attack, proven } = self.trial;
        let harm = scene.config.max_collateral * f64::from(proven.all);
        // Where the flood's own sources prove their addresses, that says nothing.
        let is_real = scene.threats.iter().any(|threat| {
            (threat.vector, &threat.target) == (self.attack.0, &self.attack.1)
                && threat.spoofed == Spoofed::Real
        });
        // One packet may be chance.
        if !is_real && f64::from(proven.hit) > harm.max(1.0) {
            return Stage::GiveUp("met sources in its trial that proved their address");
        }
        if attack.all < SEEN {
            return Stage::Keep;
        }
        if f64::from(attack.hit) < f64::from(attack.all) * self.found.caught * AS_SAID {
            return Stage::GiveUp("caught less in its trial than it was found by");
        }
        Stage::Install
    }
}
