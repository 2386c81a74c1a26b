//! Replacing a named list as a whole.

use std::sync::Arc;

use filter_common::logic::set4::LISTS;
use ipnet::IpNet;

use super::{Decision, Situation, ending};
use crate::{
    api::types::{ListKind, Outcome, SCHEMA},
    core::{
        lists::{Imported, Note},
        refusal::Refusal,
        shadow,
        state::Change,
    },
};

impl Situation<'_> {
    /// Members of the allowlist become single entries, those of the blocklist make the big sets.
    pub(super) fn import(
        &self,
        kind: ListKind,
        name: &str,
        prefixes: &Arc<[IpNet]>,
        note: Note,
        force: bool,
    ) -> Result<Decision, Refusal> {
        let replaced = self.state.list(kind).imports.get(name);
        let old: &[IpNet] = replaced.map_or(&[], |list| &list.prefixes);
        self.check_harm(kind, prefixes, Some(name), force)?;
        let number = match kind {
            ListKind::Block => {
                self.check_room_in_sets(name, prefixes)?;
                Some(self.number(name)?)
            }
            ListKind::Allow | ListKind::Ban => {
                self.check_room_for(kind, name, prefixes)?;
                None
            }
        };

        let (count, kept) = (prefixes.len() as u64, common(old, prefixes));
        let said = format!(
            "list {name} on the {kind} holds {count} prefixes{}",
            ending(note.until)
        );
        let outcome = Outcome {
            schema: SCHEMA,
            added: count - kept,
            updated: kept,
            removed: old.len() as u64 - kept,
            notes: std::iter::once(said)
                .chain(shadow::notes_of_import(kind, prefixes, self.state))
                .collect(),
            ..Outcome::default()
        };
        let text = format!(
            "list {name} on the {kind}: {count} prefixes, {} of them new, {} gone{}",
            outcome.added,
            outcome.removed,
            ending(note.until)
        );
        // Importing nothing takes the list away.
        let imported = (count > 0).then(|| Imported {
            prefixes: Arc::clone(prefixes),
            note,
            number,
        });
        Ok(Decision {
            changes: vec![Change::Import(kind, name.to_owned(), imported)],
            outcome,
            event: (format!("{}.import", kind.noun()), text),
        })
    }

    /// Whether the kernel's single entries hold what the list would be.
    fn check_room_for(
        &self,
        kind: ListKind,
        name: &str,
        prefixes: &[IpNet],
    ) -> Result<(), Refusal> {
        let mut rest = self.state.list(kind).clone();
        rest.imports.remove(name);
        let new = prefixes.iter().filter(|prefix| rest.end(prefix).is_none());
        self.check_room(kind, rest.entries() + new.count())
    }

    fn check_room_in_sets(&self, name: &str, prefixes: &[IpNet]) -> Result<(), Refusal> {
        let tables = &self.config.tables;
        let all = self.state.list(ListKind::Block).sets();
        let others = all.filter(|(other, ..)| *other != name);
        let others: Vec<&[IpNet]> = others.map(|(_, _, list)| &*list.prefixes).collect();
        let sum = |of: fn(&IpNet) -> bool| -> usize {
            let members = others.iter().copied().chain([prefixes]);
            members
                .map(|list| list.iter().filter(|net| of(net)).count())
                .sum()
        };
        for (family, of, room, key) in [
            (
                "IPv4",
                is_v4 as fn(&IpNet) -> bool,
                tables.lists_v4,
                "lists_v4",
            ),
            (
                "IPv6",
                |net: &IpNet| !is_v4(net),
                tables.lists_v6,
                "lists_v6",
            ),
        ] {
            let sum = sum(of);
            if sum > room as usize {
                return Err(Refusal::refused(format!(
                    "the imported lists would hold {sum} {family} prefixes and have room for \
                     {room}: shorten them, or enlarge `{key}` under [tables] and restart"
                )));
            }
        }
        Ok(())
    }

    /// The number of a list: its own, if it is replaced, else the lowest that is free.
    fn number(&self, name: &str) -> Result<u8, Refusal> {
        let list = self.state.list(ListKind::Block);
        if let Some((_, number, _)) = list.sets().find(|(other, ..)| *other == name) {
            return Ok(number);
        }
        let free = |number: &u8| list.sets().all(|(_, taken, _)| taken != *number);
        (0..LISTS as u8).find(free).ok_or_else(|| {
            Refusal::refused(format!(
                "there are {LISTS} imported lists already, and no more can be told apart: merge \
                 some into one, or import an empty one over one that is no longer needed, with \
                 `--force`"
            ))
        })
    }
}

const fn is_v4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

/// How many members two sorted lists have in common.
fn common(one: &[IpNet], other: &[IpNet]) -> u64 {
    let mut count = 0;
    let mut rest = other.iter().peekable();
    for member in one {
        while rest.next_if(|next| *next < member).is_some() {}
        count += u64::from(rest.next_if_eq(&member).is_some());
    }
    count
}
