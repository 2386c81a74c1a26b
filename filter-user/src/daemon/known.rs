//! Who is known good: kept over restarts, and forgotten day by day.

use std::{
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use filter_common::logic::known::outdated;

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
    folder: PathBuf,
    /// When it is written next.
    due: Instant,
    /// Who writes it at the moment.
    writer: Option<JoinHandle<Result<(), StoreError>>>,
}

/// Between writings: what a crash of the host may forget.
pub(super) const PERIOD: Duration = Duration::from_secs(3600);

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
            folder,
            due: now + PERIOD,
            writer: None,
        }
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Forgets the days that are over. Settings then have to be put in force.
    pub(super) fn forget_days(&mut self) -> Result<bool, Refusal> {
        let today = today();
        if today == self.keeping.day {
            return Ok(false);
        }
        let columns = outdated(self.keeping.day, today);
        self.plane.clear_known(columns).map_err(failed)?;
        self.keeping.day = today;
        Ok(true)
    }

    /// Does what is due once a minute.
    pub(super) fn keep_known(&mut self, now: Instant) {
        let passed = self.forget_days().and_then(|has_passed| {
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
        self.story.end();
    }

    /// Beside everything else, for a disk may take its time.
    fn begin_writing(&mut self) -> Result<(), Refusal> {
        if self.keeping.writer.is_some() {
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
