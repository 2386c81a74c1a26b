//! Changes that wait for confirmation: the kernel is told what was before, and by when to go back to
//! that by itself; what it did, the daemon does after it.

use filter_common::abi::settings::Settings;

use super::{
    state::{Daemon, Source, failed},
    tables::Moment,
    unwritten::EXPIRED,
};
use crate::{
    api::types::PendingStatus,
    clock,
    config::Config,
    core::{
        actor::Actor,
        command::Command,
        decide::{
            Decision,
            trial::{clock_time, taken_back},
        },
        refusal::Refusal,
        settings,
        state::{Change, State},
        trial::{Inverse, Last, Trial},
    },
    dataplane::{Before, Dataplane},
};

impl<D: Dataplane> Daemon<D> {
    /// The policy that the kernel goes back to if nobody confirms; `None` if nothing waits for that.
    fn before(&self) -> Result<Option<Before>, Refusal> {
        let Some(state) = self.state.before_trial() else {
            return Ok(None);
        };
        let config = self.config_before.as_ref().unwrap_or(&self.config);
        let rule_bank = self.rulebook.rule_bank_before();
        let compose = |state: &State| self.compose_settings(config, state, rule_bank);
        let settings = compose(&state)?;
        let held = if state.held.is_any() {
            compose(&state.effective(config))?
        } else {
            settings
        };
        Ok(Some(Before {
            settings,
            held,
            lifelines: settings::lifelines(config, &self.facts.ssh_ports, self.fixed.hz)?,
            protocols: config.protocols.policies(),
            ceilings: settings::services(config, &state, self.fixed)?,
        }))
    }

    /// Writes that policy, if there is one.
    pub(super) fn put_before(&mut self) -> Result<(), Refusal> {
        let Some(before) = self.before()? else {
            return Ok(());
        };
        if self.before.as_ref() != Some(&before) {
            self.before = None;
            self.plane.set_before(&before).map_err(failed)?;
            self.before = Some(before);
        }
        Ok(())
    }

    /// Sees to it that the kernel goes back by itself, before anything of what it is to take back is in
    /// force; or that it does not, before anything of what is confirmed lasts.
    pub(super) fn arm(&mut self, changes: &[Change]) -> Result<(), Refusal> {
        let is_armed = self.settings.is_on_trial();
        let confirm_by = match changes {
            [Change::Trial(None)] if is_armed => 0,
            _ if self.state.trial.is_some() && !is_armed => {
                self.put_before()?;
                self.confirm_by
            }
            _ => return Ok(()),
        };
        let settings = Settings {
            confirm_by,
            ..self.settings
        };
        self.write_settings(settings, self.held)
    }

    /// The tick by which changes want to be confirmed, if they say so.
    pub(super) fn confirm_by(&self, changes: &[Change], moment: Moment) -> u64 {
        let last = changes.iter().rev().find_map(|change| {
            let Change::Trial(trial) = change else {
                return None;
            };
            Some(trial.as_deref())
        });
        let now = self.state.trial.as_deref();
        match last {
            None => self.confirm_by,
            Some(None) => 0,
            // The tick stays, whatever became of the calendar meanwhile.
            Some(Some(trial)) if now.is_some_and(|now| now.until == trial.until) => self.confirm_by,
            Some(Some(trial)) => moment.until(Some(trial.until)),
        }
    }

    /// Takes back what nobody confirmed in time. The kernel did already.
    pub(super) fn end_trial(&mut self) {
        let Some(trial) = self.state.trial.clone() else {
            return;
        };
        let ended = self.moment().and_then(|moment| {
            if moment.tick < self.confirm_by {
                return Ok(false);
            }
            let text = unconfirmed(&trial);
            let changes = taken_back(&trial, moment.now);
            self.carry_back(changes, &Actor::Daemon, EXPIRED, &text)?;
            self.unconfirmed = Some(text);
            Ok(true)
        });
        match ended {
            Ok(is_over) => {
                self.troubles.remove("trial");
                if is_over {
                    self.tend();
                }
            }
            Err(refusal) => self.trouble(
                "trial",
                format!(
                    "a change that nobody confirmed is taken back in the kernel, and could not be \
                     here: {refusal}"
                ),
            ),
        }
    }

    /// Carries changes out, and if they bring an earlier text of the configuration back, that too.
    pub(super) fn carry_back(
        &mut self,
        changes: Vec<Change>,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        let texts = changes.iter().find_map(|change| {
            let Change::Unconfirmed(texts) = change else {
                return None;
            };
            texts.as_ref().map(|texts| texts.before.clone())
        });
        let Some(before) = texts else {
            return self.carry_out(changes, by, kind, text);
        };
        let config = self.source.parse(&before)?;
        let config = std::mem::replace(&mut self.config, config);
        let carried = self
            .grow_program()
            .and_then(|()| self.put_lifelines())
            .and_then(|()| self.hush_services())
            .and_then(|()| self.put_protocols())
            .and_then(|()| self.carry_out(changes, by, kind, text));
        if let Err(refusal) = carried {
            self.config = config;
            self.put_lifelines()?;
            self.put_protocols()?;
            self.put_settings()?;
            self.put_services()?;
            return Err(refusal);
        }
        self.text = before;
        self.heed_config();
        Ok(())
    }

