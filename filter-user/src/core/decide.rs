//! From a command to changes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use filter_common::abi::{reason::Reason, settings::Class};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    actor::Actor,
    command::Command,
    facts::Facts,
    guard,
    lists::{End, Imported, List, Note, later},
    refusal::Refusal,
    settings, shadow,
    state::{Change, ModeChoice, Set, State},
};
use crate::{
    api::types::{ListKind, Mode, Outcome, SCHEMA},
    clock,
    config::{Config, units::Rate},
    stats::reasons,
};

/// What a command comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What the operator is told.
    pub outcome: Outcome,
    /// What the journal keeps: kind and sentence.
    pub event: (String, String),
}

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The moment.
    pub now: Timestamp,
    /// What operators changed so far.
    pub state: &'a State,
    /// The file.
    pub config: &'a Config,
    /// The host.
    pub facts: &'a Facts,
}

/// Decides. [`Command::Reload`] is no change of state and comes to nothing here.
pub fn decide(
    situation: Situation<'_>,
    actor: &Actor,
    command: &Command,
) -> Result<Decision, Refusal> {
    let by = actor.to_string();
    match command {
        Command::Add {
            list,
            prefixes,
            duration,
            reason,
            force,
        } => {
            let note = situation.note(by, reason, *duration)?;
            situation.add(*list, prefixes, &note, *force)
        }
        Command::Remove { list, prefixes } => situation.remove(*list, prefixes),
        Command::Flush => Ok(situation.flush()),
        Command::Import {
            list,
            name,
            prefixes,
            duration,
            reason,
            force,
        } => {
            let note = situation.note(by, reason, *duration)?;
            situation.import(*list, name, prefixes, note, *force)
        }
        Command::SetLimit {
            class,
            rate,
            duration,
        } => situation.set_limit(by, *class, *rate, *duration),
        Command::AutoLimit { class } => Ok(situation.auto_limit(*class)),
        Command::SetMode {
            mode,
            reasons,
            duration,
        } => situation.set_mode(by, *mode, reasons, *duration),
        Command::Attach { interface } => situation.attach(interface),
        Command::Detach {
            interface,
            duration,
        } => situation.detach(by, interface.as_deref(), *duration),
        Command::Reload => Ok(Decision::default()),
    }
}

