//! The operator's rules on their way to the kernel, and what they met there.

use std::collections::{BTreeMap, BTreeSet};

use filter_common::{
    abi::{
        entry::EntryValue,
        reason,
        rules::{BANKS, RuleAction, RuleEntry, SLOTS},
        settings::{NO_RULES, Settings},
    },
    logic::bucket::Limit,
};

use super::{
    state::{Daemon, failed},
    tables::Moment,
};
use crate::{
    api::types::{RuleState, RuleStatus, Rules, SCHEMA},
    config::{Config, limit::LimitRate},
    core::{
        refusal::Refusal,
        rules::{self, Listed, RuleId},
        settings,
        state::{Change, State},
    },
    dataplane::{CompiledRules, Dataplane},
    rules::{
        Rule,
        rule::{Action, Scope},
    },
    stats::reasons,
};

/// Which half of the kernel's rules is in force, and which counter each rule has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// The bank in force.
    pub bank: u32,
    /// Whether neither a rule nor a service is in it.
    pub is_empty: bool,
    /// Slots by [`owner`].
    pub slots: BTreeMap<String, u32>,
    /// The bank of the policy before, if rules wait for confirmation.
    pub before: Option<Shelved>,
}

/// A bank that packets do not meet, unless a change is not confirmed in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelved {
    /// The bank.
    pub bank: u32,
    /// Whether neither a rule nor a service is in it.
    pub is_empty: bool,
    /// Slots of its rules.
    pub slots: BTreeMap<String, u32>,
}

/// Whom a slot belongs to: an added rule by its number, one of the file by what it says, so that it
/// keeps its count wherever it stands.
fn owner(listed: &Listed<'_>) -> String {
    match listed.id {
        RuleId::Added(number) => number.to_string(),
        RuleId::File(_) => format!("file {}", listed.rule),
    }
}

fn named(bank: u32, is_empty: bool) -> u32 {
    bank | if is_empty { NO_RULES } else { 0 }
}

/// Whether rules are among what waits for confirmation.
fn is_about_rules(state: &State) -> bool {
    let trial = state.trial.as_ref();
    trial.is_some_and(|trial| {
        trial.config.is_some() || trial.inverse.others.iter().any(Change::is_of_rules)
    })
}

impl<D: Dataplane> Daemon<D> {
    /// Writes the rules into the bank that is not in force, and notes it as the one that is to be.
    /// The settings put it in force.
    pub(super) fn put_rules(&mut self, moment: Moment) -> Result<(), Refusal> {
        self.shelve_rules();
        let written = self.write_bank(&self.config.clone(), &self.state.clone(), moment)?;
        self.rulebook = Rulebook {
            bank: written.bank,
            is_empty: written.is_empty,
            slots: written.slots,
            before: self.rulebook.before.take(),
        };
        Ok(())
    }

    /// Keeps the bank in force for the policy before, if rules are among what waits for confirmation.
    fn shelve_rules(&mut self) {
        let book = &mut self.rulebook;
        if is_about_rules(&self.state) && book.before.is_none() {
            book.before = Some(Shelved {
                bank: book.bank,
                is_empty: book.is_empty,
                slots: book.slots.clone(),
            });
        }
    }

    /// Writes the rules of the policy before into another bank, if they have one of their own that packets do
    /// not meet yet: the end of a trial writes them in any case.
    pub(super) fn shelve_rules_anew(
        &mut self,
        before: &State,
        moment: Moment,
    ) -> Result<(), Refusal> {
        if self.rulebook.before.is_none() || moment.tick >= self.confirm_by {
            return Ok(());
        }
        let config = self.config_before.as_ref().unwrap_or(&self.config).clone();
        let shelved = self.write_bank(&config, before, moment)?;
        self.rulebook.before = Some(shelved);
        self.put_before()
    }

