//! Misbehaviour that cannot have been forged in somebody's name.
//!
//! Who knows a partner's address can send SYNs and datagrams in its name; they count for nothing
//! here. What counts are SYNs that the kernel's limit of *completed* handshakes stopped, for only
//! who completes handshakes drains that bucket; and packets of established connections, as a share
//! of all that came in that name.

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
const ENOUGH_STOPPED: u32 = 4;
/// Packets of established connections that prove what an established sender does.
const ENOUGH_ESTABLISHED: u32 = 16;

/// What was seen of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// SYNs stopped, or that would be, for too many completed handshakes.
    pub stopped: u32,
    /// Packets of established connections.
    pub established: u32,
    /// Others of TCP, which anybody can have sent.
    pub others: u32,
}

impl Tally {
    /// Whether it completed more handshakes than the limit of connections allows.
    pub const fn shows_handshakes(self) -> bool {
        self.stopped >= ENOUGH_STOPPED
    }

    /// Whether nearly all that comes in its name belongs to established connections.
    pub const fn shows_established(self) -> bool {
        self.established >= ENOUGH_ESTABLISHED && self.others <= self.established / 10
    }
}

/// Counts of the last seconds, while they matter.
#[derive(Debug, Default)]
pub struct Evidence {
    since: Duration,
    young: BTreeMap<IpNet, Tally>,
    old: BTreeMap<IpNet, Tally>,
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
        for packet in observed {
            let unit = unit(packet.source);
            if !sources.get(&unit).is_some_and(|it| it.is_banned(elapsed)) {
                self.count(unit, packet);
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
    pub fn of(&self, unit: &IpNet) -> Tally {
        let young = self.young.get(unit).copied().unwrap_or_default();
        let old = self.old.get(unit).copied().unwrap_or_default();
        Tally {
            stopped: young.stopped.saturating_add(old.stopped),
            established: young.established.saturating_add(old.established),
            others: young.others.saturating_add(old.others),
        }
    }

    /// Sources of which something was seen, each once.
    pub fn sources(&self) -> impl Iterator<Item = &IpNet> {
        let only_old = self
            .old
            .keys()
            .filter(|unit| !self.young.contains_key(unit));
        self.young.keys().chain(only_old)
    }

    fn count(&mut self, unit: IpNet, packet: &Observed) {
        let is_tcp = matches!(
            packet.class,
            TrafficClass::Syn | TrafficClass::SynAck | TrafficClass::Ack | TrafficClass::Close
        );
        if !is_tcp {
            return;
        }
        let one = match (packet.fate, packet.class) {
            // It was banned already, or is on a list: nothing new.
            (Fate::Stopped(Reason::Banned | Reason::Blocked | Reason::Listed), _) => return,
            (
                Fate::Stopped(Reason::LimitConnections) | Fate::Watched(Reason::LimitConnections),
                TrafficClass::Syn,
            ) => Tally {
                stopped: 1,
                ..Tally::default()
            },
            (_, TrafficClass::Ack | TrafficClass::Close) if packet.is_proven => Tally {
                established: 1,
                ..Tally::default()
            },
            _ => Tally {
                others: 1,
                ..Tally::default()
            },
        };
        let is_known = self.young.contains_key(&unit) || self.old.contains_key(&unit);
        // A million forged sources shall not fill the table.
        if !is_known && (one.others > 0 || self.young.len() >= MOST) {
            return;
        }
        if self.young.len() >= MOST && !self.young.contains_key(&unit) {
            return;
        }
        let tally = self.young.entry(unit).or_default();
        tally.stopped = tally.stopped.saturating_add(one.stopped);
        tally.established = tally.established.saturating_add(one.established);
        tally.others = tally.others.saturating_add(one.others);
    }
}
