//! Who is known good: kept over restarts, and forgotten day by day.

use std::{
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use filter_common::logic::known::{DAYS, outdated};

use super::state::{Daemon, failed};
use crate::{
    clock,
    core::refusal::Refusal,
    dataplane::Dataplane,
    store::{
        StoreError,
        known::{self, Known},
    },
};

/// How the table is kept.
#[derive(Debug)]
pub(super) struct Keeping {
    /// The day that the kernel was told, counted from 1970.
    pub(super) day: u32,
    /// Since when the calendar says a day long before that.
    doubted: Option<Instant>,
    folder: PathBuf,
    /// When it is written next.
    due: Instant,
    /// Who writes it at the moment.
    writer: Option<JoinHandle<Result<(), StoreError>>>,
}

/// Between writings: what a crash of the host may forget.
pub(super) const PERIOD: Duration = Duration::from_secs(3600);
/// How long a calendar that was set far back is doubted: a host without a clock of its own starts with
/// some day of the past, and learns a little later which it is.
pub(super) const DOUBT: Duration = Duration::from_secs(3600);
/// No day of this program is before it: 1 January 2025.
const PLAUSIBLE: u32 = 20_089;

/// The table that was kept, for new maps, which have to have its key; what is lost of it is told.
pub(super) fn kept(folder: &Path, losses: &mut Vec<String>) -> Option<Known> {
    known::load(folder).unwrap_or_else(|error| {
        losses.push(error.to_string());
        None
    })
}

impl Keeping {
    pub(super) fn new(folder: PathBuf, day: u32, now: Instant) -> Self {
        Self {
            day,
            doubted: None,
            folder,
            due: now + PERIOD,
            writer: None,
        }
    }

    /// Whether a day is taken for today's. A clock that was set back by less than the table has days
    /// for catches up, and marks are of the last day until then.
    fn believes(&mut self, today: u32, now: Instant) -> bool {
        if today < PLAUSIBLE {
            return false;
        }
        let back = self.day.saturating_sub(today);
        if back < DAYS {
            self.doubted = None;
            return back == 0;
        }
        let since = *self.doubted.get_or_insert(now);
        now.saturating_duration_since(since) >= DOUBT
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Forgets the days that are over. Settings then have to be put in force.
    pub(super) fn forget_days(&mut self, now: Instant) -> Result<bool, Refusal> {
        self.pass_to(today(), now)
    }

    /// Goes to the day that the calendar says, once that can be believed.
    pub(super) fn pass_to(&mut self, today: u32, now: Instant) -> Result<bool, Refusal> {
        if !self.keeping.believes(today, now) || today == self.keeping.day {
            return Ok(false);
        }
        let columns = outdated(self.keeping.day, today);
        self.plane.clear_known(columns).map_err(failed)?;
        self.keeping.day = today;
        Ok(true)
    }

    /// Does what is due once a minute.
    pub(super) fn keep_known(&mut self, now: Instant) {
        let passed = self.forget_days(now).and_then(|has_passed| {
            if has_passed {
                self.put_settings()
            } else {
                Ok(())
            }
        });
        let written = self.end_writing().and_then(|()| {
            if now < self.keeping.due {
                return Ok(());
            }
            self.keeping.due = now + PERIOD;
            self.begin_writing()
        });
        match passed.and(written) {
            Ok(()) => {
                self.troubles.remove("known");
            }
            Err(refusal) => self.trouble("known", refusal.message),
        }
    }

    /// Writes the table, and what waits of incidents, a last time.
    pub fn rest(&mut self) {
        let written = self
            .end_writing_at_last()
            .and_then(|()| self.begin_writing())
            .and_then(|()| self.end_writing_at_last());
        if let Err(refusal) = written {
            tracing::error!("{refusal}");
        }
        self.remember();
        self.write_down_at_last();
        self.story.end();
    }

    /// Beside everything else, for a disk may take its time.
    fn begin_writing(&mut self) -> Result<(), Refusal> {
        // Marks of no day are of no use to anybody.
        if self.keeping.writer.is_some() || self.keeping.day < PLAUSIBLE {
            return Ok(());
        }
        let known = Known {
            day: self.keeping.day,
            key: self.fixed.key,
            lines: self.plane.known().map_err(failed)?,
        };
        if known.is_empty() {
            return Ok(());
        }
        let folder = self.keeping.folder.clone();
        let writer = thread::Builder::new()
            .name("known".to_owned())
            .spawn(move || known::save(&folder, &known))
            .map_err(failed)?;
        self.keeping.writer = Some(writer);
        Ok(())
    }

    /// Hears how writing went, if it is done.
    fn end_writing(&mut self) -> Result<(), Refusal> {
        match &self.keeping.writer {
            Some(writer) if writer.is_finished() => self.end_writing_at_last(),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn end_writing_at_last(&mut self) -> Result<(), Refusal> {
        let Some(writer) = self.keeping.writer.take() else {
            return Ok(());
        };
        let result = writer.join();
        result
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(failed)
    }
}

/// The day, counted from 1970.
fn today() -> u32 {
    const DAY: i64 = 24 * 60 * 60;
    u32::try_from(clock::now().as_second() / DAY).unwrap_or(0)
}
