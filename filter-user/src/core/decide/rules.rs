//! Commands on rules: where they go, what would do harm, and what would do nothing.

use super::{Decision, Situation, ending, seconds};
use crate::{
    api::types::{Outcome, SCHEMA},
    core::{
        actor::{Actor, CONTROLLER},
        guard,
        held::Veto,
        lists::{Note, later},
        refusal::Refusal,
        rules::{self, AddedRule, Listed, RuleId},
        state::{Change, State},
    },
    rules::{Rule, rule::Action},
};

/// Between the places of neighbours, so that others fit in between.
const GAP: u64 = 1 << 32;

impl Situation<'_> {
    pub(super) fn add_rule(
        &self,
        rule: &Rule,
        before: Option<RuleId>,
        note: Note,
        force: bool,
    ) -> Result<Decision, Refusal> {
        if !force && let Some(harm) = guard::rule_harm(rule, self.config, self.facts) {
            return Err(Refusal::refused(format!(
                "{harm}. `--force` does it all the same"
            )));
        }
        if let Some(renewed) = self.renewed(rule, &note) {
            return Ok(renewed);
        }
        // Those of the controller stand behind all others anyway.
        let before = before.filter(|before| !self.is_controllers(*before));
        let number = self.state.next_rule.max(1);
        let Some(next) = number.checked_add(1) else {
            return Err(Refusal::refused("there are no numbers left for rules"));
        };
        let mut changes = self.make_room(before)?;
        let mut after = self.state.clone();
        for change in changes.iter().cloned() {
            let _ = after.apply(change);
        }
        let added = AddedRule {
            place: place(&after, before)?,
            rule: rule.clone(),
            note,
        };
        let until = added.note.until;
        let own = [Change::Rule(number, Some(added)), Change::NextRule(next)];
        for change in own.iter().cloned() {
            let _ = after.apply(change);
        }
        changes.extend(own);
        let all = rules::all(self.config, &after);
        check_useful(&all, number)?;
        rules::table(&all, &rules::services(self.config))?;
        let text = format!(
            "rule {number}{}: {rule}{}",
            before.map_or_else(String::new, |before| format!(" before {before}")),
            ending(until)
        );
        Ok(Decision {
            changes,
            outcome: Outcome {
                schema: SCHEMA,
                rules: vec![number.to_string()],
                notes: vec![text.clone()],
                ..Outcome::default()
            },
            event: ("rule.add".to_owned(), text),
        })
    }

    /// The controller asks again for a rule of its own: that lasts longer and keeps its number, which
    /// its counters go by. The journal keeps nothing of it.
    fn renewed(&self, rule: &Rule, note: &Note) -> Option<Decision> {
        let is_own = |added: &AddedRule| added.is_by_controller() && added.rule == *rule;
        let mut rules = self.state.rules.iter();
        let (number, before) = rules.find(|(_, added)| note.by == CONTROLLER && is_own(added))?;
        let until = later(before.note.until, note.until);
        let added = AddedRule {
            note: Note {
                since: before.note.since,
                until,
                ..note.clone()
            },
            ..before.clone()
        };
        Some(Decision {
            changes: vec![Change::Rule(*number, Some(added))],
            outcome: Outcome {
                schema: SCHEMA,
                rules: vec![number.to_string()],
                notes: vec![format!("rule {number} goes on{}", ending(until))],
                ..Outcome::default()
            },
            event: Default::default(),
        })
    }

    fn is_controllers(&self, id: RuleId) -> bool {
        match id {
            RuleId::Added(number) => {
                let added = self.state.rules.get(&number);
                added.is_some_and(AddedRule::is_by_controller)
            }
            RuleId::File(_) => false,
        }
    }

    /// Moves the rules apart if the one before which another is to stand has no room before it.
    fn make_room(&self, before: Option<RuleId>) -> Result<Vec<Change>, Refusal> {
        if place(self.state, before).is_ok_and(|place| place > 0) {
            return Ok(Vec::new());
        }
        if let Some(before) = before {
            self.check_added(before)?;
        }
        let apart = rules::in_order(self.state).into_iter().zip(1_u64..);
        let moved = apart.map(|((number, added), place)| {
            let added = AddedRule {
                place: place.saturating_mul(GAP),
                ..added.clone()
            };
            Change::Rule(number, Some(added))
        });
        Ok(moved.collect())
    }

    /// Whether a rule was added at run time, so that a command can move and remove it.
    fn check_added(&self, id: RuleId) -> Result<u32, Refusal> {
        match id {
            RuleId::Added(number) if self.state.rules.contains_key(&number) => Ok(number),
            RuleId::Added(number) => Err(Refusal::not_found(format!(
                "there is no rule {number}; `floodwall rule list` shows those there are"
            ))),
            RuleId::File(place) if (place as usize) <= self.config.rules.len() => {
                Err(Refusal::refused(format!(
                    "rule {id} stands in the configuration, whose rules come first: change `rules` \
                     there, then `floodwall reload`"
                )))
            }
            RuleId::File(_) => Err(Refusal::not_found(format!(
                "the configuration has {} rules, and no {id}",
                self.config.rules.len()
            ))),
        }
    }

    pub(super) fn remove_rules(&self, actor: &Actor, ids: &[RuleId]) -> Result<Decision, Refusal> {
        let is_controller = *actor == Actor::Controller;
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut changes = Vec::new();
        let mut notes = Vec::new();
        for id in wanted {
            let number = self.check_added(id)?;
            let Some(added) = self.state.rules.get(&number) else {
                continue;
            };
            let mut note = format!("rule {id} is gone: {}", added.rule);
            changes.push(Change::Rule(number, None));
            match (is_controller, added.is_by_controller()) {
                (true, false) => {
                    return Err(Refusal::refused(format!(
                        "rule {id} was added by {}, whose word counts",
                        added.note.by
                    )));
                }
                (false, true) => {
                    let until = self.respect();
                    note.push_str(&format!(
                        "; the controller adds it not again until {}",
                        seconds(until)
                    ));
                    changes.push(Change::Veto(Veto::of_rule(&added.rule), Some(until)));
                }
                (true, true) | (false, false) => {}
            }
            notes.push(note);
        }
        let text = notes.join("; ");
        Ok(Decision {
            outcome: Outcome {
                schema: SCHEMA,
                rules: changes.iter().filter_map(number).collect(),
                notes,
                ..Outcome::default()
            },
            changes,
            event: ("rule.del".to_owned(), text),
        })
    }
}

