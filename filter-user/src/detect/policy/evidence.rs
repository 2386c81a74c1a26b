//! Misbehaviour that cannot have been forged in somebody's name.
//!
//! Who knows a partner's address can send SYNs, datagrams and segments in its name, and no packet by
//! itself shows who sent it; none of them count here. What counts are SYNs that the kernel's limit of
//! *completed* handshakes stopped, for only who completes handshakes drains that bucket.

use std::{collections::BTreeMap, time::Duration};

use filter_common::abi::{reason::Reason, traffic::TrafficClass};
use ipnet::IpNet;

use super::sources::{Sources, unit};
use crate::detect::{Fate, Observed};

/// For how long a generation of counts lasts; two are kept.
const GENERATION: Duration = Duration::from_millis(2_500);
/// The time that all counts are of, at most.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Sources in a generation at most.
const MOST: usize = 1_024;
/// Stopped SYNs that prove too many handshakes.
const ENOUGH: u32 = 4;

/// SYNs that were stopped, or would be, for too many completed handshakes, by source.
#[derive(Debug, Default)]
pub struct Evidence {
    since: Duration,
    young: BTreeMap<IpNet, u32>,
    old: BTreeMap<IpNet, u32>,
}

impl Evidence {
    /// Takes what was observed in a step. What comes during a ban is no reason for the next.
    pub fn observe(&mut self, observed: &[Observed], sources: &Sources, elapsed: Duration) {
        let age = elapsed.saturating_sub(self.since);
        if age >= GENERATION {
            let old = std::mem::take(&mut self.young);
            self.old = if age < WINDOW { old } else { BTreeMap::new() };
            self.since = elapsed;
        }
        for packet in observed.iter().filter(|packet| is_evidence(packet)) {
            let unit = unit(packet.source);
            let is_banned = sources.get(&unit).is_some_and(|it| it.is_banned(elapsed));
            let has_room = self.young.len() < MOST || self.young.contains_key(&unit);
            if has_room && !is_banned {
                let count = self.young.entry(unit).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// Forgets all: nothing is held against anybody.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Forgets one: it was answered.
    pub fn answer(&mut self, unit: &IpNet) {
        self.young.remove(unit);
        self.old.remove(unit);
    }

    /// What was seen of a source.
    pub fn of(&self, unit: &IpNet) -> u32 {
        let in_generation = |counts: &BTreeMap<IpNet, u32>| counts.get(unit).copied().unwrap_or(0);
        in_generation(&self.young).saturating_add(in_generation(&self.old))
    }

    /// All sources of which anything was seen.
    pub fn all(&self) -> impl Iterator<Item = (u32, IpNet)> {
        let only_old = self
            .old
            .keys()
            .filter(|unit| !self.young.contains_key(unit));
        let all = self.young.keys().chain(only_old);
        all.map(|unit| (self.of(unit), *unit))
    }

    /// Sources of which enough was seen, most first.
    pub fn guilty(&self) -> Vec<IpNet> {
        let mut guilty: Vec<(u32, IpNet)> =
            self.all().filter(|(count, _)| *count >= ENOUGH).collect();
        guilty.sort_unstable_by_key(|(count, unit)| (u32::MAX.saturating_sub(*count), *unit));
        guilty.into_iter().map(|(_, unit)| unit).collect()
    }
}

fn is_evidence(packet: &Observed) -> bool {
    let stopped = matches!(
        packet.fate,
        Fate::Stopped(Reason::LimitConnections) | Fate::Watched(Reason::LimitConnections)
    );
    stopped && packet.class == TrafficClass::Syn
}
