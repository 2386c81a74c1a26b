//! What the controller asks for, and what an operator's word does to what it holds.

use std::{collections::BTreeSet, time::Duration};

use filter_common::abi::defence::Defence;
use ipnet::IpNet;
use jiff::Timestamp;

use super::{Decision, Situation, seconds, simple};
use crate::{
    api::types::ListKind,
    clock,
    config::{
        defence::{DefenceMode, name},
        limit::{LimitName, LimitRate},
    },
    core::{
        actor::{Actor, CONTROLLER},
        command::Command,
        defences, features,
        held::{self, Held, RESPECT, Veto},
        refusal::Refusal,
        settings,
        state::Change,
    },
    rules::{Rule, rule::Action},
};

/// The widest prefixes that the controller bans.
const WIDEST_V4: u8 = 16;
const WIDEST_V6: u8 = 32;

impl Situation<'_> {
    /// Refuses what is not the actor's: some commands are the controller's alone, and most are not its.
    pub(super) fn check_actor(&self, actor: &Actor, command: &Command) -> Result<(), Refusal> {
        let is_controller = *actor == Actor::Controller;
        let is_for = match command {
            Command::Hold { .. }
            | Command::Release { .. }
            | Command::Lower { .. }
            | Command::Raise { .. } => is_controller,
            Command::Add { list, .. } | Command::Remove { list, .. } => {
                !is_controller || *list == ListKind::Ban
            }
            Command::AddRule { .. } | Command::RemoveRules { .. } => true,
            Command::Flush { .. }
            | Command::Import { .. }
            | Command::SetLimit { .. }
            | Command::AutoLimit { .. }
            | Command::SetDefence { .. }
            | Command::AutoDefence { .. }
            | Command::SetMode { .. }
            | Command::Attach { .. }
            | Command::Detach { .. }
            | Command::Reload
            | Command::Try { .. }
            | Command::Confirm
            | Command::Undo => !is_controller,
        };
        if is_for {
            return Ok(());
        }
        Err(Refusal::refused(if is_controller {
            "the controller has no say in this"
        } else {
            "this is the controller's alone"
        }))
    }

    pub(super) fn hold(
        &self,
        defence: Defence,
        ports: &[u16],
        duration: Duration,
        reason: &str,
    ) -> Result<Decision, Refusal> {
        let word = name(defence);
        let mode = defences::mode(self.config, self.state, defence);
        let by = match self.state.defences.get(&defence) {
            Some(set) => set.by.as_str(),
            None => "the file",
        };
        match mode {
            DefenceMode::Off => {
                return Err(Refusal::refused(format!("{word} is off, by {by}")));
            }
            DefenceMode::On => {
                return Err(Refusal::refused(format!("{word} holds always, by {by}")));
            }
            DefenceMode::Auto | DefenceMode::Pressure => {}
        }
        if let Some(why) = self.unable.get(&defence) {
            return Err(Refusal::refused(format!("{word} cannot hold here: {why}")));
        }
        if !defences::is_possible(self.config, self.state, defence) {
            return Err(Refusal::refused(format!(
                "{word} has nothing to do: its limits are off"
            )));
        }
        self.check_veto(&Veto::Defence(defence))?;
        let ports = self.held_ports(defence, ports)?;
        let before = self.state.held.defences.get(&defence);
        let what = match ports.len() {
            0 => String::new(),
            _ => {
                let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
                format!(" at TCP {}", list.join(", "))
            }
        };
        let is_new = before.is_none_or(|before| before.value != ports);
        let held = self.held(before, ports, duration, reason)?;
        let text = format!(
            "defence {word} is held{what} until {}: {reason}",
            seconds(held.until)
        );
        let changes = vec![Change::HeldDefence(defence, Some(held))];
        Ok(told_if(is_new, "defence.hold", text, changes))
    }

    /// The ports at which cookies may be held; none stands for all.
    fn held_ports(&self, defence: Defence, ports: &[u16]) -> Result<BTreeSet<u16>, Refusal> {
        if ports.is_empty() {
            return Ok(BTreeSet::new());
        }
        if defence != Defence::Cookies {
            return Err(Refusal::invalid(format!(
                "{} holds for the whole host",
                name(defence)
            )));
        }
        let is_free = |port: &u16| {
            self.config.defences.cookie_ports.contains(*port)
                && !self.state.cookie_ports.contains_key(port)
        };
        let free: BTreeSet<u16> = ports.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            return Err(Refusal::refused(
                "file and operators have their own word on cookies at all of these ports",
            ));
        }
        Ok(free)
    }

    pub(super) fn release(&self, defence: Defence) -> Decision {
        let is_held = self.state.held.defences.contains_key(&defence);
        let changes = is_held.then_some(Change::HeldDefence(defence, None));
        let text = format!("defence {} is not held any more", name(defence));
        told_if(
            is_held,
            "defence.release",
            text,
            changes.into_iter().collect(),
        )
    }

    pub(super) fn lower(
        &self,
        limit: &LimitName,
        rate: LimitRate,
        duration: Duration,
        reason: &str,
    ) -> Result<Decision, Refusal> {
        if let Some(set) = self.state.limits.get(limit) {
            return Err(Refusal::refused(format!(
                "the limit {limit} was set by {}",
                set.by
            )));
        }
        if settings::is_from_file(self.config, limit) {
            return Err(Refusal::refused(format!("the limit {limit} is the file's")));
        }
        let floor = held::floor(limit).filter(|_| self.has_program_for(limit));
        let Some(floor) = floor else {
            return Err(Refusal::refused(format!(
                "the program in force has no limit {limit}, and another would have to be verified \
                 first"
            )));
        };
        if limit.measure() != rate.measure() {
            return Err(Refusal::invalid(format!(
                "{limit} does not count in {rate}"
            )));
        }
        self.check_veto(&Veto::Limit(limit.clone()))?;
        let rate = if held::is_at_most(floor, rate) {
            rate
        } else {
            floor
        };
        let otherwise = settings::limit(self.config, self.state, limit).rate;
        if let Some(other) = otherwise.filter(|other| !held::is_at_most(rate, *other)) {
            return Err(Refusal::refused(format!(
                "the limit {limit} is {other}, which is not above {rate}"
            )));
        }
        let rate = otherwise.map_or(rate, |other| held::with_burst_of(rate, other));
        let before = self.state.held.limits.get(limit);
        let is_new = before.is_none_or(|before| before.value != rate);
        let held = self.held(before, rate, duration, reason)?;
        let text = format!(
            "limit {limit} is lowered to {rate} until {}: {reason}",
            seconds(held.until)
        );
        let changes = vec![Change::HeldLimit(limit.clone(), Some(held))];
        Ok(told_if(is_new, "limit.lower", text, changes))
    }

    /// Whether the program can do what a limit needs, whatever the controller holds.
    fn has_program_for(&self, limit: &LimitName) -> bool {
        let wanted = features::wanted(self.config, self.state, None, self.unable);
        features::of_limit(limit).is_some_and(|feature| wanted & feature.bit() != 0)
    }

    pub(super) fn raise(&self, limit: &LimitName) -> Decision {
        let is_held = self.state.held.limits.contains_key(limit);
        let changes = is_held.then(|| Change::HeldLimit(limit.clone(), None));
        let text = format!("limit {limit} is back to what it was");
        told_if(is_held, "limit.raise", text, changes.into_iter().collect())
    }

    /// What is held anew, or on.
    fn held<T>(
        &self,
        before: Option<&Held<T>>,
        value: T,
        duration: Duration,
        reason: &str,
    ) -> Result<Held<T>, Refusal> {
        let end = clock::end(self.now, duration).filter(|end| *end > self.now);
        let Some(until) = end else {
            return Err(Refusal::invalid(
                "what the controller holds has an end ahead",
            ));
        };
        Ok(Held {
            value,
            since: before.map_or(self.now, |before| before.since),
            until,
            reason: reason.to_owned(),
        })
    }

    /// What holds for entries of the controller beside what holds for all.
    pub(super) fn check_controllers_bans(&self, prefixes: &BTreeSet<IpNet>) -> Result<(), Refusal> {
        for prefix in prefixes {
            let widest = match prefix {
                IpNet::V4(_) => WIDEST_V4,
                IpNet::V6(_) => WIDEST_V6,
            };
            if prefix.prefix_len() < widest {
                return Err(Refusal::refused(format!(
                    "the controller bans nothing as wide as {prefix}"
                )));
            }
            let own = self.state.list(ListKind::Ban).manual.get(prefix);
            if let Some(note) = own.filter(|note| note.by != CONTROLLER) {
                return Err(Refusal::refused(format!(
                    "{prefix} was banned by {}, whose word counts",
                    note.by
                )));
            }
            self.check_veto(&Veto::Ban(*prefix))?;
        }
        Ok(())
    }

    /// What holds for rules of the controller beside what holds for all.
    pub(super) fn check_controllers_rule(&self, rule: &Rule) -> Result<(), Refusal> {
        if rule.action == Action::Pass {
            return Err(Refusal::refused("the controller lets nothing in"));
        }
        self.check_veto(&Veto::of_rule(rule))
    }

    fn check_veto(&self, veto: &Veto) -> Result<(), Refusal> {
        match self.state.held.vetoed(veto, self.now) {
            Some(until) => Err(Refusal::refused(format!(
                "an operator ended {veto}, which is respected until {}",
                seconds(until)
            ))),
            None => Ok(()),
        }
    }

    /// An operator speaks on a defence as a whole: what the controller holds of it ends, and is left
    /// alone for a time; or, if nothing is held, may be held again.
    pub(super) fn end_hold(&self, defence: Defence) -> (Vec<Change>, String) {
        let held = &self.state.held;
        let end = held.defences.contains_key(&defence);
        let end = end.then_some(Change::HeldDefence(defence, None));
        self.end(end, Veto::Defence(defence))
    }

    /// Likewise of a limit.
    pub(super) fn end_lowering(&self, limit: &LimitName) -> (Vec<Change>, String) {
        let end = self.state.held.limits.contains_key(limit);
        let end = end.then(|| Change::HeldLimit(limit.clone(), None));
        self.end(end, Veto::Limit(limit.clone()))
    }

    fn end(&self, end: Option<Change>, veto: Veto) -> (Vec<Change>, String) {
        match end {
            Some(end) => {
                let until = self.respect();
                let said = format!(
                    "; the controller held it, and leaves it alone until {}",
                    seconds(until)
                );
                (vec![end, Change::Veto(veto, Some(until))], said)
            }
            None if self.state.held.vetoes.contains_key(&veto) => (
                vec![Change::Veto(veto, None)],
                "; the controller may hold it again".to_owned(),
            ),
            None => (Vec::new(), String::new()),
        }
    }

    /// Until when an operator's word is respected that is given now.
    pub(super) fn respect(&self) -> Timestamp {
        clock::end(self.now, RESPECT).unwrap_or(Timestamp::MAX)
    }
}

/// A decision that the journal keeps if it says something new.
fn told_if(is_new: bool, kind: &str, text: String, changes: Vec<Change>) -> Decision {
    let mut decision = simple(kind, text, changes);
    if !is_new {
        decision.event.1.clear();
    }
    decision
}