fn number(change: &Change) -> Option<String> {
    let Change::Rule(number, _) = change else {
        return None;
    };
    Some(number.to_string())
}

/// A place behind all others, or between a rule and the one before it; 0 if there is none left.
fn place(state: &State, before: Option<RuleId>) -> Result<u64, Refusal> {
    let order = rules::in_order(state);
    let places: Vec<u64> = order.iter().map(|(_, added)| added.place).collect();
    let Some(before) = before else {
        let last = places.iter().max().copied().unwrap_or(0);
        return Ok(last.checked_add(GAP).unwrap_or(0));
    };
    let index = order
        .iter()
        .position(|(number, _)| RuleId::Added(*number) == before)
        .ok_or_else(|| Refusal::not_found(format!("there is no rule {before}")))?;
    let upper = places.get(index).copied().unwrap_or(0);
    let lower = index
        .checked_sub(1)
        .and_then(|index| places.get(index))
        .copied()
        .unwrap_or(0);
    let middle = lower + (upper - lower) / 2;
    Ok(if middle > lower { middle } else { 0 })
}

/// Refuses a rule that no packet reaches, or that does what another does, and names that.
fn check_useful(all: &[Listed<'_>], number: u32) -> Result<(), Refusal> {
    let Some(own) = all.iter().find(|listed| listed.id == RuleId::Added(number)) else {
        return Ok(());
    };
    let outlives = |other: &Listed<'_>| later(other.until(), own.until()) == other.until();
    if let Some(same) = all
        .iter()
        .find(|listed| listed.id != own.id && listed.rule == own.rule && outlives(listed))
    {
        return Err(Refusal::refused(format!(
            "rule {} is the same{}",
            same.id,
            ending(same.until())
        )));
    }
    let decides = |listed: &&Listed<'_>| {
        let acts = match listed.rule.action {
            Action::Drop | Action::Pass => true,
            Action::Limit { .. } => false,
        };
        acts && !listed.rule.shadow && listed.rule.matches.covers(&own.rule.matches)
    };
    let hidden = all
        .iter()
        .take_while(|listed| listed.id != own.id)
        .find(|listed| decides(listed) && outlives(listed));
    match hidden {
        Some(first) => Err(Refusal::refused(format!(
            "rule {} ({}) comes first and decides every packet of it{}: the rule would do nothing{}",
            first.id,
            first.rule,
            ending(first.until()),
            match first.id {
                RuleId::Added(id) => format!("; `--before {id}` puts it first"),
                RuleId::File(_) => String::new(),
            }
        ))),
        None => Ok(()),
    }
}
