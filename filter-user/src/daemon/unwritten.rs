//! What operators said while the disk took nothing: it is in force, and written as soon as it can be.

use jiff::Timestamp;

use super::{
    state::{Daemon, failed},
    tables::{Moment, Move},
};
use crate::{
    core::{actor::Actor, refusal::Refusal, state::Change},
    dataplane::Dataplane,
    store::StoreError,
};

/// Changes that may wait; further ones are refused.
const MOST: usize = 10_000;
/// The trouble of changes that wait.
const TROUBLE: &str = "unwritten";
/// The kind of event by which a trial ends that nobody confirmed.
pub(super) const EXPIRED: &str = "trial.expired";

/// What waits, in its order.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    changes: Vec<Change>,
    events: Vec<Waiting>,
    /// How many ever waited.
    noted: u64,
}

#[derive(Debug)]
struct Waiting {
    at: Timestamp,
    by: Actor,
    kind: String,
    text: String,
}

/// Who did something when, in the journal's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) at: Timestamp,
    pub(super) by: &'a Actor,
    pub(super) kind: &'a str,
    pub(super) text: &'a str,
}

impl Unwritten {
    /// How many events wait.
    fn len(&self) -> usize {
        self.events.len()
    }

    /// How many events ever waited, those that are written by now among them.
    pub(super) const fn noted(&self) -> u64 {
        self.noted
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Puts changes in force that the disk does not take, for a flood that fills it must not keep
    /// operators from answering; refuses those that cannot do without it.
    pub(super) fn put_unwritten(
        &mut self,
        error: &StoreError,
        changes: &[Change],
        moves: &[Move],
        moment: Moment,
        told: Told<'_>,
    ) -> Result<(), Refusal> {
        if !self.may_wait(changes, told) {
            return Err(unchanged(error));
        }
        self.put_all(changes, moves, moment)?;
        self.wait_for_disk(error, changes, told);
        Ok(())
    }

    /// Whether changes may be in force before they are written. A list is a file, and what waits for
    /// confirmation has to outlive this daemon; that nobody confirmed it, the next start finds by itself.
    pub(super) fn may_wait(&self, changes: &[Change], told: Told<'_>) -> bool {
        let is_expiry = told.kind == EXPIRED;
        let is_small = |change: &Change| match change {
            Change::Manual(..)
            | Change::Rule(..)
            | Change::Mode(_)
            | Change::Limit(..)
            | Change::Defence(..)
            | Change::CookiePort(..)
            | Change::Detached(..)
            | Change::NextRule(_)
            | Change::HeldDefence(..)
            | Change::HeldLimit(..)
            | Change::Veto(..) => true,
            Change::Trial(None) | Change::Unconfirmed(_) => is_expiry,
            Change::Import(..) | Change::Trial(Some(_)) => false,
        };
        let waiting = &self.unwritten.changes;
        self.state.trial.is_none()
            && changes.iter().all(is_small)
            && waiting.len().saturating_add(changes.len()) <= MOST
    }

    /// Notes changes that are in force and not on the disk.
    pub(super) fn wait_for_disk(&mut self, error: &StoreError, changes: &[Change], told: Told<'_>) {
        let Told { at, by, kind, text } = told;
        tracing::info!(kind, by = %by, "{text}");
        self.unwritten.changes.extend_from_slice(changes);
        self.unwritten.noted += 1;
        self.unwritten.events.push(Waiting {
            at,
            by: by.clone(),
            kind: kind.to_owned(),
            text: text.to_owned(),
        });
        let count = match self.unwritten.len() {
            1 => "one change is".to_owned(),
            count => format!("{count} changes are"),
        };
        self.trouble(
            TROUBLE,
            format!(
                "{count} in force and not on the disk ({error}): written as soon as it takes them, and \
                 lost if floodwall ends before"
            ),
        );
    }

    /// What an operator is told whose change waits.
    pub(super) fn word_of_unwritten(&self) -> Option<String> {
        self.troubles.get(TROUBLE).cloned()
    }

    /// Writes what waits.
    pub(super) fn write_down(&mut self) -> Result<(), StoreError> {
        if self.unwritten.len() == 0 {
            return Ok(());
        }
        self.store.begin()?;
        let Unwritten {
            changes, events, ..
        } = &self.unwritten;
        // A newer one may be on the disk by now, of a rule that no restart finds.
        let next = changes
            .iter()
            .any(|change| matches!(change, Change::NextRule(_)))
            .then_some(Change::NextRule(self.state.next_rule));
        let store = &mut self.store;
        let mut write = || {
            store.write(changes)?;
            store.write(next.as_slice())?;
            store.write_slots(&self.rulebook.slots)?;
            let events = events.iter().map(|event| {
                let Waiting { at, by, kind, text } = event;
                store.journal(*at, by, kind, text)
            });
            let events = events.collect::<Result<Vec<_>, _>>()?;
            store.commit().map(|()| events)
        };
        let written = match write() {
            Ok(written) => written,
            Err(error) => {
                self.store.rollback();
                return Err(error);
            }
        };
        self.unwritten.changes.clear();
        self.unwritten.events.clear();
        self.troubles.remove(TROUBLE);
        let count = written.len();
        for event in written {
            self.handle.publish(event);
        }
        let text = match count {
            1 => "the change that waited for the disk is written".to_owned(),
            count => format!("the {count} changes that waited for the disk are written"),
        };
        self.tell(&Actor::Daemon, "state.written", &text);
        Ok(())
    }

    /// Says what is lost, where there is still no way to write it at the end.
    pub(super) fn write_down_at_last(&mut self) {
        if let Err(error) = self.write_down() {
            let lost = self.unwritten.events.iter().map(|it| it.text.as_str());
            let lost: Vec<&str> = lost.collect();
            tracing::error!(
                "the next start will not find what was changed while the disk took nothing ({error}): {}",
                lost.join("; ")
            );
        }
    }
}

/// A refusal of the disk that leaves everything as it was.
pub(super) fn unchanged(error: &StoreError) -> Refusal {
    failed(format!("{error}, nothing was changed"))
}
