//! Commands on trial, and what becomes of them.

use std::time::Duration;

use jiff::Timestamp;

use super::{Decision, Situation, decide, simple};
use crate::{
    api::types::Mode,
    clock,
    config::units::format_duration,
    core::{
        actor::Actor,
        command::Command,
        refusal::Refusal,
        state::Change,
        trial::{Inverse, Last, Trial},
    },
};

/// The shortest time that somebody can be given to confirm.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest.
pub const LONGEST: Duration = Duration::from_secs(3_600);

impl Situation<'_> {
    /// Refuses what would be lost among changes that wait for confirmation. What makes things safer at
    /// once is never refused, and nothing of floodwall's own.
    pub(super) fn check_trial(&self, actor: &Actor, command: &Command) -> Result<(), Refusal> {
        let is_operator = matches!(actor, Actor::Operator { .. });
        let Some(trial) = self.state.trial.as_deref() else {
            return Ok(());
        };
        match command {
            Command::Try { .. } | Command::Confirm | Command::Undo | Command::Detach { .. } => {
                Ok(())
            }
            Command::SetMode {
                mode: Mode::Monitor,
                ..
            } => Ok(()),
            // Read again because of a signal, too.
            Command::Reload => Err(waits(trial)),
            Command::Add { .. }
            | Command::Remove { .. }
            | Command::Flush { .. }
            | Command::Import { .. }
            | Command::SetLimit { .. }
            | Command::AutoLimit { .. }
            | Command::SetDefence { .. }
            | Command::AutoDefence { .. }
            | Command::Hold { .. }
            | Command::Release { .. }
            | Command::Lower { .. }
            | Command::Raise { .. }
            | Command::AddRule { .. }
            | Command::RemoveRules { .. }
            | Command::SetMode { .. }
            | Command::Attach { .. } => {
                if is_operator {
                    Err(waits(trial))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Monitor mode stays, whatever becomes of what waits for confirmation.
    pub(super) fn despite_trial(&self, mut decision: Decision, mode: Mode) -> Decision {
        if mode == Mode::Monitor
            && let Some(trial) = &self.state.trial
        {
            let mut trial = trial.clone();
            trial.keep_mode();
            decision.changes.push(Change::Trial(Some(trial)));
        }
        decision
    }

    pub(super) fn try_out(
        &self,
        actor: &Actor,
        command: &Command,
        within: Duration,
    ) -> Result<Decision, Refusal> {
        check_time(within)?;
        check_tryable(command)?;
        let until = clock::end(self.now, within)
            .ok_or_else(|| Refusal::invalid("--confirm reaches beyond the year 9999"))?;
        // What is on trial joins what is: nothing but the time stands against it.
        let mut free = self.state.clone();
        let older = free.trial.take();
        let situation = Situation {
            state: &free,
            ..*self
        };
        if matches!(command, Command::Undo) && older.is_some() {
            return Err(Refusal::refused(
                "changes wait for confirmation already: `floodwall undo` without --confirm takes \
                 them back",
            ));
        }
        let mut decision = decide(situation, actor, command)?;
        check_changes(&decision.changes, until, within)?;
        let (kind, text) = &mut decision.event;
        let inverse = Inverse::of(&decision.changes, self.state);
        let trial = Trial {
            by: actor.to_string(),
            since: self.now,
            until,
            texts: vec![text.clone()],
            inverse,
            config: None,
        };
        let trial = match &older {
            Some(older) => trial.joined(older),
            None => trial,
        };
        decision.outcome.notes.push(promise(&trial, self.now));
        *text = format!("{text}; to be confirmed until {}", clock_time(until));
        *kind = format!("{kind}.try");
        decision.changes.push(Change::Trial(Some(Box::new(trial))));
        Ok(decision)
    }

    pub(super) fn confirm(&self) -> Result<Decision, Refusal> {
        let Some(trial) = &self.state.trial else {
            return Err(Refusal::not_found(
                "nothing waits for confirmation: it was confirmed or taken back already; \
                 `floodwall events` tells which",
            ));
        };
        let text = format!("confirmed: {}", trial.text());
        Ok(simple("trial.confirm", text, vec![Change::Trial(None)]))
    }

    pub(super) fn undo(&self) -> Result<Decision, Refusal> {
        if let Some(trial) = &self.state.trial {
            let text = format!("taken back: {}", trial.text());
            return Ok(simple("trial.undo", text, taken_back(trial, self.now)));
        }
        match self.last {
            Some(Last {
                text,
                inverse: Ok(inverse),
            }) => {
                let text = format!("taken back: {text}");
                Ok(simple("undo", text, inverse.changes(self.now)))
            }
            Some(Last {
                text,
                inverse: Err(instead),
            }) => Err(Refusal::refused(format!(
                "the last change ({text}) is not taken back by `undo`: {instead}"
            ))),
            None => Err(Refusal::not_found(
                "no operator changed anything since the daemon started: there is nothing to take \
                 back",
            )),
        }
    }
}

/// The changes that take a trial back and end it.
pub fn taken_back(trial: &Trial, now: Timestamp) -> Vec<Change> {
    let mut changes = trial.inverse.changes(now);
    if let Some(texts) = &trial.config {
        changes.push(Change::Unconfirmed(Some(Box::new(texts.clone()))));
    }
    changes.push(Change::Trial(None));
    changes
}

/// What an operator is told who put something on trial.
pub fn promise(trial: &Trial, now: Timestamp) -> String {
    let left = trial.until.duration_since(now).as_secs().max(0);
    let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
    let all = if trial.texts.len() > 1 {
        "this and what waited for confirmation before it are"
    } else {
        "this is"
    };
    format!(
        "{all} taken back at {}, in {}, unless you say `floodwall confirm`",
        clock_time(trial.until),
        format_duration(left)
    )
}

/// Why something else has to wait.
fn waits(trial: &Trial) -> Refusal {
    Refusal::refused(format!(
        "a change waits for confirmation until {} (by {}: {}): `floodwall confirm` keeps it, \
         `floodwall undo` takes it back, and with --confirm this one joins it",
        clock_time(trial.until),
        trial.by,
        trial.text()
    ))
}

/// The time of the day, in UTC.
pub fn clock_time(time: Timestamp) -> String {
    time.strftime("%H:%M:%S UTC").to_string()
}

/// Refuses a time that nobody could confirm in, or that is no trial any more.
pub fn check_time(within: Duration) -> Result<(), Refusal> {
    if (SHORTEST..=LONGEST).contains(&within) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "--confirm takes {} to {}, like 120s",
        format_duration(SHORTEST),
        format_duration(LONGEST)
    )))
}

