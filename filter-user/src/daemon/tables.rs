//! Carries entries to the kernel's lists, and takes them back.

use std::{collections::BTreeMap, sync::Arc};

use filter_common::{
    abi::entry::{EntryValue, Lengths, ListId},
    logic::{address::Family, hash::HashKey},
};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::{
    api::types::ListKind,
    core::{
        gate::Gate,
        lists::{End, key},
        trial::Standing,
    },
    dataplane::{Dataplane, DataplaneError},
    sets::near::Near,
};

/// What an entry was and is to be; the outer `None` is "not there".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which list.
    pub kind: ListKind,
    /// Which prefix.
    pub prefix: IpNet,
    /// How it stood.
    pub before: Option<Standing>,
    /// How it is to stand.
    pub after: Option<Standing>,
}

impl Move {
    fn undone(self) -> Self {
        Self {
            before: self.after,
            after: self.before,
            ..self
        }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Wall-clock time.
    pub now: Timestamp,
    /// The kernel's tick.
    pub tick: u64,
    /// Ticks a second.
    pub hz: u64,
}

impl Moment {
    /// The tick at which something ends: not before `end`, and at most one tick after it.
    pub fn until(self, end: End) -> u64 {
        let Some(end) = end else {
            return EntryValue::NEVER;
        };
        let left = end.duration_since(self.now).as_nanos().max(0);
        let ticks = (left * i128::from(self.hz)).div_euclid(1_000_000_000) + 1;
        self.tick
            .saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX / 2))
    }

    /// The time of a tick.
    pub fn time(self, tick: u64) -> Timestamp {
        let ahead = i128::from(tick) - i128::from(self.tick);
        let nanoseconds = ahead * 1_000_000_000 / i128::from(self.hz.max(1));
        let ahead = i64::try_from(nanoseconds).map(jiff::SignedDuration::from_nanos);
        ahead
            .ok()
            .and_then(|ahead| self.now.checked_add(ahead).ok())
            .unwrap_or(self.now)
    }
}

/// What userspace keeps beside the kernel's lists: lengths in use, and the gate.
#[derive(Debug)]
pub struct Tables {
    lengths: BTreeMap<(ListId, Family), Lengths>,
    gate: Gate,
    /// Entries that the kernel has, by list.
    entries: BTreeMap<ListId, u64>,
}

impl Tables {
    /// Empty lists, except for lengths that pinned maps already know: those are only added to, so
    /// that packets in flight miss none.
    pub fn new(plane: &mut dyn Dataplane, key: HashKey) -> Result<Self, DataplaneError> {
        let mut lengths = BTreeMap::new();
        for list in ListKind::ALL.map(ListKind::id) {
            for family in [Family::V4, Family::V6] {
                lengths.insert((list, family), plane.lengths(list, family)?);
            }
        }
        Ok(Self {
            lengths,
            gate: Gate::new(key),
            entries: BTreeMap::new(),
        })
    }

    /// Whether IPv6 entries exist that have no bits in the gate.
    pub fn is_gate_open_v6(&self) -> bool {
        self.gate.is_open_v6()
    }

    /// What the gate is open for because of big sets.
    pub fn gate_of_sets(&self) -> &[Arc<Near>] {
        self.gate.sets()
    }

    /// Opens the gate for big sets with the next entry that is carried to the kernel.
    pub fn expect_sets(&mut self, near: Arc<Near>) {
        self.gate.set_sets(vec![near]);
    }

    /// Opens the gate for these big sets and no others.
    pub fn set_gate_of_sets(
        &mut self,
        plane: &mut dyn Dataplane,
        sets: Vec<Arc<Near>>,
    ) -> Result<(), DataplaneError> {
        self.gate.set_sets(sets);
        self.flush(plane)
    }

    /// Carries moves to the kernel: all, or none.
    pub fn carry(
        &mut self,
        plane: &mut dyn Dataplane,
        moves: &[Move],
        moment: Moment,
    ) -> Result<(), DataplaneError> {
        for (done, step) in moves.iter().enumerate() {
            if let Err(error) = self.entry(plane, *step, moment) {
                let undo: Vec<Move> = moves
                    .iter()
                    .take(done)
                    .rev()
                    .map(|step| step.undone())
                    .collect();
                self.undo(plane, &undo, moment);
                return Err(error);
            }
        }
        if let Err(error) = self.flush(plane) {
            let undo: Vec<Move> = moves.iter().rev().map(|step| step.undone()).collect();
            self.undo(plane, &undo, moment);
            return Err(error);
        }
        Ok(())
    }

    /// Takes moves back that were carried.
    pub fn take_back(&mut self, plane: &mut dyn Dataplane, moves: &[Move], moment: Moment) {
        let undo: Vec<Move> = moves.iter().rev().map(|step| step.undone()).collect();
        self.undo(plane, &undo, moment);
    }

    fn undo(&mut self, plane: &mut dyn Dataplane, undo: &[Move], moment: Moment) {
        for step in undo {
            if let Err(error) = self.entry(plane, *step, moment) {
                tracing::error!("taking back a change of {}: {error}", step.prefix);
            }
        }
        if let Err(error) = self.flush(plane) {
            tracing::error!("taking back a change: {error}");
        }
    }

    /// Lengths before the entry, the entry before its bits: only with its bit set is it met, and
    /// then it is there. The other way round when it goes.
    fn entry(
        &mut self,
        plane: &mut dyn Dataplane,
        step: Move,
        moment: Moment,
    ) -> Result<(), DataplaneError> {
        let (list, key) = (step.kind.id(), key(&step.prefix));
        match step.after {
            Some(standing) => {
                let family = key.address().family();
                let known = self.lengths.entry((list, family)).or_default();
                let mut lengths = *known;
                if lengths.insert(key.length()) {
                    plane.set_lengths(list, family, &lengths)?;
                    *known = lengths;
                }
                let packets = match step.before {
                    Some(_) => plane.entry(list, &key)?.map_or(0, |value| value.packets),
                    None => 0,
                };
                let value = EntryValue {
                    until: moment.until(standing.end),
                    packets,
                    absent: standing.absent,
                };
                plane.set_entry(list, &key, &value)?;
            }
            None => plane.remove_entry(list, &key)?,
        }
        match (step.before, step.after) {
            (None, Some(_)) => self.adopt(step.kind, &step.prefix),
            (Some(_), None) => {
                self.gate.remove(&step.prefix);
                let entries = self.entries.entry(list).or_default();
                *entries = entries.saturating_sub(1);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        Ok(())
    }

    /// Writes lines of the gate that are still to be written.
    pub fn settle(&mut self, plane: &mut dyn Dataplane) -> Result<(), DataplaneError> {
        self.flush(plane)
    }

    fn flush(&mut self, plane: &mut dyn Dataplane) -> Result<(), DataplaneError> {
        let lines = self.gate.take_dirty();
        let mut written = lines.iter();
        for (line, words) in &mut written {
            if let Err(error) = plane.set_gate(*line, words) {
                // This line and those behind it are still to be written.
                self.gate.mark(*line);
                written.for_each(|(line, _)| self.gate.mark(*line));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Notes an entry that the kernel has.
    pub fn adopt(&mut self, kind: ListKind, prefix: &IpNet) {
        self.gate.add(prefix);
        *self.entries.entry(kind.id()).or_default() += 1;
    }

    /// How many entries the kernel has.
    pub fn entries(&self, kind: ListKind) -> u64 {
        self.entries.get(&kind.id()).copied().unwrap_or(0)
    }
}
