//! What operators changed, as a value; and changes to it, each with an inverse.

mod change;
#[cfg(test)]
mod properties;

use std::collections::BTreeMap;

use filter_common::{
    abi::{defence::Defence, reason::Reason},
    logic::set4,
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    actor::CONTROLLER,
    cookies::{LONGEST, WATCH},
    held::Holdings,
    lists::{End, List, Note},
    rules::AddedRule,
    trial::{Texts, Trial},
};
use crate::{
    api::types::{Entry, ListKind, Mode},
    config::{
        defence::DefenceMode,
        limit::{LimitName, LimitRate},
    },
};

pub use self::change::Change;

/// Everything that is not in the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    allow: List,
    block: List,
    ban: List,
    /// The mode, if an operator changed it.
    pub mode: Option<Set<ModeChoice>>,
    /// Limits that an operator set by hand; `None` is off.
    pub limits: BTreeMap<LimitName, Set<Option<LimitRate>>>,
    /// Defences that an operator switched.
    pub defences: BTreeMap<Defence, Set<DefenceMode>>,
    /// TCP ports whose cookies were switched on or off by themselves, by an operator or because
    /// no connection came of them.
    pub cookie_ports: BTreeMap<u16, Set<bool>>,
    /// Interfaces that an operator detached.
    pub detached: BTreeMap<String, Set<()>>,
    /// Rules that were added, by number.
    pub rules: BTreeMap<u32, AddedRule>,
    /// The number of the next rule, if any was ever added.
    pub next_rule: u32,
    /// What the controller holds. No restart finds it again.
    pub held: Holdings,
    /// Changes that wait for confirmation.
    pub trial: Option<Box<Trial>>,
    /// What is in force instead of the file as it was read last, which nobody confirmed.
    pub unconfirmed: Option<Box<Texts>>,
}

/// Something that was set, by whom, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Set<T> {
    /// To what.
    pub value: T,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: End,
}

/// A mode, with the reasons that are enforced if not all are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChoice {
    /// Watch or drop.
    pub mode: Mode,
    /// Only these, if any.
    pub reasons: Vec<Reason>,
}

impl ModeChoice {
    /// The set of reasons that are enforced.
    pub fn enforced(&self) -> u64 {
        match self.mode {
            Mode::Monitor => 0,
            Mode::Enforce if self.reasons.is_empty() => Reason::all_drops(),
            Mode::Enforce => self
                .reasons
                .iter()
                .fold(0, |set, reason| set | reason.bit()),
        }
    }
}

impl State {
    /// One of the lists.
    pub fn list(&self, kind: ListKind) -> &List {
        match kind {
            ListKind::Allow => &self.allow,
            ListKind::Block => &self.block,
            ListKind::Ban => &self.ban,
        }
    }

    /// The live entries of a list that cover a prefix, as [`List::covering`].
    pub fn covering(&self, kind: ListKind, prefix: IpNet, now: Timestamp) -> Vec<Entry> {
        self.list(kind).covering(kind, prefix, now)
    }

    /// Gives block lists that have no number one that is free: those that an earlier version kept.
    pub fn number_lists(&mut self) {
        let imports = &mut self.block.imports;
        let taken: Vec<u8> = imports.values().filter_map(|list| list.number).collect();
        let free = (0..set4::LISTS as u8).filter(|number| !taken.contains(number));
        let without = imports.values_mut().filter(|list| list.number.is_none());
        for (list, number) in without.zip(free) {
            list.number = Some(number);
        }
    }

    /// The overrides alone, without lists and rules, which may be many.
    pub fn overrides(&self) -> Self {
        Self {
            mode: self.mode.clone(),
            limits: self.limits.clone(),
            defences: self.defences.clone(),
            cookie_ports: self.cookie_ports.clone(),
            ..Self::default()
        }
    }

    fn list_mut(&mut self, kind: ListKind) -> &mut List {
        match kind {
            ListKind::Allow => &mut self.allow,
            ListKind::Block => &mut self.block,
            ListKind::Ban => &mut self.ban,
        }
    }

