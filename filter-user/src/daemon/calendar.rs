//! A calendar that is set while the daemon runs.

use std::time::Instant;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    state::{Daemon, failed},
    tables::{Moment, Move},
};
use crate::{
    api::types::ListKind,
    clock,
    core::{
        actor::{Actor, CONTROLLER},
        refusal::Refusal,
        state::State,
    },
    dataplane::Dataplane,
};

/// What a clock may be corrected by without a word.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// Both clocks, as they were read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    now: Timestamp,
    at: Instant,
    /// Whether the kernel is still to be told of a calendar that was set.
    is_owed: bool,
}

impl Calendar {
    /// Read at this moment.
    pub(super) fn new(now: Timestamp, at: Instant) -> Self {
        Self {
            now,
            at,
            is_owed: false,
        }
    }

    /// By how much the calendar was set since the last reading, ahead or back.
    fn read(&mut self, now: Timestamp, at: Instant) -> Option<SignedDuration> {
        let went = SignedDuration::try_from(at.saturating_duration_since(self.at));
        let jump = now.duration_since(self.now) - went.unwrap_or_default();
        (self.now, self.at) = (now, at);
        (jump.abs() >= JUMP).then_some(jump)
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Notices that the calendar was set. What the controller holds was to last for a time, and does;
    /// what operators gave an end ends when the calendar says so, in the kernel, too.
    pub(super) fn heed_calendar(&mut self) {
        self.heed_calendar_at(clock::now(), clock::monotonic());
    }

    pub(super) fn heed_calendar_at(&mut self, now: Timestamp, at: Instant) {
        let jump = self.calendar.read(now, at);
        if let Some(jump) = jump {
            self.state.postpone_held(jump);
            self.calendar.is_owed = true;
        }
        if self.calendar.is_owed {
            match self.tell_ends_anew(now) {
                Ok(()) => {
                    self.calendar.is_owed = false;
                    self.troubles.remove("clock");
                }
                Err(refusal) => self.trouble("clock", refusal.message),
            }
        }
        if let Some(jump) = jump {
            let way = if jump.is_negative() { "back" } else { "ahead" };
            let text = format!(
                "the clock was set {way} by {} s: entries and overrides with an end keep it by the \
                 calendar, what the controller holds keeps its time",
                jump.as_secs().unsigned_abs()
            );
            self.tell(&Actor::Daemon, "clock.set", &text);
        }
    }

    /// Tells the kernel of everything with an end by the calendar.
    fn tell_ends_anew(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let moment = Moment {
            now,
            ..self.moment()?
        };
        let mut ends: Vec<(ListKind, IpNet)> = Vec::new();
        for kind in ListKind::ALL {
            let list = self.state.list(kind);
            let manual = list.manual.iter();
            let manual = manual.filter(|(_, note)| note.until.is_some() && note.by != CONTROLLER);
            ends.extend(manual.map(|(prefix, _)| (kind, *prefix)));
            // The daemon ends those with a number.
            let imports = list.imports.values();
            let imports = imports.filter(|it| it.number.is_none() && it.note.until.is_some());
            ends.extend(imports.flat_map(|it| it.prefixes.iter().map(|prefix| (kind, *prefix))));
        }
        ends.sort_unstable();
        ends.dedup();
        let moves: Vec<Move> = ends
            .into_iter()
            .map(|(kind, prefix)| {
                let standing = self.state.standing(kind, &prefix);
                Move {
                    kind,
                    prefix,
                    before: standing,
                    after: standing,
                }
            })
            .collect();
        let carried = self.tables.carry(&mut self.plane, &moves, moment);
        carried.map_err(failed)?;
        let rulebook = self.rulebook.clone();
        let told = self.tell_rules_anew(moment);
        told.inspect_err(|_| self.rulebook = rulebook)
    }

    /// The policy before first: as long as its row names a bank, that cannot be written.
    fn tell_rules_anew(&mut self, moment: Moment) -> Result<(), Refusal> {
        let has_end = |state: &State| state.rules.values().any(|rule| rule.note.until.is_some());
        if let Some(before) = self.state.before_trial().filter(has_end) {
            self.shelve_rules_anew(&before, moment)?;
        }
        if has_end(&self.state) {
            self.put_rules(moment)?;
            self.put_settings()?;
        }
        Ok(())
    }
}