impl Situation<'_> {
    fn until(&self, duration: Option<Duration>) -> Result<End, Refusal> {
        let Some(duration) = duration else {
            return Ok(None);
        };
        match clock::end(self.now, duration) {
            Some(end) => Ok(Some(end)),
            None => Err(Refusal::invalid(
                "--for reaches beyond the year 9999: leave it out",
            )),
        }
    }

    fn note(&self, by: String, reason: &str, duration: Option<Duration>) -> Result<Note, Refusal> {
        let until = self.until(duration)?;
        Ok(Note {
            reason: reason.to_owned(),
            by,
            since: self.now,
            until,
        })
    }

    fn add(
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

    fn remove(&self, kind: ListKind, prefixes: &[IpNet]) -> Result<Decision, Refusal> {
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
                .find(|entry| entry.prefix != *prefix || entry.list != super::lists::MANUAL);
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

    fn flush(&self) -> Decision {
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

    fn import(
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

    fn set_limit(
        &self,
        by: String,
        class: Class,
        rate: Option<Rate>,
        duration: Option<Duration>,
    ) -> Result<Decision, Refusal> {
        let until = self.until(duration)?;
        let set = Set {
            value: rate,
            by,
            since: self.now,
            until,
        };
        let rate = rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        let text = format!("limit {} is {rate}{}", limit_name(class), ending(until));
        Ok(simple(
            "limit.set",
            text,
            vec![Change::Limit(class, Some(set))],
        ))
    }

    fn auto_limit(&self, class: Class) -> Decision {
        let default = settings::limit(self.config, &State::default(), class);
        let rate = default
            .rate
            .map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        let text = format!("limit {} is back to {rate}", limit_name(class));
        simple("limit.auto", text, vec![Change::Limit(class, None)])
    }

    fn set_mode(
        &self,
        by: String,
        mode: Mode,
        reasons: &[Reason],
        duration: Option<Duration>,
    ) -> Result<Decision, Refusal> {
        if mode == Mode::Monitor && !reasons.is_empty() {
            return Err(Refusal::invalid(
                "reasons go with `enforce`: `floodwall mode enforce REASON...` enforces these and \
                 watches all others",
            ));
        }
        let choice = ModeChoice {
            mode,
            reasons: reasons.to_vec(),
        };
        let until = self.until(duration)?;
        let text = format!("mode is {}{}", mode_text(&choice), ending(until));
        // What the file says anyway is no override.
        let is_file = choice == settings::mode(self.config, &State::default());
        let set = (!is_file || until.is_some()).then_some(Set {
            value: choice,
            by,
            since: self.now,
            until,
        });
        Ok(simple("mode.set", text, vec![Change::Mode(set)]))
    }

    fn attach(&self, interface: &str) -> Result<Decision, Refusal> {
        self.check_known(interface)?;
        let text = format!("{interface} is to be protected");
        let changes = vec![Change::Detached(interface.to_owned(), None)];
        Ok(simple("interface.attach", text, changes))
    }

    fn detach(
        &self,
        by: String,
        interface: Option<&str>,
        duration: Option<Duration>,
    ) -> Result<Decision, Refusal> {
        let until = self.until(duration)?;
        let names = match interface {
            Some(name) => {
                self.check_known(name)?;
                vec![name.to_owned()]
            }
            None => self.config.interfaces.clone(),
        };
        let end = match until {
            Some(until) => format!("{} or `floodwall attach`", seconds(until)),
            None => "`floodwall attach`".to_owned(),
        };
        let text = format!(
            "{} is detached and unprotected until {end}",
            names.join(", ")
        );
        let set = Set {
            value: (),
            by,
            since: self.now,
            until,
        };
        let changes = names
            .into_iter()
            .map(|name| Change::Detached(name, Some(set.clone())))
            .collect();
        Ok(simple("interface.detach", text, changes))
    }

    fn check_known(&self, interface: &str) -> Result<(), Refusal> {
        if self.config.interfaces.iter().any(|name| name == interface) {
            return Ok(());
        }
        Err(Refusal::not_found(format!(
            "{interface} is not among `interfaces` in the configuration ({}): add it there, then \
             `floodwall reload`",
            self.config.interfaces.join(", ")
        )))
    }
}

/// Most single entries that an outcome speaks of.
const NOTES: usize = 20;

fn simple(kind: &str, text: String, changes: Vec<Change>) -> Decision {
    let outcome = Outcome {
        schema: SCHEMA,
        notes: vec![text.clone()],
        ..Outcome::default()
    };
    Decision {
        changes,
        outcome,
        event: (kind.to_owned(), text),
    }
}

/// ` until …`, or nothing.
pub fn ending(until: End) -> String {
    until.map_or_else(String::new, |until| format!(" until {}", seconds(until)))
}

/// A time to the second, RFC 3339.
pub fn seconds(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

fn some(prefixes: &BTreeSet<IpNet>) -> String {
    let shown: Vec<String> = prefixes.iter().take(3).map(ToString::to_string).collect();
    match prefixes.len() {
        count @ 4.. => format!("{} and {} more", shown.join(", "), count - shown.len()),
        _ => shown.join(", "),
    }
}

/// A mode in words.
pub fn mode_text(choice: &ModeChoice) -> String {
    match choice.mode {
        Mode::Monitor => "monitor".to_owned(),
        Mode::Enforce if choice.reasons.is_empty() => "enforce".to_owned(),
        Mode::Enforce => {
            let names: Vec<&str> = choice
                .reasons
                .iter()
                .map(|reason| reasons::name(*reason))
                .collect();
            format!("enforce {}", names.join(" "))
        }
    }
}

/// The name of a limit in commands.
pub const fn limit_name(class: Class) -> &'static str {
    match class {
        Class::All => "source.packets",
        Class::Syn => "source.syn",
        Class::Udp => "source.udp",
        Class::Icmp => "source.icmp",
    }
}

#[cfg(test)]
mod tests;