/// Refuses what the kernel could not take back by itself, and what needs no trial.
fn check_tryable(command: &Command) -> Result<(), Refusal> {
    let refused = |text: &str| Err(Refusal::refused(text.to_owned()));
    match command {
        Command::Import { .. } => refused(
            "an imported list is swapped as a whole, and the kernel keeps no second one to go back \
             to: leave --confirm out and give the list an end with `--for`, or look first with \
             `--dry-run`",
        ),
        Command::Attach { .. } => refused(
            "the kernel cannot take the filter off an interface by itself: attach in monitor mode, \
             then `floodwall mode enforce --confirm 120s`",
        ),
        Command::Detach { .. } => refused(
            "detaching cuts nobody off: leave --confirm out; `--for` attaches again by itself",
        ),
        Command::SetMode {
            mode: Mode::Monitor,
            ..
        } => {
            refused("monitor mode cuts nobody off: leave --confirm out; `--for` ends it by itself")
        }
        Command::Try { .. }
        | Command::Confirm
        | Command::Hold { .. }
        | Command::Release { .. }
        | Command::Lower { .. }
        | Command::Raise { .. } => Err(Refusal::invalid("this cannot be put on trial")),
        Command::Add { .. }
        | Command::Remove { .. }
        | Command::Flush { .. }
        | Command::SetLimit { .. }
        | Command::AutoLimit { .. }
        | Command::SetDefence { .. }
        | Command::AutoDefence { .. }
        | Command::AddRule { .. }
        | Command::RemoveRules { .. }
        | Command::SetMode { .. }
        | Command::Undo
        | Command::Reload => Ok(()),
    }
}

fn check_changes(changes: &[Change], until: Timestamp, within: Duration) -> Result<(), Refusal> {
    if changes.iter().any(|it| matches!(it, Change::Import(..))) {
        return Err(Refusal::refused(
            "imported lists are among this, and the kernel keeps no second copy of those to go \
             back to: leave --confirm out",
        ));
    }
    if changes.iter().any(|it| matches!(it, Change::Detached(..))) {
        return Err(Refusal::refused(
            "attaching and detaching are among this, which the kernel cannot take back by itself: \
             leave --confirm out",
        ));
    }
    let ends_before = |change: &Change| {
        !matches!(change, Change::Veto(..)) && change.end().is_some_and(|end| end <= until)
    };
    if changes.iter().any(ends_before) {
        return Err(Refusal::refused(format!(
            "it ends by itself before the {} are over in which it could be confirmed: leave \
             --confirm out, or give it longer with `--for`",
            format_duration(within)
        )));
    }
    Ok(())
}
