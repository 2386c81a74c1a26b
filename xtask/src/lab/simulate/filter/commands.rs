//! How the controller's commands change the filter.

use std::{collections::BTreeMap, time::Duration};

use filter_common::abi::defence::Defence;
use filter_user::{
    api::types::ListKind,
    config::limit::LimitRate,
    core::command::Command,
    detect::{Fate, fingerprint::fits},
    rules::Rule,
};

use super::{super::flow::Flow, Added, Filter, TRIED};

impl Filter {
    /// Carries out a command of the controller. Says whether it brings anything new.
    pub fn obey(&mut self, command: &Command, flows: &[Flow], now: Duration) -> bool {
        let is_new = self.is_new(command);
        match command {
            Command::Hold {
                defence,
                ports,
                duration,
                ..
            } => {
                self.held.insert(*defence, now + *duration);
                if *defence == Defence::Cookies {
                    self.cookies = (ports.is_empty(), ports.iter().copied().collect());
                }
            }
            Command::Release { defence } => {
                self.held.remove(defence);
            }
            Command::Lower {
                name,
                rate: LimitRate::Packets(rate),
                duration,
                ..
            } => {
                self.lowered.insert(name.clone(), (*rate, now + *duration));
            }
            Command::Raise { name } => {
                self.lowered.remove(name);
            }
            Command::Add {
                list: ListKind::Ban,
                prefixes,
                duration: Some(duration),
                ..
            } => {
                for prefix in prefixes {
                    self.bans.insert(*prefix, now + *duration);
                }
            }
            Command::Remove {
                list: ListKind::Ban,
                prefixes,
            } => prefixes.iter().for_each(|prefix| {
                self.bans.remove(prefix);
            }),
            Command::AddRule {
                rule,
                duration: Some(duration),
                ..
            } => self.add_rule(rule, now + *duration, flows),
            // The controller asks for nothing else.
            Command::Add { .. }
            | Command::Remove { .. }
            | Command::Flush { .. }
            | Command::Import { .. }
            | Command::SetLimit { .. }
            | Command::AutoLimit { .. }
            | Command::SetDefence { .. }
            | Command::AutoDefence { .. }
            | Command::Lower { .. }
            | Command::AddRule { .. }
            | Command::RemoveRules { .. }
            | Command::SetMode { .. }
            | Command::Attach { .. }
            | Command::Detach { .. }
            | Command::Reload
            | Command::Try { .. }
            | Command::Confirm
            | Command::Undo => {}
        }
        is_new
    }

    /// Whether a command is more than the renewal, or the end, of what is in force.
    fn is_new(&self, command: &Command) -> bool {
        match command {
            Command::Hold { defence, ports, .. } => {
                let (all, known) = &self.cookies;
                let grows = if ports.is_empty() {
                    !all
                } else {
                    !all && !ports.iter().all(|port| known.contains(port))
                };
                !self.held.contains_key(defence) || *defence == Defence::Cookies && grows
            }
            Command::Lower {
                name,
                rate: LimitRate::Packets(rate),
                ..
            } => self
                .lowered
                .get(name)
                .is_none_or(|(before, _)| rate.packets < before.packets),
            Command::AddRule { rule, .. } => !self.rules.iter().any(|added| added.rule == **rule),
            Command::Release { .. }
            | Command::Raise { .. }
            | Command::Remove { .. }
            | Command::RemoveRules { .. } => false,
            Command::Add { .. }
            | Command::Lower { .. }
            | Command::Flush { .. }
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
            | Command::Undo => true,
        }
    }

    fn add_rule(&mut self, rule: &Rule, until: Duration, flows: &[Flow]) {
        // The same again moves its end.
        if let Some(added) = self.rules.iter_mut().find(|added| added.rule == *rule) {
            added.until = until;
            return;
        }
        let mut shares = BTreeMap::new();
        for flow in flows {
            let hits = (0..TRIED)
                .filter(|_| fits(&rule.matches, &flow.packet(Fate::Passed, &mut self.random)))
                .count();
            shares.insert(flow.name, hits as f64 / f64::from(TRIED));
        }
        self.rules.push(Added {
            rule: rule.clone(),
            until,
            shares,
        });
    }
}
