//! The configuration read again while the daemon runs.

use super::{state::Daemon, trial::AFTER_RELOAD};
use crate::{
    api::types::{Outcome, SCHEMA},
    core::{
        actor::Actor,
        decide::{Decision, trial::clock_time},
        refusal::Refusal,
        state::Change,
        trial::Last,
    },
    dataplane::Dataplane,
};

impl<D: Dataplane> Daemon<D> {
    /// Reads the configuration again: all of it takes effect, or none; on trial, if the decision
    /// says so.
    pub(super) fn reload(&mut self, actor: &Actor, decision: Decision) -> Result<Outcome, Refusal> {
        let text = self.source.text()?;
        let new = self.source.parse(&text)?;
        if let Some(key) = needs_restart(&self.config, &new) {
            return Err(Refusal::refused(format!(
                "`{key}` changed, and that takes a restart: `systemctl restart floodwall`; the \
                 filter stays attached meanwhile. Nothing was changed"
            )));
        }
        let mut changes = decision.changes;
        for change in &mut changes {
            if let Change::Trial(Some(trial)) = change {
                if self.config.interfaces != new.interfaces {
                    return Err(Refusal::refused(
                        "`interfaces` changed, and the kernel cannot attach or detach by itself: \
                         reload that alone and without --confirm. Nothing was changed",
                    ));
                }
                trial.note_texts(&self.text, &text);
            }
        }
        let is_trial = !changes.is_empty();
        if self.state.unconfirmed.is_some() {
            changes.push(Change::Unconfirmed(None));
        }
        let moment = self.moment()?;
        let confirm_by = self.confirm_by(&changes, moment);
        let confirm_by = std::mem::replace(&mut self.confirm_by, confirm_by);
        let undo: Vec<Change> = changes
            .iter()
            .map(|change| self.state.apply(change.clone()))
            .collect();
        let config_before = self.config_before.clone();
        if is_trial && self.config_before.is_none() {
            self.config_before = Some(self.config.clone());
        }
        let old = self.config.clone();
        let rulebook = self.rulebook.clone();
        let armed = self.arm(&changes);
        self.config = new;
        let result = armed
            .and_then(|()| self.grow_program())
            .and_then(|()| self.put_lifelines())
            .and_then(|()| self.hush_services())
            .and_then(|()| self.put_rules(moment))
            .and_then(|()| self.put_protocols())
            .and_then(|()| self.put_settings())
            .and_then(|()| self.put_services())
            .and_then(|()| self.protect())
            .and_then(|()| self.keep_reload(&changes, actor));
        if let Err(refusal) = result {
            self.config = old;
            self.config_before = config_before;
            self.confirm_by = confirm_by;
            for change in undo.into_iter().rev() {
                let _ = self.state.apply(change);
            }
            self.rulebook = rulebook;
            self.put_lifelines()?;
            self.put_protocols()?;
            self.put_settings()?;
            self.put_services()?;
            return Err(Refusal {
                message: format!("{}. Nothing was changed", refusal.message),
                ..refusal
            });
        }
        self.text = text;
        self.heed_config();
        let text = self.reloaded();
        if changes.is_empty() {
            self.tell(actor, "config.reload", &text);
        }
        if matches!(actor, Actor::Operator { .. }) {
            self.unconfirmed = None;
            if !is_trial {
                self.last = Some(Last {
                    text: text.clone(),
                    inverse: Err(AFTER_RELOAD.to_owned()),
                });
            }
        }
        let promise = decision.outcome.notes.into_iter().skip(1);
        Ok(Outcome {
            schema: SCHEMA,
            notes: [text].into_iter().chain(promise).collect(),
            ..Outcome::default()
        })
    }

    /// What a reload did, in words.
    fn reloaded(&self) -> String {
        match &self.source.file {
            Some(file) => format!("{} was read again", file.display()),
            None => "there is no configuration file; the defaults hold".to_owned(),
        }
    }

    /// Keeps what a reload changed of the state, with a word in the journal.
    fn keep_reload(&mut self, changes: &[Change], actor: &Actor) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        let text = match self.state.trial.as_deref() {
            Some(trial) => format!(
                "{}; to be confirmed until {}",
                self.reloaded(),
                clock_time(trial.until)
            ),
            None => self.reloaded(),
        };
        self.keep(changes.to_vec(), actor, "config.reload", &text)
    }
}

/// The first key that changed and cannot change while the daemon runs.
pub(super) fn needs_restart(
    old: &crate::config::Config,
    new: &crate::config::Config,
) -> Option<&'static str> {
    if old.paths.socket != new.paths.socket {
        Some("paths.socket")
    } else if old.paths.state != new.paths.state {
        Some("paths.state")
    } else if old.paths.bpf != new.paths.bpf {
        Some("paths.bpf")
    } else if old.tables != new.tables {
        Some("tables")
    } else if old.attach != new.attach {
        Some("attach")
    } else if old.access != new.access {
        Some("access")
    } else if old.metrics != new.metrics {
        Some("metrics")
    } else {
        None
    }
}