    /// Has the rules of the policy before in a bank of their own, after a start: the one that the
    /// kernel still has, or one that is written anew.
    pub(super) fn resume_rules(&mut self, found: &Settings, moment: Moment) -> Result<(), Refusal> {
        if found.is_on_trial() {
            // In force by now, perhaps, and until the settings are written in any case not to be
            // written over.
            let rows = self.plane.settings_before().map_err(failed)?;
            if rows.bank() != self.rulebook.bank {
                self.rulebook.before = Some(Shelved {
                    bank: rows.bank(),
                    is_empty: rows.has_no_rules(),
                    slots: self.rulebook.slots.clone(),
                });
            }
        } else if is_about_rules(&self.state)
            && let Some(before) = self.state.before_trial()
        {
            let config = self.config_before.as_ref().unwrap_or(&self.config).clone();
            let shelved = self.write_bank(&config, &before, moment)?;
            self.rulebook.before = Some(shelved);
        }
        Ok(())
    }

    /// Writes the rules that a configuration and a state ask for into a bank that no row names.
    fn write_bank(
        &mut self,
        config: &Config,
        state: &State,
        moment: Moment,
    ) -> Result<Shelved, Refusal> {
        let all = rules::all(config, state);
        let services = rules::services(config);
        let is_empty = all.is_empty() && services.is_empty();
        let table = rules::table(&all, &services)?;
        let (slots, new) = self.rulebook.assigned(all.iter().map(owner));
        let entries = all
            .iter()
            .map(|listed| {
                let slot = slots.get(&owner(listed)).copied().unwrap_or(0);
                entry(listed, slot, moment, self.fixed)
            })
            .collect::<Result<_, _>>()?;
        for slot in new {
            self.plane.clear_rule(slot).map_err(failed)?;
        }
        let bank = self.rulebook.free_bank();
        self.plane
            .set_rules(bank, &CompiledRules { table, entries })
            .map_err(failed)?;
        Ok(Shelved {
            bank,
            is_empty,
            slots,
        })
    }

    /// Notes which slots rules have, in a transaction of its own. Without that, only counts suffer.
    pub(super) fn keep_slots(&mut self) {
        let kept = self.store.begin().and_then(|()| {
            self.store.write_slots(&self.rulebook.slots)?;
            self.store.commit()
        });
        match kept {
            Ok(()) => {
                self.troubles.remove("slots");
            }
            Err(error) => {
                self.store.rollback();
                self.trouble("slots", error.to_string());
            }
        }
    }

    /// All rules, with what they met.
    pub(super) fn rule_list(&mut self) -> Result<Rules, Refusal> {
        let hits = self.plane.rule_hits().map_err(failed)?;
        let enforced = self.settings.enforced;
        let status = |listed: &Listed<'_>| {
            let slot = self.rulebook.slots.get(&owner(listed)).copied();
            let count = slot
                .and_then(|slot| hits.get(slot as usize))
                .copied()
                .unwrap_or_default();
            let note = listed.note;
            RuleStatus {
                id: listed.id.to_string(),
                expression: listed.rule.to_string(),
                state: state(listed.rule, enforced),
                packets: count.packets,
                bytes: count.bytes,
                by: note.map_or_else(|| "file".to_owned(), |note| note.by.clone()),
                reason: note.map_or_else(String::new, |note| note.reason.clone()),
                since: note.map(|note| note.since),
                until: note.and_then(|note| note.until),
            }
        };
        let all = rules::all(&self.config, &self.state);
        Ok(Rules {
            schema: SCHEMA,
            rules: all.iter().map(status).collect(),
        })
    }
}

impl Rulebook {
    /// The bank in force, as in [`Settings::rule_bank`].
    pub fn rule_bank(&self) -> u32 {
        named(self.bank, self.is_empty)
    }

    /// Likewise of the policy before: the same, unless rules wait for confirmation.
    pub fn rule_bank_before(&self) -> u32 {
        let before = self.before.as_ref();
        before.map_or_else(
            || self.rule_bank(),
            |before| named(before.bank, before.is_empty),
        )
    }

