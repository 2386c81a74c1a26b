//! What is kept but has no room beside a changed configuration is set aside, loudly: the daemon
//! starts with the rest. It stays kept, so that a start with more room brings it back.

use ipnet::IpNet;

use super::state::Daemon;
use crate::{
    api::types::ListKind,
    core::{
        actor::Actor,
        refusal::Refusal,
        rules::{self, RuleId},
        state::Change,
    },
    dataplane::Dataplane,
    rules::compile::CompileError,
};

/// Names at most so many of those that are set aside.
const NAMED: usize = 20;

impl<D: Dataplane> Daemon<D> {
    /// Sets entries aside that their tables have no room for: imported lists before single entries,
    /// the oldest first.
    pub(super) fn fit_entries(&mut self) {
        for kind in ListKind::ALL {
            let (room, table) = self.config.tables.room(kind);
            let excess = self.excess(kind);
            if excess == 0 {
                continue;
            }
            let mut aside: Vec<String> = Vec::new();
            while let Some(name) = self.oldest_import(kind).filter(|_| self.excess(kind) > 0) {
                let _ = self.state.apply(Change::Import(kind, name.clone(), None));
                aside.push(format!("the imported list {name}"));
            }
            for prefix in self.oldest_entries(kind, self.excess(kind)) {
                let _ = self.state.apply(Change::Manual(kind, prefix, None));
                aside.push(prefix.to_string());
            }
            self.lose(&format!(
                "[tables] {table} = {room} has no room for {excess} of the entries that the \
                 {kind} has: set aside until the daemon starts with a larger one are {}",
                listed(&aside)
            ));
        }
    }

    /// How many entries are too many for their table.
    fn excess(&self, kind: ListKind) -> usize {
        let (room, _) = self.config.tables.room(kind);
        let entries = self.state.list(kind).prefixes().len();
        entries.saturating_sub(room as usize)
    }

    /// The list that was imported first among those that take room in a table.
    fn oldest_import(&self, kind: ListKind) -> Option<String> {
        // Those of the blocklist lie in the big sets.
        let imports = (kind != ListKind::Block).then(|| &self.state.list(kind).imports)?;
        let oldest = imports.iter().min_by_key(|(_, list)| list.note.since);
        oldest.map(|(name, _)| name.clone())
    }

    fn oldest_entries(&self, kind: ListKind, count: usize) -> Vec<IpNet> {
        let manual = self.state.list(kind).manual.iter();
        let mut all: Vec<_> = manual.map(|(prefix, note)| (note.since, *prefix)).collect();
        all.sort_unstable();
        all.into_iter()
            .take(count)
            .map(|(_, prefix)| prefix)
            .collect()
    }

    /// Sets rules that were added aside that the table does not hold beside those of the file: the
    /// last of those that are in each other's way first.
    pub(super) fn fit_rules(&mut self) -> Result<(), Refusal> {
        let services = rules::services(&self.config);
        let mut aside: Vec<String> = Vec::new();
        let mut why = None;
        loop {
            let all = rules::all(&self.config, &self.state);
            let Err(error) = rules::compiled(&all, &services) else {
                break;
            };
            let crowd = match &error {
                CompileError::Crowded { rules } => rules.clone(),
                CompileError::TooMany { .. }
                | CompileError::TooManyServices { .. }
                | CompileError::ServiceAddresses { .. }
                | CompileError::TooBig => (0..all.len()).collect(),
            };
            let added = crowd.into_iter().max().and_then(|last| {
                let listed = all.get(last)?;
                match listed.id {
                    RuleId::Added(number) => Some((number, format!("{number} ({})", listed.rule))),
                    RuleId::File(_) => None,
                }
            });
            let Some((number, text)) = added else {
                return Err(rules::explain(&error, &all));
            };
            why.get_or_insert_with(|| error.to_string());
            aside.push(text);
            let _ = self.state.apply(Change::Rule(number, None));
        }
        if let Some(why) = why {
            aside.reverse();
            self.lose(&format!(
                "rules that were added do not fit beside those of the file, and are set aside \
                 until the daemon starts with a file that leaves room: {}; {why}",
                listed(&aside)
            ));
        }
        Ok(())
    }

    fn lose(&mut self, text: &str) {
        tracing::error!("{text}");
        self.losses.push(text.to_owned());
        self.tell(&Actor::Daemon, "state.set_aside", text);
    }
}

fn listed(aside: &[String]) -> String {
    let named: Vec<&str> = aside.iter().take(NAMED).map(String::as_str).collect();
    let more = match aside.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}