    /// Tells everybody who goes by the configuration that it is another.
    pub(super) fn heed_config(&mut self) {
        self.driver.configure(&self.config);
        self.keep_slots();
        self.tend();
        self.story.configure(&self.config);
    }

    /// Goes on with what an earlier daemon left waiting for confirmation, or takes it back if time is
    /// up. To be called before the kernel is told anything.
    pub(super) fn resume_trial(&mut self, found: &Settings) -> Result<(), Refusal> {
        let Some(trial) = self.state.trial.clone() else {
            return Ok(());
        };
        let moment = self.moment()?;
        self.confirm_by = confirm_by(&trial, found, moment);
        if moment.tick < self.confirm_by {
            return Ok(());
        }
        self.confirm_by = 0;
        let text = unconfirmed(&trial);
        let changes = taken_back(&trial, clock::now());
        self.keep(changes, &Actor::Daemon, EXPIRED, &text)?;
        tracing::warn!("{text}");
        self.unconfirmed = Some(text);
        Ok(())
    }

    /// What `undo` takes back after a command, if that is another thing than before it.
    pub(super) fn last_after(
        &self,
        actor: &Actor,
        command: &Command,
        decision: &Decision,
    ) -> Option<Last> {
        let last = |text: &str, inverse| {
            Some(Last {
                text: text.to_owned(),
                inverse,
            })
        };
        let (_, text) = &decision.event;
        match (actor, command) {
            (Actor::File | Actor::Daemon | Actor::Controller, _) | (_, Command::Try { .. }) => None,
            (_, Command::Confirm) => {
                let trial = self.state.trial.as_ref()?;
                let inverse = match trial.config {
                    Some(_) => Err(AFTER_RELOAD.to_owned()),
                    None => Ok(trial.inverse.clone()),
                };
                last(&trial.text(), inverse)
            }
            (_, Command::Undo) if self.state.trial.is_some() => None,
            (_, Command::Attach { .. }) => last(text, Err("`floodwall detach` does".to_owned())),
            (_, Command::Detach { .. }) => last(text, Err("`floodwall attach` does".to_owned())),
            (_, _) => last(text, Ok(Inverse::of(&decision.changes, &self.state))),
        }
    }

    /// What waits for confirmation, as it is shown.
    pub(super) fn pending_status(&mut self) -> Result<Option<PendingStatus>, Refusal> {
        let Some(trial) = self.state.trial.clone() else {
            return Ok(None);
        };
        let moment = self.moment()?;
        let left = self.confirm_by.saturating_sub(moment.tick);
        Ok(Some(PendingStatus {
            changes: trial.texts,
            by: trial.by,
            since: trial.since,
            until: trial.until,
            seconds_left: left.div_ceil(self.fixed.hz.max(1)),
        }))
    }
}

/// What to do instead of undoing a reload.
pub(super) const AFTER_RELOAD: &str = "give the file its old text and `floodwall reload`; with \
                                       --confirm it would have come back by itself";

/// The tick by which a trial wants to be confirmed that an earlier daemon left. The kernel knows it,
/// whatever became of the calendar; new maps know nothing.
fn confirm_by(trial: &Trial, found: &Settings, moment: Moment) -> u64 {
    match found.confirm_by {
        0 if trial.until <= moment.now => moment.tick,
        0 => moment.until(Some(trial.until)),
        tick => tick,
    }
}

/// The configuration to start with: that of the file, unless nobody confirmed it.
pub(super) struct InForce {
    pub config: Config,
    pub text: String,
    /// What it was before, if it may come back.
    pub before: Option<Config>,
    /// Whether the file has another text by now than the one that nobody confirmed.
    pub is_mended: bool,
}

impl InForce {
    /// By what the file says and what is kept.
    pub(super) fn of(
        config: Config,
        source: &Source,
        state: &State,
        (found, moment): (&Settings, Moment),
    ) -> Result<Self, Refusal> {
        let text = source.text()?;
        let file = Self {
            config,
            text,
            before: None,
            is_mended: false,
        };
        let trial = state.trial.as_deref();
        if let Some((trial, texts)) = trial.and_then(|it| Some((it, it.config.as_ref()?))) {
            let before = source.parse(&texts.before)?;
            return Ok(if moment.tick < confirm_by(trial, found, moment) {
                Self {
                    before: Some(before),
                    ..file
                }
            } else {
                Self {
                    config: before,
                    text: texts.before.clone(),
                    ..file
                }
            });
        }
        match state.unconfirmed.as_deref() {
            Some(texts) if texts.after == file.text => Ok(Self {
                config: source.parse(&texts.before)?,
                text: texts.before.clone(),
                ..file
            }),
            Some(_) => Ok(Self {
                is_mended: true,
                ..file
            }),
            None => Ok(file),
        }
    }
}

/// What becomes of a trial that nobody confirmed, in the journal's words.
fn unconfirmed(trial: &Trial) -> String {
    format!(
        "not confirmed until {}, and taken back: {} (by {})",
        clock_time(trial.until),
        trial.text(),
        trial.by
    )
}
