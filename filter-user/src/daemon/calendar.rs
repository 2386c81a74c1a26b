//! A calendar that is set while the daemon runs.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::{state::Daemon, tables::Move};
use crate::{
    api::types::ListKind,
    clock,
    core::actor::{Actor, CONTROLLER},
    dataplane::Dataplane,
};

/// What a clock may be corrected by without a word.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// Both clocks, as they were read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    now: Timestamp,
    at: Instant,
}

impl Calendar {
    /// Read at this moment.
    pub(super) fn new(now: Timestamp, at: Instant) -> Self {
        Self { now, at }
    }

    /// By how much the calendar was set since the last reading, ahead or back.
    fn read(&mut self, now: Timestamp, at: Instant) -> Option<SignedDuration> {
        let went = SignedDuration::try_from(at.saturating_duration_since(self.at));
        let jump = now.duration_since(self.now) - went.unwrap_or_default();
        *self = Self::new(now, at);
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
        let Some(jump) = self.calendar.read(now, at) else {
            return;
        };
        self.state.postpone_held(jump);
        let ends = ListKind::ALL.into_iter().flat_map(|kind| {
            let manual = self.state.list(kind).manual.iter();
            let ending = manual.filter(|(_, note)| note.until.is_some() && note.by != CONTROLLER);
            ending.map(move |(prefix, _)| (kind, *prefix))
        });
        let moves: Vec<Move> = ends
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
        let moved = self.moment().and_then(|moment| {
            let carried = self.tables.carry(&mut self.plane, &moves, moment);
            carried.map_err(super::state::failed)
        });
        let way = if jump.is_negative() { "back" } else { "ahead" };
        let text = format!(
            "the clock was set {way} by {} s: entries and overrides with an end keep it by the calendar, \
             what the controller holds keeps its time",
            jump.as_secs().unsigned_abs()
        );
        self.tell(&Actor::Daemon, "clock.set", &text);
        match moved {
            Ok(()) => {
                self.troubles.remove("clock");
            }
            Err(refusal) => self.trouble("clock", refusal.message),
        }
    }
}
