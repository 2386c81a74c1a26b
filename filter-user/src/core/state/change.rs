//! Changes as data, each with an inverse.

use std::collections::BTreeSet;

use filter_common::abi::defence::Defence;
use ipnet::IpNet;
use jiff::Timestamp;

use super::{ModeChoice, Set, State};
use crate::{
    api::types::ListKind,
    config::{
        defence::DefenceMode,
        limit::{LimitName, LimitRate},
    },
    core::{
        actor::CONTROLLER,
        held::{Held, Veto},
        lists::{End, Imported, Note},
        rules::AddedRule,
        trial::{Texts, Trial},
    },
};

/// One change. Applying it gives its inverse.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A single entry; `None` removes it.
    Manual(ListKind, IpNet, Option<Note>),
    /// An imported list; `None` removes it.
    Import(ListKind, String, Option<Imported>),
    /// The mode; `None` is the file's.
    Mode(Option<Set<ModeChoice>>),
    /// A limit; `None` is the file's or the default.
    Limit(LimitName, Option<Set<Option<LimitRate>>>),
    /// When a defence holds; `None` is what the file says.
    Defence(Defence, Option<Set<DefenceMode>>),
    /// Whether a port has cookies; `None` is as the defence has it.
    CookiePort(u16, Option<Set<bool>>),
    /// Whether an interface is detached.
    Detached(String, Option<Set<()>>),
    /// A rule that was added; `None` removes it.
    Rule(u32, Option<AddedRule>),
    /// The number of the next rule.
    NextRule(u32),
    /// A defence that the controller holds; `None` lets go of it.
    HeldDefence(Defence, Option<Held<BTreeSet<u16>>>),
    /// A limit that the controller lowers; `None` gives it back.
    HeldLimit(LimitName, Option<Held<LimitRate>>),
    /// Until when the controller leaves something alone; `None` is no longer.
    Veto(Veto, Option<Timestamp>),
    /// What waits for confirmation.
    Trial(Option<Box<Trial>>),
    /// What is in force instead of the file as it was read last; `None` is the file.
    Unconfirmed(Option<Box<Texts>>),
}

impl Change {
    /// Whether the big sets differ before and after this change, which was not applied yet.
    pub fn moves_sets(&self, state: &State) -> bool {
        let Self::Import(kind, name, list) = self else {
            return false;
        };
        let before = state.list(*kind).imports.get(name);
        let members = |list: &Imported| list.number.map(|number| (number, list.prefixes.clone()));
        before.and_then(members) != list.as_ref().and_then(members)
    }

    /// The prefixes of single entries that this change may alter in the kernel, before and after
    /// it.
    pub fn prefixes(&self, state: &State) -> Vec<(ListKind, IpNet)> {
        match self {
            Self::Manual(kind, prefix, _) => vec![(*kind, *prefix)],
            Self::Import(kind, name, list) => {
                let before = state.list(*kind).imports.get(name);
                let mut all: Vec<IpNet> = before
                    .into_iter()
                    .chain(list)
                    .filter(|list| list.number.is_none())
                    .flat_map(|list| list.prefixes.iter().copied())
                    .collect();
                all.sort_unstable();
                all.dedup();
                all.into_iter().map(|prefix| (*kind, prefix)).collect()
            }
            Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::Rule(..)
            | Self::NextRule(_)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Veto(..)
            | Self::Unconfirmed(_) => Vec::new(),
            Self::Trial(trial) => {
                let both = state.trial.iter().chain(trial);
                both.flat_map(|trial| trial.inverse.entries.keys().copied())
                    .collect()
            }
        }
    }