    /// Applies a change and gives its inverse.
    pub fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Manual(kind, prefix, note) => {
                let manual = &mut self.list_mut(kind).manual;
                let before = match note {
                    Some(note) => manual.insert(prefix, note),
                    None => manual.remove(&prefix),
                };
                Change::Manual(kind, prefix, before)
            }
            Change::Import(kind, name, list) => {
                let imports = &mut self.list_mut(kind).imports;
                let before = match list {
                    Some(list) => imports.insert(name.clone(), list),
                    None => imports.remove(&name),
                };
                Change::Import(kind, name, before)
            }
            Change::Mode(mode) => Change::Mode(std::mem::replace(&mut self.mode, mode)),
            Change::Limit(name, limit) => {
                let before = match limit {
                    Some(limit) => self.limits.insert(name.clone(), limit),
                    None => self.limits.remove(&name),
                };
                Change::Limit(name, before)
            }
            Change::Defence(defence, set) => {
                let before = match set {
                    Some(set) => self.defences.insert(defence, set),
                    None => self.defences.remove(&defence),
                };
                Change::Defence(defence, before)
            }
            Change::CookiePort(port, set) => {
                let before = match set {
                    Some(set) => self.cookie_ports.insert(port, set),
                    None => self.cookie_ports.remove(&port),
                };
                Change::CookiePort(port, before)
            }
            Change::Detached(name, set) => {
                let before = match set {
                    Some(set) => self.detached.insert(name.clone(), set),
                    None => self.detached.remove(&name),
                };
                Change::Detached(name, before)
            }
            Change::Rule(number, rule) => {
                let before = match rule {
                    Some(rule) => self.rules.insert(number, rule),
                    None => self.rules.remove(&number),
                };
                Change::Rule(number, before)
            }
            Change::NextRule(number) => {
                Change::NextRule(std::mem::replace(&mut self.next_rule, number))
            }
            Change::HeldDefence(defence, held) => {
                let before = match held {
                    Some(held) => self.held.defences.insert(defence, held),
                    None => self.held.defences.remove(&defence),
                };
                Change::HeldDefence(defence, before)
            }
            Change::HeldLimit(name, held) => {
                let before = match held {
                    Some(held) => self.held.limits.insert(name.clone(), held),
                    None => self.held.limits.remove(&name),
                };
                Change::HeldLimit(name, before)
            }
            Change::Veto(veto, until) => {
                let before = match until {
                    Some(until) => self.held.vetoes.insert(veto.clone(), until),
                    None => self.held.vetoes.remove(&veto),
                };
                Change::Veto(veto, before)
            }
            Change::Trial(trial) => Change::Trial(std::mem::replace(&mut self.trial, trial)),
            Change::Unconfirmed(texts) => {
                Change::Unconfirmed(std::mem::replace(&mut self.unconfirmed, texts))
            }
        }
    }

    /// The changes that forget what has ended.
    pub fn expired(&self, now: Timestamp) -> Vec<Change> {
        let over = |until: End| until.is_some_and(|until| until <= now);
        let mut changes = Vec::new();
        for kind in ListKind::ALL {
            let list = self.list(kind);
            let manual = list.manual.iter().filter(|(_, note)| over(note.until));
            changes.extend(manual.map(|(prefix, _)| Change::Manual(kind, *prefix, None)));
            let imports = list
                .imports
                .iter()
                .filter(|(_, list)| over(list.note.until));
            changes.extend(imports.map(|(name, _)| Change::Import(kind, name.clone(), None)));
        }
        if self.mode.as_ref().is_some_and(|mode| over(mode.until)) {
            changes.push(Change::Mode(None));
        }
        let detached = self.detached.iter().filter(|(_, set)| over(set.until));
        changes.extend(detached.map(|(name, _)| Change::Detached(name.clone(), None)));
        let rules = self.rules.iter().filter(|(_, rule)| over(rule.note.until));
        changes.extend(rules.map(|(number, _)| Change::Rule(*number, None)));
        let limits = self.limits.iter().filter(|(_, set)| over(set.until));
        changes.extend(limits.map(|(name, _)| Change::Limit(name.clone(), None)));
        let defences = self.defences.iter().filter(|(_, set)| over(set.until));
        changes.extend(defences.map(|(defence, _)| Change::Defence(*defence, None)));
        let ports = self.cookie_ports.iter().filter(|(_, set)| over(set.until));
        changes.extend(ports.map(|(port, _)| Change::CookiePort(*port, None)));
        let held = &self.held;
        let defences = held.defences.iter().filter(|(_, it)| over(Some(it.until)));
        changes.extend(defences.map(|(defence, _)| Change::HeldDefence(*defence, None)));
        let limits = held.limits.iter().filter(|(_, it)| over(Some(it.until)));
        changes.extend(limits.map(|(name, _)| Change::HeldLimit(name.clone(), None)));
        let vetoes = held.vetoes.iter().filter(|(_, until)| over(Some(**until)));
        changes.extend(vetoes.map(|(veto, _)| Change::Veto(veto.clone(), None)));
        changes
    }
}

impl State {
    /// Moves what the daemon holds by itself along with a calendar that was set: it was to last for a
    /// time.
    pub fn postpone_held(&mut self, by: SignedDuration) {
        let latest = |_| {
            if by.is_negative() {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            }
        };
        let moved = |moment: Timestamp| moment.checked_add(by).unwrap_or_else(latest);
        let held = &mut self.held;
        for (since, until) in held
            .defences
            .values_mut()
            .map(|held| (&mut held.since, &mut held.until))
            .chain(
                held.limits
                    .values_mut()
                    .map(|held| (&mut held.since, &mut held.until)),
            )
        {
            (*since, *until) = (moved(*since), moved(*until));
        }
        for until in held.vetoes.values_mut() {
            *until = moved(*until);
        }
        for set in self.cookie_ports.values_mut().filter(|set| set.by == WATCH) {
            set.since = moved(set.since);
            set.until = set.until.map(moved);
        }
        let move_note = |note: &Note| {
            (note.by == CONTROLLER).then(|| Note {
                since: moved(note.since),
                until: note.until.map(moved),
                ..note.clone()
            })
        };
        let bans = self.ban.manual.iter().filter_map(|(prefix, note)| {
            Some(Change::Manual(
                ListKind::Ban,
                *prefix,
                Some(move_note(note)?),
            ))
        });
        let rules = self.rules.iter().filter_map(|(number, added)| {
            let note = move_note(&added.note)?;
            let added = AddedRule {
                note,
                ..added.clone()
            };
            Some(Change::Rule(*number, Some(added)))
        });
        let changes: Vec<Change> = bans.chain(rules).collect();
        for change in changes {
            let _ = self.apply(change);
        }
    }
}

impl State {
    /// Lets no pause of cookies last longer than the longest does: the calendar may have been set back
    /// while no daemon ran.
    pub fn bound_pauses(&mut self, now: Timestamp) {
        let longest = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        for set in self.cookie_ports.values_mut().filter(|set| set.by == WATCH) {
            set.until = set.until.map(|until| until.min(longest));
        }
    }
}
