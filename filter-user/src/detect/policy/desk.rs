//! Where what was decided is written down: within the bound on actions, or as mere suggestions.

use std::time::Duration;

use super::{
    budget::{Budget, Urgency},
    words,
};
use crate::{
    clock,
    config::detection::Act,
    core::command::Command,
    detect::{
        Decided, Scene,
        output::{Action, Deed},
    },
};

/// Takes decisions of one step.
#[derive(Debug)]
pub struct Desk<'a> {
    scene: &'a Scene<'a>,
    budget: &'a mut Budget,
    decided: Decided,
}

impl<'a> Desk<'a> {
    /// One for a step.
    pub fn new(scene: &'a Scene<'a>, budget: &'a mut Budget) -> Self {
        Self {
            scene,
            budget,
            decided: Decided::default(),
        }
    }

    /// Something new, which ends after `duration` unless it is renewed; `false` if the minute has no
    /// room for it.
    pub fn act(
        &mut self,
        urgency: Urgency,
        command: Command,
        what: String,
        why: &str,
        duration: Duration,
    ) -> bool {
        if !self.budget.take(urgency, self.scene.config.actions) {
            return false;
        }
        match self.scene.config.act {
            Act::Suggest => {
                let notice = format!("would {what}: {}", words::reason(why));
                self.decided.notices.push(notice);
            }
            Act::Apply => {
                self.decided.commands.push(command.clone());
                let until = clock::end(self.scene.now, duration);
                self.tell(command, what, why, until);
            }
        }
        true
    }

    /// What is in force goes on.
    pub fn renew(&mut self, command: Command) {
        if self.scene.config.act == Act::Apply {
            self.decided.commands.push(command);
        }
    }

    /// Something is taken back, or made milder: that needs no room.
    pub fn ease(&mut self, command: Command, what: String, why: &str) {
        if self.scene.config.act == Act::Apply {
            self.decided.commands.push(command.clone());
            self.tell(command, what, why, None);
        }
    }

    /// What was decided in all.
    pub fn close(mut self) -> Decided {
        let notice = self.budget.notice(self.scene.config.actions);
        self.decided.notices.extend(notice);
        self.decided
    }

    fn tell(&mut self, command: Command, what: String, why: &str, until: Option<jiff::Timestamp>) {
        let action = Action {
            at: self.scene.now,
            what,
            why: words::reason(why),
            until,
            refused: None,
        };
        self.decided.deeds.push(Deed { action, command });
    }
}
