//! A vector at one place: whom it is aimed at, how far it is, and why.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    baseline::Normal,
    evidence::Evidence,
    machine::{Reading, Track},
    profile::Share,
    rates::{BRISK, FAST, Rate, Rates, STEADY, Window},
    strain::Strain,
    vector::{Phase, Target, Vector},
};
use crate::{config::detection::Detection, render::number};

/// A vector at a target, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// How far it is.
    pub track: Track,
    /// Whom it is aimed at, as far as can be told.
    pub target: Option<Target>,
    /// What comes in the last second.
    pub rate: Rate,
    /// What came in the last step.
    pub fast: Rate,
    /// What is usual.
    pub normal: Option<Normal>,
    /// Why.
    pub evidence: Evidence,
    /// Its share of the vector, as last observed.
    pub share: Share,
    /// Whether it was told that its baseline learns again.
    pub told_unfrozen: bool,
}

/// Where a vector is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At this service.
    Service(u8, u16),
    /// Wherever else.
    Whole,
}

impl Place {
    /// Whom an attack there is aimed at.
    pub fn target(self) -> Target {
        match self {
            Self::Service(protocol, port) => Target::Service { protocol, port },
            Self::Whole => Target::Host,
        }
    }
}

/// What is known in a step.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Wall-clock time.
    pub now: Timestamp,
    /// Time that never jumps.
    pub elapsed: Duration,
    /// What the file says.
    pub config: &'a Detection,
    /// The meter.
    pub rates: &'a Rates,
    /// What this host loses.
    pub strain: &'a Strain,
}

/// Sums over the windows of a step.
#[derive(Clone, Debug)]
pub struct Windows {
    /// The last step.
    pub fast: Window,
    /// The last 0.3 s.
    pub brisk: Window,
    /// The last second.
    pub steady: Window,
    /// The second that ended 1.5 s ago.
    pub before: Window,
}

impl Windows {
    /// Those that end now.
    pub fn of(rates: &Rates) -> Self {
        Self {
            fast: rates.over(FAST),
            brisk: rates.over(BRISK),
            steady: rates.over(STEADY),
            before: rates.between(Duration::from_millis(1_500), STEADY),
        }
    }
}

impl Watched {
    /// Takes a step: what comes at it is this share of the vector, and of what passes of the vector,
    /// the share `passed` is for it.
    pub fn look(
        &mut self,
        moment: &Moment<'_>,
        windows: &Windows,
        vector: Vector,
        (share, passed): (Share, f64),
        normal: &Normal,
        evidence: &Evidence,
    ) {
        self.share = share;
        // Who is calm must be surely above; who is not, surely below.
        let part = match self.track.phase {
            Phase::Calm | Phase::Recovering => share.least,
            Phase::Suspected | Phase::Attack => share.share,
        };
        let of = |window: &Window, part: f64| {
            let rate = window.rate(vector);
            let packets = rate.packets * part;
            Rate {
                packets,
                bits: rate.bits * part,
                passed: (rate.passed * passed).min(packets),
            }
        };
        let reading = Reading {
            fast: of(&windows.fast, part).packets,
            brisk: of(&windows.brisk, part).packets,
            steady: of(&windows.steady, part).packets,
            normal: *normal,
            score: evidence.score,
            is_known: evidence.is_known,
            is_quiet: evidence.is_quiet,
        };
        self.track
            .step(moment.elapsed, &reading, moment.config.recover);
        self.fast = of(&windows.fast, share.share);
        self.rate = of(&windows.brisk, share.share);
        self.normal = Some(*normal);
        // Why it began stays the reason while it fades.
        if self.track.phase != Phase::Recovering || self.evidence.words.is_empty() {
            self.evidence = evidence.clone();
        }
    }

    /// Notes whom it is aimed at. What is recovering is aimed at whom it was.
    pub fn aim(&mut self, target: Option<Target>, place: Place) {
        let is_known = self.target.is_some();
        match self.track.phase {
            Phase::Recovering if is_known => {}
            // A carpet of which too little is observed for a moment is one still.
            Phase::Attack if is_known && target.is_none() => {}
            Phase::Calm | Phase::Suspected | Phase::Attack | Phase::Recovering => {
                self.target = Some(target.unwrap_or_else(|| place.target()));
            }
        }
    }

    /// Notes that nothing of note comes.
    pub fn rest(&mut self) {
        self.rate = Rate::default();
        self.fast = Rate::default();
        self.evidence = Evidence::default();
    }

    /// Why it is not calm, in words with figures.
    pub fn words(&self, vector: Vector) -> String {
        let what = if vector.class().is_none() {
            "handshakes/s"
        } else {
            "packets/s"
        };
        let threshold = self.normal.map_or(0.0, |normal| normal.threshold);
        let mut text = format!(
            "{} {what}, above {} is unusual",
            number::whole(self.rate.packets),
            number::whole(threshold)
        );
        for words in &self.evidence.words {
            text.push_str("; ");
            text.push_str(words);
        }
        text
    }
}
