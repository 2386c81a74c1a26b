//! Changes that are taken back unless somebody confirms them, and what takes changes back.

use std::collections::BTreeMap;

use filter_common::abi::entry::EntryValue;
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    lists::{End, Note},
    state::{Change, State},
};
use crate::api::types::ListKind;

/// Sentences that a trial remembers of what was changed.
const TEXTS: usize = 20;

/// Changes that wait for confirmation. The kernel takes them back by itself at the end; then the
/// daemon, or the next one, takes them back everywhere else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// By whom, the last first.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// When they are taken back.
    pub until: Timestamp,
    /// What was changed, in the journal's words.
    pub texts: Vec<String>,
    /// What takes them back.
    pub inverse: Inverse,
    /// The texts of the configuration, if it was read again among the changes.
    pub config: Option<Texts>,
}

/// Two texts of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// What it said before it was read again: what is in force if nobody confirms.
    pub before: String,
    /// What it says since.
    pub after: String,
}

/// What takes changes back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inverse {
    /// Single entries as they were; `None` is "not there".
    pub entries: BTreeMap<(ListKind, IpNet), Option<Note>>,
    /// All else.
    pub others: Vec<Change>,
}

/// What an operator did last.
#[derive(Clone, Debug, PartialEq)]
pub struct Last {
    /// In the journal's words.
    pub text: String,
    /// What takes it back; or why nothing does, and what to do instead.
    pub inverse: Result<Inverse, String>,
}

/// An entry as the kernel is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it ends.
    pub end: End,
    /// As [`EntryValue::absent`].
    pub absent: u64,
}

impl Standing {
    /// An entry that no trial is about.
    pub const fn firm(end: End) -> Self {
        Self { end, absent: 0 }
    }
}

impl Trial {
    /// What this and an older trial are together: they end as one, when this one does, and what was
    /// before the older comes back.
    pub fn joined(self, older: &Self) -> Self {
        let mut inverse = self.inverse;
        inverse.entries.extend(
            older
                .inverse
                .entries
                .iter()
                .map(|(place, note)| (*place, note.clone())),
        );
        inverse.others.extend(older.inverse.others.iter().cloned());
        let texts = older.texts.iter().cloned().chain(self.texts);
        Self {
            since: older.since,
            texts: texts.take(TEXTS).collect(),
            inverse,
            config: match (&older.config, self.config) {
                (Some(older), Some(texts)) => Some(Texts {
                    before: older.before.clone(),
                    ..texts
                }),
                (older, texts) => texts.or_else(|| older.clone()),
            },
            ..self
        }
    }

    /// Notes what the configuration says before and after it was read again; before an older reload
    /// of the same trial, if there is one.
    pub fn note_texts(&mut self, before: &str, after: &str) {
        let before = match self.config.take() {
            Some(older) => older.before,
            None => before.to_owned(),
        };
        self.config = Some(Texts {
            before,
            after: after.to_owned(),
        });
    }

    /// Leaves the mode alone when all else is taken back.
    pub fn keep_mode(&mut self) {
        let others = &mut self.inverse.others;
        others.retain(|change| !matches!(change, Change::Mode(_)));
    }

    /// What was changed, in a sentence.
    pub fn text(&self) -> String {
        self.texts.join("; ")
    }
}

impl Inverse {
    /// What takes changes back that were not applied yet. The numbers of rules are never given anew.
    pub fn of(changes: &[Change], state: &State) -> Self {
        let mut inverse = Self::default();
        for change in changes {
            match change {
                Change::Manual(kind, prefix, _) => {
                    let before = state.list(*kind).manual.get(prefix).cloned();
                    inverse.entries.entry((*kind, *prefix)).or_insert(before);
                }
                Change::NextRule(_) | Change::Trial(_) | Change::Unconfirmed(_) => {}
                Change::Import(..)
                | Change::Mode(_)
                | Change::Limit(..)
                | Change::Defence(..)
                | Change::CookiePort(..)
                | Change::Detached(..)
                | Change::Rule(..)
                | Change::HeldDefence(..)
                | Change::HeldLimit(..)
                | Change::Veto(..) => inverse.others.push(change.undone(state)),
            }
        }
        // What was changed first is taken back last.
        inverse.others.reverse();
        inverse
    }

    /// As changes, without what ended meanwhile.
    pub fn changes(&self, now: Timestamp) -> Vec<Change> {
        let entries = self.entries.iter().map(|((kind, prefix), note)| {
            let live = note
                .clone()
                .filter(|note| note.until.is_none_or(|until| until > now));
            Change::Manual(*kind, *prefix, live)
        });
        let others = self.others.iter().cloned();
        entries
            .chain(others.map(|change| change.without_ended(now)))
            .collect()
    }
}

impl State {
    /// How the kernel is to have the entry of a prefix; `None` if not at all.
    ///
    /// While a trial goes on, an entry that it added is not there in the policy before, and one that
    /// it removed is there in no other. One that it gave an earlier end keeps the later until then,
    /// for an entry has one end only.
    pub fn standing(&self, kind: ListKind, prefix: &IpNet) -> Option<Standing> {
        let list = self.list(kind);
        let end = list.end(prefix);
        let firm = end.map(Standing::firm);
        let Some(trial) = &self.trial else {
            return firm;
        };
        let Some(note) = trial.inverse.entries.get(&(kind, *prefix)) else {
            return firm;
        };
        let before = list.end_with(note.as_ref(), prefix);
        let before = before.filter(|end| end.is_none_or(|end| end > trial.until));
        match (end, before) {
            (None, None) => None,
            (Some(end), None) => Some(Standing {
                end,
                absent: EntryValue::ADDED,
            }),
            (None, Some(before)) => Some(Standing {
                end: before,
                absent: EntryValue::REMOVED,
            }),
            (Some(_), Some(before)) => Some(Standing::firm(before)),
        }
    }

    /// Overrides, rules and what is held, as they are once the trial is taken back at its end; `None`
    /// without one.
    pub fn before_trial(&self) -> Option<Self> {
        let trial = self.trial.as_ref()?;
        let mut before = self.overrides();
        before.rules.clone_from(&self.rules);
        before.held.clone_from(&self.held);
        for change in &trial.inverse.others {
            let _ = before.apply(change.clone());
        }
        for change in before.expired(trial.until) {
            let _ = before.apply(change);
        }
        Some(before)
    }
}
