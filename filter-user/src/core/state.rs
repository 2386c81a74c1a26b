//! What operators changed, as a value; and changes to it, each with an inverse.

use std::collections::BTreeMap;

use filter_common::abi::{
    reason::Reason,
    settings::{CLASSES, Class},
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::lists::{End, Imported, List, Note};
use crate::{
    api::types::{ListKind, Mode},
    config::units::Rate,
};

/// Everything that is not in the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    allow: List,
    block: List,
    /// The mode, if an operator changed it.
    pub mode: Option<Set<ModeChoice>>,
    /// Limits that an operator set by hand, by class.
    pub limits: [Option<Set<Option<Rate>>>; CLASSES],
    /// Interfaces that an operator detached.
    pub detached: BTreeMap<String, Set<()>>,
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

/// One change. Applying it gives its inverse.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An entry by hand; `None` removes it.
    Manual(ListKind, IpNet, Option<Note>),
    /// An imported list; `None` removes it.
    Import(ListKind, String, Option<Imported>),
    /// The mode; `None` is the file's.
    Mode(Option<Set<ModeChoice>>),
    /// A limit; `None` is the file's or the default.
    Limit(Class, Option<Set<Option<Rate>>>),
    /// Whether an interface is detached.
    Detached(String, Option<Set<()>>),
}

impl State {
    /// One of the lists.
    pub fn list(&self, kind: ListKind) -> &List {
        match kind {
            ListKind::Allow => &self.allow,
            ListKind::Block => &self.block,
        }
    }

    fn list_mut(&mut self, kind: ListKind) -> &mut List {
        match kind {
            ListKind::Allow => &mut self.allow,
            ListKind::Block => &mut self.block,
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
            Change::Limit(class, limit) => match self.limits.get_mut(class as usize) {
                Some(slot) => Change::Limit(class, std::mem::replace(slot, limit)),
                None => Change::Limit(class, None),
            },
            Change::Detached(name, set) => {
                let before = match set {
                    Some(set) => self.detached.insert(name.clone(), set),
                    None => self.detached.remove(&name),
                };
                Change::Detached(name, before)
            }
        }
    }

    /// The limit that an operator set for a class.
    pub fn limit(&self, class: Class) -> Option<&Set<Option<Rate>>> {
        self.limits.get(class as usize)?.as_ref()
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
        for class in Class::ALL {
            if self.limit(class).is_some_and(|limit| over(limit.until)) {
                changes.push(Change::Limit(class, None));
            }
        }
        changes
    }
}

impl Change {
    /// The prefixes whose place in the kernel's lists this change may alter, before and after it.
    pub fn prefixes(&self, state: &State) -> Vec<(ListKind, IpNet)> {
        match self {
            Self::Manual(kind, prefix, _) => vec![(*kind, *prefix)],
            Self::Import(kind, name, list) => {
                let before = state.list(*kind).imports.get(name);
                let mut all: Vec<IpNet> = before
                    .into_iter()
                    .chain(list)
                    .flat_map(|list| list.prefixes.iter().copied())
                    .collect();
                all.sort_unstable();
                all.dedup();
                all.into_iter().map(|prefix| (*kind, prefix)).collect()
            }
            Self::Mode(_) | Self::Limit(..) | Self::Detached(..) => Vec::new(),
        }
    }
}