    /// A bank that no row names.
    fn free_bank(&self) -> u32 {
        let before = self.before.as_ref().map(|before| before.bank);
        let mut free = (0..BANKS).filter(|bank| *bank != self.bank && Some(*bank) != before);
        free.next().unwrap_or(0)
    }

    /// A slot for each owner: the one it had, or one that neither an old rule has nor another new
    /// one. And the slots that are given anew.
    fn assigned(&self, owners: impl Iterator<Item = String>) -> (BTreeMap<String, u32>, Vec<u32>) {
        let before = self.before.as_ref().map(|before| &before.slots);
        let slot_of = |owner: &String| {
            let before = before.and_then(|slots| slots.get(owner));
            self.slots.get(owner).or(before).copied()
        };
        let taken = self
            .slots
            .values()
            .chain(before.into_iter().flat_map(BTreeMap::values));
        let taken: BTreeSet<u32> = taken.copied().collect();
        let mut free = (0..SLOTS).filter(|slot| !taken.contains(slot));
        let mut slots = BTreeMap::new();
        let mut new = Vec::new();
        for owner in owners {
            let slot = slot_of(&owner).or_else(|| {
                let slot = free.next()?;
                new.push(slot);
                Some(slot)
            });
            // There are twice as many slots as rules, so that none is left without, unless more than
            // half of all were changed twice in one trial.
            slots.insert(owner, slot.unwrap_or(0));
        }
        (slots, new)
    }
}

/// What a rule does where these reasons are enforced. Those that pass are always.
fn state(rule: &Rule, enforced: u64) -> RuleState {
    let reason = reasons::of_action(rule.action);
    match reason.action() {
        _ if rule.shadow => RuleState::Shadow,
        reason::Action::Drop | reason::Action::Answer if enforced & reason.bit() == 0 => {
            RuleState::Watched
        }
        reason::Action::Drop | reason::Action::Answer | reason::Action::Pass => RuleState::Enforced,
    }
}

/// A rule as the kernel has it.
fn entry(
    listed: &Listed<'_>,
    slot: u32,
    moment: Moment,
    fixed: settings::Fixed,
) -> Result<RuleEntry, Refusal> {
    let rule = listed.rule;
    let (action, limit) = match rule.action {
        Action::Drop => (RuleAction::Drop, Limit::default()),
        Action::Pass => (RuleAction::Pass, Limit::default()),
        Action::Limit { rate, scope } => {
            let action = match scope {
                Scope::All => RuleAction::LimitAll,
                Scope::Source => RuleAction::LimitSource,
            };
            (
                action,
                settings::kernel_limit(LimitRate::Packets(rate), fixed.hz, fixed.cpus)?,
            )
        }
    };
    let mut entry = RuleEntry {
        limit,
        until: match listed.until() {
            Some(until) => moment.until(Some(until)),
            None => EntryValue::NEVER,
        },
        slot,
        action: action as u8,
        shadow: rule.shadow.into(),
        ..RuleEntry::default()
    };
    if let Some(payload) = &rule.matches.payload {
        entry.offset = payload.offset();
        let bytes = payload.bytes();
        let places = entry.pattern.iter_mut().zip(&mut entry.mask).zip(bytes);
        for ((pattern, mask), (value, looked_at)) in places {
            (*pattern, *mask) = (*value, *looked_at);
            entry.compared += 1;
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_keeps_its_slot_and_gets_none_that_another_had() {
        let owners = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let (slots, new) = Rulebook::default().assigned(owners(&["1", "2", "3"]).into_iter());
        assert_eq!(new, [0, 1, 2]);
        let book = Rulebook {
            slots,
            ..Rulebook::default()
        };
        let (slots, new) = book.assigned(owners(&["4", "3", "1"]).into_iter());
        assert_eq!((slots["3"], slots["1"]), (2, 0));
        // Rule 2 counts in slot 1 until the new rules are in force.
        assert_eq!((slots["4"], new), (3, vec![3]));
    }
}
