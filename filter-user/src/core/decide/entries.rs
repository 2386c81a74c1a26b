//! Commands on the lists: what is useful, what would do harm, and what there is room for.

use std::{collections::BTreeSet, sync::Arc};

use ipnet::IpNet;

use super::{Decision, Situation, ending};
use crate::{
    api::types::{ListKind, Outcome, SCHEMA},
    core::{
        guard,
        lists::{self, End, Imported, List, Note, later},
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
        self.check_harm(kind, prefixes, list, force)?;
        let wanted: BTreeSet<IpNet> = prefixes.iter().copied().collect();
        for prefix in &wanted {
            self.check_useful(kind, *prefix, note.until, &wanted)?;
        }
        let new = wanted
            .iter()
            .filter(|prefix| list.end(prefix).is_none())
            .count();
        self.check_room(kind, list.len() + new)?;

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
        let sorted: Vec<IpNet> = wanted.iter().copied().collect();
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

    fn check_harm(
        &self,
        kind: ListKind,
        prefixes: &[IpNet],
        list: &List,
        force: bool,
    ) -> Result<(), Refusal> {
        if force {
            return Ok(());
        }
        match guard::harm(kind, prefixes, list, self.config, self.facts) {
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
        if kind == ListKind::Block
            && let Some(allow) = self
                .state
                .list(ListKind::Allow)
                .covering(prefix, self.now)
                .into_iter()
                .find(|entry| outlives(entry.until))
        {
            return Err(Refusal::refused(format!(
                "{prefix} is covered by {} on the allowlist (list {}, by {}), which goes first: \
                 the entry would do nothing; `floodwall allow del {}` takes that away",
                allow.prefix, allow.list, allow.by, allow.prefix
            )));
        }
        let wider = self
            .state
            .list(kind)
            .covering(prefix, self.now)
            .into_iter()
            .find(|entry| entry.prefix != prefix && outlives(entry.until));
        if let Some(wider) = wider {
            return Err(Refusal::refused(format!(
                "{prefix} is covered by {} on the {kind} (list {}, by {}{}): the entry would do \
                 nothing",
                wider.prefix,
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

    fn check_room(&self, kind: ListKind, entries: usize) -> Result<(), Refusal> {
        let (room, key) = self.room(kind);
        if entries > room {
            return Err(Refusal::refused(format!(
                "the {kind} would hold {entries} entries and has room for {room}: remove some, \
                 or enlarge `{key}` under [tables] and restart"
            )));
        }
        Ok(())
    }

    fn room(&self, kind: ListKind) -> (usize, &'static str) {
        match kind {
            ListKind::Allow => (self.config.tables.allow as usize, "allow"),
            ListKind::Block => (self.config.tables.block as usize, "block"),
        }
    }

    pub(super) fn remove(&self, kind: ListKind, prefixes: &[IpNet]) -> Result<Decision, Refusal> {
        let list = self.state.list(kind);
        let wanted: BTreeSet<IpNet> = prefixes.iter().copied().collect();
        for prefix in &wanted {
            if !list.manual.contains_key(prefix) {
                return Err(self.not_there(kind, *prefix));
            }
        }
        let mut notes = Vec::new();
        for prefix in wanted.iter().take(NOTES) {
            notes.push(format!("{prefix} is off the {kind}"));
            let still = list
                .covering(*prefix, self.now)
                .into_iter()
                .find(|entry| entry.prefix != *prefix || entry.list != lists::MANUAL);
            if let Some(still) = still {
                notes.push(format!(
                    "it is still covered by {} (list {}, by {})",
                    still.prefix, still.list, still.by
                ));
            }
        }
        let changes = wanted
            .iter()
            .map(|prefix| Change::Manual(kind, *prefix, None))
            .collect();
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

    fn not_there(&self, kind: ListKind, prefix: IpNet) -> Refusal {
        let covering = self.state.list(kind).covering(prefix, self.now);
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

    pub(super) fn flush(&self) -> Decision {
        let list = self.state.list(ListKind::Block);
        let removed = list.len() as u64;
        let manual = list
            .manual
            .keys()
            .map(|prefix| Change::Manual(ListKind::Block, *prefix, None));
        let imports = list
            .imports
            .keys()
            .map(|name| Change::Import(ListKind::Block, name.clone(), None));
        let text = format!("the blocklist was emptied of {removed} entries");
        Decision {
            changes: manual.chain(imports).collect(),
            outcome: Outcome {
                schema: SCHEMA,
                removed,
                notes: vec![text.clone()],
                ..Outcome::default()
            },
            event: ("block.flush".to_owned(), text),
        }
    }

    pub(super) fn import(
        &self,
        kind: ListKind,
        name: &str,
        prefixes: &[IpNet],
        note: Note,
        force: bool,
    ) -> Result<Decision, Refusal> {
        let mut sorted = prefixes.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let list = self.state.list(kind);
        let old: &[IpNet] = list.imports.get(name).map_or(&[], |list| &list.prefixes);
        // The state without the list that is replaced; prefixes are shared, not copied.
        let mut without = self.state.clone();
        let _ = without.apply(Change::Import(kind, name.to_owned(), None));
        let rest = without.list(kind);
        self.check_harm(kind, &sorted, rest, force)?;
        let new = sorted
            .iter()
            .filter(|prefix| rest.end(prefix).is_none())
            .count();
        self.check_room(kind, rest.len() + new)?;

        let kept = sorted
            .iter()
            .filter(|prefix| old.binary_search(prefix).is_ok())
            .count();
        let outcome = Outcome {
            schema: SCHEMA,
            added: (sorted.len() - kept) as u64,
            updated: kept as u64,
            removed: (old.len() - kept) as u64,
            notes: std::iter::once(format!(
                "list {name} on the {kind} holds {} prefixes{}",
                sorted.len(),
                ending(note.until)
            ))
            .chain(shadow::notes(kind, &sorted, &without))
            .collect(),
            ..Outcome::default()
        };
        let text = format!(
            "list {name} on the {kind}: {} prefixes, {} of them new, {} gone{}",
            sorted.len(),
            outcome.added,
            outcome.removed,
            ending(note.until)
        );
        // Importing nothing takes the list away.
        let imported = (!sorted.is_empty()).then(|| Imported {
            prefixes: Arc::from(sorted),
            note,
        });
        Ok(Decision {
            changes: vec![Change::Import(kind, name.to_owned(), imported)],
            outcome,
            event: (format!("{}.import", kind.noun()), text),
        })
    }
}

fn some(prefixes: &BTreeSet<IpNet>) -> String {
    let shown: Vec<String> = prefixes.iter().take(3).map(ToString::to_string).collect();
    match prefixes.len() {
        count @ 4.. => format!("{} and {} more", shown.join(", "), count - shown.len()),
        _ => shown.join(", "),
    }
}
