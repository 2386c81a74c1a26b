//! From a command to changes: those on the lists in `entries` and `import`, those of rules in
//! `rules`, what waits for confirmation in `trial`, all others here.

mod defences;
mod entries;
mod held;
mod import;
mod rules;
pub mod trial;

use std::time::Duration;

use filter_common::abi::reason::Reason;
use jiff::Timestamp;

use super::{
    actor::Actor,
    command::Command,
    defences::Unable,
    facts::Facts,
    lists::{End, Note},
    refusal::Refusal,
    settings,
    state::{Change, ModeChoice, Set, State},
    trial::Last,
};
use crate::{
    api::types::{Mode, Outcome, SCHEMA},
    clock,
    config::{
        Config, Service,
        limit::{LimitName, LimitRate, format_limit},
        text::quote,
    },
    stats::reasons,
};

/// What a command comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What the operator is told.
    pub outcome: Outcome,
    /// What the journal keeps: kind and sentence; nothing if the sentence is empty.
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
    /// Defences that cannot work here.
    pub unable: &'a Unable,
    /// What an operator did last, if that is known.
    pub last: Option<&'a Last>,
}

/// Decides. [`Command::Reload`] is no change of state and comes to a sentence here.
pub fn decide(
    situation: Situation<'_>,
    actor: &Actor,
    command: &Command,
) -> Result<Decision, Refusal> {
    let by = actor.to_string();
    situation.check_actor(actor, command)?;
    situation.check_trial(actor, command)?;
    let is_controller = *actor == Actor::Controller;
    match command {
        Command::Add {
            list,
            prefixes,
            duration,
            reason,
            force,
        } => {
            let duration = duration.or_else(|| list.default_duration());
            let most = is_controller.then_some(situation.config.detection.ban_most);
            let duration = most.map_or(duration, |most| duration.map(|it| it.min(most)));
            let note = situation.note(by, reason, duration)?;
            situation.add(*list, prefixes, &note, *force && !is_controller)
        }
        Command::Remove { list, prefixes } => situation.remove(actor, *list, prefixes),
        Command::Flush { list } => Ok(situation.flush(*list)),
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
            name,
            rate,
            duration,
        } => situation.set_limit(by, name, *rate, *duration),
        Command::AutoLimit { name } => situation.auto_limit(name),
        Command::SetDefence {
            defence,
            mode,
            ports,
            services,
            duration,
            reason,
        } => {
            let wish = defences::Wish {
                defence: *defence,
                mode: *mode,
                ports,
                services,
                duration: *duration,
                reason,
            };
            situation.set_defence(by, &wish)
        }
        Command::AutoDefence { defence } => Ok(situation.auto_defence(*defence)),
        Command::Hold {
            defence,
            ports,
            duration,
            reason,
        } => situation.hold(*defence, ports, *duration, reason),
        Command::Release { defence } => Ok(situation.release(*defence)),
        Command::Lower {
            name,
            rate,
            duration,
            reason,
        } => situation.lower(name, *rate, *duration, reason),
        Command::Raise { name } => Ok(situation.raise(name)),
        Command::AddRule {
            rule,
            before,
            duration,
            reason,
            force,
        } => {
            let note = situation.note(by, reason, *duration)?;
            if is_controller {
                situation.check_controllers_rule(rule)?;
                if note.until.is_none() {
                    return Err(Refusal::invalid("what the controller adds has an end"));
                }
            }
            let before = before.filter(|_| !is_controller);
            situation.add_rule(rule, before, note, *force && !is_controller)
        }
        Command::RemoveRules { ids } => situation.remove_rules(actor, ids),
        Command::SetMode {
            mode,
            reasons,
            duration,
        } => {
            let decision = situation.set_mode(by, *mode, reasons, *duration)?;
            Ok(situation.despite_trial(decision, *mode))
        }
        Command::Attach { interface } => situation.attach(interface),
        Command::Detach {
            interface,
            duration,
        } => situation.detach(by, interface.as_deref(), *duration),
        Command::Reload => {
            let text = "the configuration was read again";
            Ok(simple("config.reload", text.to_owned(), Vec::new()))
        }
        Command::Try { command, within } => situation.try_out(actor, command, *within),
        Command::Confirm => situation.confirm(),
        Command::Undo => situation.undo(),
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

    fn set<T>(&self, value: T, by: String, until: End) -> Set<T> {
        Set {
            value,
            by,
            since: self.now,
            until,
        }
    }

    fn set_limit(
        &self,
        by: String,
        name: &LimitName,
        rate: Option<LimitRate>,
        duration: Option<Duration>,
    ) -> Result<Decision, Refusal> {
        self.check_service(name)?;
        let until = self.until(duration)?;
        let set = self.set(rate, by, until);
        let (mut changes, said) = self.end_lowering(name);
        let text = format!(
            "limit {name} is {}{}{said}",
            format_limit(rate),
            ending(until)
        );
        changes.push(Change::Limit(name.clone(), Some(set)));
        Ok(simple("limit.set", text, changes))
    }

    fn auto_limit(&self, name: &LimitName) -> Result<Decision, Refusal> {
        // What was set for a service that the file no longer has can still be given back.
        if !self.state.limits.contains_key(name) {
            self.check_service(name)?;
        }
        let default = settings::limit(self.config, &State::default(), name);
        let (mut changes, said) = self.end_lowering(name);
        let text = format!(
            "limit {name} is back to {}{said}",
            format_limit(default.rate)
        );
        // What nobody set need not be taken out of the store, which may be full.
        if self.state.limits.contains_key(name) {
            changes.push(Change::Limit(name.clone(), None));
        }
        Ok(simple("limit.auto", text, changes))
    }

    /// Refuses the limit of a service that there is not.
    fn check_service(&self, name: &LimitName) -> Result<(), Refusal> {
        match name {
            LimitName::Service(name, _) => self.service(name).map(drop),
            LimitName::Source(_)
            | LimitName::Prefix(_)
            | LimitName::Connections(_)
            | LimitName::Fragments
            | LimitName::IcmpErrors
            | LimitName::IcmpEcho
            | LimitName::Protocols => Ok(()),
        }
    }

    /// The service of this name.
    fn service(&self, name: &str) -> Result<&Service, Refusal> {
        let services = &self.config.services;
        if let Some(service) = services.iter().find(|service| service.name == name) {
            return Ok(service);
        }
        let known: Vec<&str> = services.iter().map(|it| it.name.as_str()).collect();
        let there_are = match known.as_slice() {
            [] => "there is none".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        Err(Refusal::not_found(format!(
            "{} is no service ({there_are}): add it as [[service]] in the configuration, then \
             `floodwall reload`",
            quote(name)
        )))
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

#[cfg(test)]
mod tests;
