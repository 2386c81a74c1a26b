//! Who sends much while there is no attack: a tunnel, a game's relay, a collector.
//!
//! Such a peer may never complete a handshake of TCP, so that nothing else speaks for it; and where an
//! attack is of many small senders, it is the first that a lowered limit would hit.

use std::{collections::BTreeMap, time::Duration};

use filter_common::logic::packet::protocol;
use ipnet::IpNet;

use super::sources::unit;
use crate::detect::{Fate, Phase, Scene};

/// How long a window is at least.
const WINDOW: Duration = Duration::from_secs(1);
/// A longer window counts no more than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Observed packets without which a window says nothing.
const ENOUGH: u32 = 10;
/// Share of a window's packets that is much.
const MUCH: f64 = 0.05;
/// Senders of which a window keeps counts.
const COUNTED: usize = 1_024;
/// Senders that are remembered.
const MOST: usize = 128;
/// For how long one must have sent much.
const LASTING: Duration = Duration::from_secs(30);
/// For how long one is remembered.
const MEMORY: Duration = Duration::from_secs(7 * 86_400);

/// A sender.
#[derive(Clone, Copy, Debug, Default)]
struct Regular {
    /// For how long it sent much.
    time: Duration,
    /// When it did last.
    last: Duration,
}

/// Those who send much of what is not TCP in quiet times. At most 64 KiB.
#[derive(Debug, Default)]
pub struct Regulars {
    began: Duration,
    counts: BTreeMap<IpNet, u32>,
    all: u32,
    known: BTreeMap<IpNet, Regular>,
}

impl Regulars {
    /// Takes what was observed, unless there is an attack.
    pub fn observe(&mut self, scene: &Scene<'_>) {
        let is_attack = |phase| matches!(phase, Phase::Attack | Phase::Recovering);
        if scene.threats.iter().any(|threat| is_attack(threat.phase)) {
            self.restart(scene.elapsed);
            return;
        }
        for packet in &scene.snapshot.observed {
            if packet.protocol == protocol::TCP || matches!(packet.fate, Fate::Stopped(_)) {
                continue;
            }
            self.all = self.all.saturating_add(1);
            let unit = unit(packet.source);
            if self.counts.len() < COUNTED || self.counts.contains_key(&unit) {
                let count = self.counts.entry(unit).or_default();
                *count = count.saturating_add(1);
            }
        }
        let length = scene.elapsed.saturating_sub(self.began);
        if length < WINDOW || self.all < ENOUGH {
            return;
        }
        let much = MUCH * f64::from(self.all);
        let heavy = self
            .counts
            .iter()
            .filter(|(_, count)| f64::from(**count) >= much);
        for (unit, _) in heavy {
            let known = self.known.entry(*unit).or_default();
            known.time = known.time.saturating_add(length.min(LONGEST));
            known.last = scene.elapsed;
        }
        self.restart(scene.elapsed);
        self.forget(scene.elapsed);
    }

    fn restart(&mut self, elapsed: Duration) {
        self.began = elapsed;
        self.counts.clear();
        self.all = 0;
    }

    fn forget(&mut self, elapsed: Duration) {
        self.known
            .retain(|_, it| elapsed.saturating_sub(it.last) < MEMORY);
        while self.known.len() > MOST {
            let least = self.known.iter().min_by_key(|(_, it)| it.time);
            let Some(unit) = least.map(|(unit, _)| *unit) else {
                return;
            };
            self.known.remove(&unit);
        }
    }

    /// Whether one of a prefix sends much in quiet times too.
    pub fn within(&self, prefix: &IpNet) -> bool {
        // A prefix sorts before its members, and they follow each other.
        let members = self.known.range(*prefix..);
        members
            .take_while(|(unit, _)| prefix.contains(*unit))
            .any(|(_, it)| it.time >= LASTING)
    }
}
