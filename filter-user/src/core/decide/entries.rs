//! Commands on single entries: what is useful, what would do harm, and what there is room for.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Decision, Situation, ending, seconds};
use crate::{
    api::types::{ListKind, Outcome, SCHEMA},
    core::{
        actor::{Actor, CONTROLLER},
        guard::{self, Before},
        held::Veto,
        lists::{self, End, Note, later},
        refusal::Refusal,
        shadow,
        state::Change,
    },
};

/// Most single entries that an outcome speaks of.
const NOTES: usize = 20;

impl Situation<'_> {
    pub(super) fn add(
        &self,
        kind: ListKind,
        prefixes: &[IpNet],
        note: &Note,
        force: bool,
    ) -> Result<Decision, Refusal> {
        let list = self.state.list(kind);
        let wanted: BTreeSet<IpNet> = prefixes.iter().copied().collect();
        let sorted: Vec<IpNet> = wanted.iter().copied().collect();
        self.check_harm(kind, &sorted, None, force)?;
        if note.by == CONTROLLER {
            self.check_controllers_bans(&wanted)?;
        }
        for prefix in &wanted {
            self.check_useful(kind, *prefix, note.until, &wanted)?;
        }
        let new = wanted
            .iter()
            .filter(|prefix| list.end(prefix).is_none())
            .count();
        self.check_room(kind, list.entries() + new)?;

        let updated = wanted
            .iter()
            .filter(|prefix| list.manual.contains_key(prefix))
            .count();
        let changes = wanted
            .iter()
            .map(|prefix| Change::Manual(kind, *prefix, Some(note.clone())))
            .collect();
        let said = wanted
            .iter()
            .take(NOTES)
            .map(|prefix| format!("{} {prefix}{}", kind.noun(), ending(note.until)));
        let outcome = Outcome {
            schema: SCHEMA,
            added: (wanted.len() - updated) as u64,
            updated: updated as u64,
            notes: said
                .chain(shadow::notes(kind, &sorted, self.state))
                .collect(),
            ..Outcome::default()
        };
        let text = format!("{} on the {kind}{}", some(&wanted), ending(note.until));
        Ok(Decision {
            changes,
            outcome,
            event: (format!("{}.add", kind.noun()), text),
        })
    }

    pub(super) fn check_harm(
        &self,
        kind: ListKind,
        prefixes: &[IpNet],
        without: Option<&str>,
        force: bool,
    ) -> Result<(), Refusal> {
        if force {
            return Ok(());
        }
        let before = Before {
            list: self.state.list(kind),
            without,
        };
        match guard::harm(kind, prefixes, before, self.config, self.facts) {
            Some(harm) => Err(Refusal::refused(format!(
                "{harm}. `--force` does it all the same"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses an entry that another makes useless, and names that.
    fn check_useful(
        &self,
        kind: ListKind,
        prefix: IpNet,
        until: End,
        together: &BTreeSet<IpNet>,
    ) -> Result<(), Refusal> {
        let outlives = |other: End| later(other, until) == other;
        if kind != ListKind::Allow
            && let Some(allow) = self
                .state
                .covering(ListKind::Allow, prefix, self.now)
                .into_iter()
                .find(|entry| outlives(entry.until))
        {
            return Err(Refusal::refused(format!(
                "{prefix} is covered by {} on the allowlist (list {}, by {}), which goes first: \
                 the entry would do nothing; `floodwall allow del {}` takes that away",
                allow.prefix, allow.list, allow.by, allow.prefix
            )));
        }
        let covering = |kind| self.state.covering(kind, prefix, self.now);
        let also = (kind == ListKind::Ban).then_some(ListKind::Block);
        let wider = covering(kind)
            .into_iter()
            .filter(|entry| entry.prefix != prefix)
            .chain(also.into_iter().flat_map(covering))
            .find(|entry| outlives(entry.until));
        if let Some(wider) = wider {
            return Err(Refusal::refused(format!(
                "{prefix} is covered by {} on the {} (list {}, by {}{}): the entry would do nothing",
                wider.prefix,
                wider.kind,
                wider.list,
                wider.by,
                ending(wider.until)
            )));
        }
        let beside = std::iter::successors(prefix.supernet(), IpNet::supernet)
            .find(|wider| together.contains(wider));
        match beside {
            Some(wider) => Err(Refusal::refused(format!(
                "{prefix} is covered by {wider} in the same command: leave one of them out"
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn check_room(&self, kind: ListKind, entries: usize) -> Result<(), Refusal> {
        let (room, key) = self.config.tables.room(kind);
        if entries > room as usize {
            return Err(Refusal::refused(format!(
                "the {kind} would hold {entries} entries and has room for {room}: remove some, \
                 or enlarge `{key}` under [tables] and restart"
            )));
        }
        Ok(())
    }

    pub(super) fn remove(
        &self,
        actor: &Actor,
        kind: ListKind,
        prefixes: &[IpNet],
    ) -> Result<Decision, Refusal> {
        let list = self.state.list(kind);
        let wanted: BTreeSet<IpNet> = prefixes.iter().copied().collect();
        for prefix in &wanted {
            let Some(note) = list.manual.get(prefix) else {
                return Err(self.not_there(kind, *prefix));
            };
            if *actor == Actor::Controller && note.by != CONTROLLER {
                return Err(Refusal::refused(format!(
                    "{prefix} is on the {kind} by {}, whose word counts",
                    note.by
                )));
            }
        }
        let mut changes: Vec<Change> = wanted
            .iter()
            .map(|prefix| Change::Manual(kind, *prefix, None))
            .collect();
        let mut notes = Vec::new();
        for prefix in wanted.iter().take(NOTES) {
            notes.push(format!("{prefix} is off the {kind}"));
            let still = list
                .covering(kind, *prefix, self.now)
                .into_iter()
                .find(|entry| entry.prefix != *prefix || entry.list != lists::MANUAL);
            if let Some(still) = still {
                notes.push(format!(
                    "it is still covered by {} (list {}, by {})",
                    still.prefix, still.list, still.by
                ));
            }
        }
        if kind == ListKind::Ban && *actor != Actor::Controller {
            changes.extend(self.veto_bans(wanted.iter().copied()));
            notes.push(format!(
                "the controller bans nothing of it again until {}",
                seconds(self.respect())
            ));
        }
        let outcome = Outcome {
            schema: SCHEMA,
            removed: wanted.len() as u64,
            notes,
            ..Outcome::default()
        };
        let text = format!("{} off the {kind}", some(&wanted));
        Ok(Decision {
            changes,
            outcome,
            event: (format!("{}.del", kind.noun()), text),
        })
    }

    /// What an operator lifted, the controller leaves alone.
    fn veto_bans(&self, prefixes: impl Iterator<Item = IpNet>) -> impl Iterator<Item = Change> {
        let until = self.respect();
        prefixes.map(move |prefix| Change::Veto(Veto::Ban(prefix), Some(until)))
    }

    fn not_there(&self, kind: ListKind, prefix: IpNet) -> Refusal {
        let covering = self.state.covering(kind, prefix, self.now);
        match covering.first() {
            Some(entry) if entry.prefix == prefix => Refusal::not_found(format!(
                "{prefix} is on the {kind} as a member of the imported list {}: import that list \
                 without it, or put it on the allowlist with `floodwall allow add {prefix}`",
                entry.list
            )),
            Some(entry) => Refusal::not_found(format!(
                "{prefix} itself is not on the {kind}; it is covered by {} (list {}, by {})",
                entry.prefix, entry.list, entry.by
            )),
            None => Refusal::not_found(format!("{prefix} is not on the {kind}")),
        }
    }

    pub(super) fn flush(&self, kind: ListKind) -> Decision {
        let list = self.state.list(kind);
        let removed = list.count(None) as u64;
        let manual = list
            .manual
            .keys()
            .map(|prefix| Change::Manual(kind, *prefix, None));
        let imports = list
            .imports
            .keys()
            .map(|name| Change::Import(kind, name.clone(), None));
        let lifted = list.manual.iter();
        let lifted = lifted.filter(|(_, note)| kind == ListKind::Ban && note.by == CONTROLLER);
        let vetoes = self.veto_bans(lifted.map(|(prefix, _)| *prefix));
        let text = format!("the {kind} was emptied of {removed} entries");
        Decision {
            changes: manual.chain(imports).chain(vetoes).collect(),
            outcome: Outcome {
                schema: SCHEMA,
                removed,
                notes: vec![text.clone()],
                ..Outcome::default()
            },
            event: (format!("{}.flush", kind.noun()), text),
        }
    }
}

fn some(prefixes: &BTreeSet<IpNet>) -> String {
    let shown: Vec<String> = prefixes.iter().take(3).map(ToString::to_string).collect();
    match prefixes.len() {
        count @ 4.. => format!("{} and {} more", shown.join(", "), count - shown.len()),
        _ => shown.join(", "),
    }
}