    /// Whether what it leaves behind outlives a restart. What the controller does need not: it would
    /// do it again, and must be able to while the disk is full.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Manual(_, _, Some(note)) => note.by != CONTROLLER,
            Self::Rule(_, Some(added)) => added.note.by != CONTROLLER,
            Self::HeldDefence(..) | Self::HeldLimit(..) | Self::Veto(..) => false,
            Self::Manual(_, _, None)
            | Self::Rule(_, None)
            | Self::Import(..)
            | Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::NextRule(_)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => true,
        }
    }

    /// Whether neither what was nor what is to be outlives a restart, so that nothing need be written
    /// for this change, which was not applied yet.
    pub fn is_fleeting(&self, state: &State) -> bool {
        let by_controller = |note: Option<&Note>| note.is_some_and(|it| it.by == CONTROLLER);
        match self {
            Self::Manual(kind, prefix, None) => by_controller(state.list(*kind).manual.get(prefix)),
            Self::Rule(number, None) => {
                by_controller(state.rules.get(number).map(|added| &added.note))
            }
            Self::Manual(kind, prefix, Some(_)) => {
                let before = state.list(*kind).manual.get(prefix);
                !self.is_kept() && before.is_none_or(|note| note.by == CONTROLLER)
            }
            Self::Rule(..)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Veto(..)
            | Self::Import(..)
            | Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::NextRule(_)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => !self.is_kept(),
        }
    }

    /// Whether what the settings say may depend on it.
    pub const fn is_of_settings(&self) -> bool {
        match self {
            Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Rule(..)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => true,
            // Entries: an open gate for short prefixes of IPv6.
            Self::Manual(_, prefix, _) => matches!(prefix, IpNet::V6(_)),
            Self::Import(..) => true,
            Self::Detached(..) | Self::NextRule(_) | Self::Veto(..) => false,
        }
    }

    /// What takes it back, once it is applied to this state.
    pub fn undone(&self, state: &State) -> Self {
        let held = &state.held;
        match self {
            Self::Manual(kind, prefix, _) => {
                let before = state.list(*kind).manual.get(prefix);
                Self::Manual(*kind, *prefix, before.cloned())
            }
            Self::Import(kind, name, _) => {
                let before = state.list(*kind).imports.get(name);
                Self::Import(*kind, name.clone(), before.cloned())
            }
            Self::Mode(_) => Self::Mode(state.mode.clone()),
            Self::Limit(name, _) => Self::Limit(name.clone(), state.limits.get(name).cloned()),
            Self::Defence(defence, _) => {
                Self::Defence(*defence, state.defences.get(defence).cloned())
            }
            Self::CookiePort(port, _) => {
                Self::CookiePort(*port, state.cookie_ports.get(port).cloned())
            }
            Self::Detached(name, _) => {
                Self::Detached(name.clone(), state.detached.get(name).cloned())
            }
            Self::Rule(number, _) => Self::Rule(*number, state.rules.get(number).cloned()),
            Self::NextRule(_) => Self::NextRule(state.next_rule),
            Self::HeldDefence(defence, _) => {
                Self::HeldDefence(*defence, held.defences.get(defence).cloned())
            }
            Self::HeldLimit(name, _) => {
                Self::HeldLimit(name.clone(), held.limits.get(name).cloned())
            }
            Self::Veto(veto, _) => Self::Veto(veto.clone(), held.vetoes.get(veto).copied()),
            Self::Trial(_) => Self::Trial(state.trial.clone()),
            Self::Unconfirmed(_) => Self::Unconfirmed(state.unconfirmed.clone()),
        }
    }

    /// The same, unless what it brings has ended: then it takes that away.
    pub fn without_ended(self, now: Timestamp) -> Self {
        if self.end().is_none_or(|end| end > now) {
            return self;
        }
        match self {
            Self::Manual(kind, prefix, _) => Self::Manual(kind, prefix, None),
            Self::Import(kind, name, _) => Self::Import(kind, name, None),
            Self::Mode(_) => Self::Mode(None),
            Self::Limit(name, _) => Self::Limit(name, None),
            Self::Defence(defence, _) => Self::Defence(defence, None),
            Self::CookiePort(port, _) => Self::CookiePort(port, None),
            Self::Detached(name, _) => Self::Detached(name, None),
            Self::Rule(number, _) => Self::Rule(number, None),
            Self::HeldDefence(defence, _) => Self::HeldDefence(defence, None),
            Self::HeldLimit(name, _) => Self::HeldLimit(name, None),
            Self::Veto(veto, _) => Self::Veto(veto, None),
            Self::NextRule(_) | Self::Trial(_) | Self::Unconfirmed(_) => self,
        }
    }

    /// When what it brings ends, if it brings something that does.
    pub fn end(&self) -> End {
        match self {
            Self::Manual(_, _, note) => note.as_ref()?.until,
            Self::Import(_, _, list) => list.as_ref()?.note.until,
            Self::Mode(set) => set.as_ref()?.until,
            Self::Limit(_, set) => set.as_ref()?.until,
            Self::Defence(_, set) => set.as_ref()?.until,
            Self::CookiePort(_, set) => set.as_ref()?.until,
            Self::Detached(_, set) => set.as_ref()?.until,
            Self::Rule(_, added) => added.as_ref()?.note.until,
            Self::HeldDefence(_, held) => Some(held.as_ref()?.until),
            Self::HeldLimit(_, held) => Some(held.as_ref()?.until),
            Self::Veto(_, until) => *until,
            Self::NextRule(_) | Self::Trial(_) | Self::Unconfirmed(_) => None,
        }
    }

    /// Whether it changes the rules.
    pub const fn is_of_rules(&self) -> bool {
        matches!(self, Self::Rule(..) | Self::Unconfirmed(_))
    }
}
