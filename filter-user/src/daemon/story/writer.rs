//! The thread that writes what is kept of incidents, so that no disk delays a decision.

use std::{
    mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::super::state::failed;
use crate::{
    clock,
    config::incidents::Incidents,
    core::refusal::Refusal,
    detect::{Memory, output::Report},
    store::archive::{Archive, Batch, seconds::Second},
};

/// Seconds that wait for a disk that does not take them; the oldest are lost beyond that.
const MOST_SECONDS: usize = 3_600;
/// Incidents that wait likewise.
const MOST_INCIDENTS: usize = 256;

/// When what waits is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// In calm.
    pub calm: Duration,
    /// While an incident is open, and after a failure.
    pub busy: Duration,
    /// Between looks at what is too old.
    pub prune: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            calm: Duration::from_secs(60),
            busy: Duration::from_secs(10),
            prune: Duration::from_secs(3_600),
        }
    }
}

/// The way to the thread. What is handed over is bounded, and never waits for a disk.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What lies between the two threads.
#[derive(Debug, Default)]
struct Desk {
    batch: Batch,
    /// An incident began or ended, or a fingerprint: it is written at once.
    is_urgent: bool,
    is_open: bool,
    is_over: bool,
    keep: Incidents,
    trouble: Option<String>,
    losses: Vec<String>,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Whoever panicked left nothing half done: each change is of one field.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread over what was opened; it opens it itself if there is nothing yet.
    pub fn start(
        folder: PathBuf,
        archive: Option<Archive>,
        keep: Incidents,
        rhythm: Rhythm,
    ) -> Result<Self, Refusal> {
        let shared = Arc::new(Shared::default());
        {
            let mut desk = shared.desk();
            desk.keep = keep;
            // What could not be opened is tried at once, so that it is told.
            desk.is_urgent = archive.is_none();
        }
        let clerk = Clerk {
            folder,
            archive,
            shared: Arc::clone(&shared),
            rhythm,
        };
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || clerk.work())
            .map_err(failed)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands a second over; `is_kept` says whether it belongs to an incident.
    pub fn second(&self, second: Second, is_kept: bool) {
        let mut desk = self.shared.desk();
        desk.batch.is_kept |= is_kept;
        desk.batch.seconds.push(second);
        desk.bound();
    }

    /// Hands a report over. One that began or ended is written at once; so is what was there from
    /// `keep_from` on kept.
    pub fn incident(&self, report: &Report, keep_from: Option<i64>) {
        let mut desk = self.shared.desk();
        desk.is_open = report.end.is_none();
        desk.is_urgent |= keep_from.is_some() || report.end.is_some();
        desk.batch.keep_from = earlier(desk.batch.keep_from, keep_from);
        desk.batch.incidents.insert(report.id, report.clone());
        desk.bound();
        drop(desk);
        self.shared.changed.notify_one();
    }

    /// Hands over what was learned; what the next daemon needs at once is written at once.
    pub fn memory(&self, memory: &Memory, is_urgent: bool) {
        let mut desk = self.shared.desk();
        desk.batch.memory = Some(memory.clone());
        desk.is_urgent |= is_urgent;
        drop(desk);
        if is_urgent {
            self.shared.changed.notify_one();
        }
    }

    /// Takes another retention.
    pub fn keep(&self, keep: Incidents) {
        self.shared.desk().keep = keep;
    }

    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<String> {
        self.shared.desk().trouble.clone()
    }

    /// What was lost since somebody asked.
    pub fn losses(&self) -> Vec<String> {
        mem::take(&mut self.shared.desk().losses)
    }

    /// Has the rest written, and waits for it.
    pub fn end(&mut self) {
        self.shared.desk().is_over = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else {
            return;
        };
        if thread.join().is_err() {
            tracing::error!("the thread that writes history panicked");
        }
        if let Some(trouble) = self.trouble() {
            tracing::error!("the last of the history is lost: {trouble}");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Desk {
    /// Puts back what could not be written, behind what came meanwhile.
    fn put_back(&mut self, failed: Batch) {
        let mut seconds = failed.seconds;
        seconds.append(&mut self.batch.seconds);
        self.batch.seconds = seconds;
        for (id, report) in failed.incidents {
            self.batch.incidents.entry(id).or_insert(report);
        }
        self.batch.is_kept |= failed.is_kept;
        self.batch.keep_from = earlier(self.batch.keep_from, failed.keep_from);
        self.batch.memory = self.batch.memory.take().or(failed.memory);
        self.bound();
    }

    fn bound(&mut self) {
        let excess = self.batch.seconds.len().saturating_sub(MOST_SECONDS);
        self.batch.seconds.drain(..excess);
        while self.batch.incidents.len() > MOST_INCIDENTS {
            self.batch.incidents.pop_first();
        }
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// Who writes.
struct Clerk {
    folder: PathBuf,
    archive: Option<Archive>,
    shared: Arc<Shared>,
    rhythm: Rhythm,
}

impl Clerk {
    fn work(mut self) {
        let mut written = clock::monotonic();
        let mut pruned = written;
        let mut is_pruning = true;
        let mut has_failed = false;
        loop {
            let (batch, keep, is_over) = self.wait(written, is_pruning, has_failed);
            if let Some(batch) = batch {
                has_failed = !self.write(batch);
                written = clock::monotonic();
            }
            if is_over {
                return;
            }
            if is_pruning || pruned.elapsed() >= self.rhythm.prune {
                pruned = clock::monotonic();
                is_pruning = self.prune(&keep);
            }
        }
    }

    /// Waits until there is something to be done, and takes it off the desk.
    fn wait(
        &self,
        written: Instant,
        is_pruning: bool,
        has_failed: bool,
    ) -> (Option<Batch>, Incidents, bool) {
        let mut desk = self.shared.desk();
        loop {
            let period = if desk.is_open || has_failed {
                self.rhythm.busy
            } else {
                self.rhythm.calm
            };
            let rest = period.saturating_sub(written.elapsed());
            let is_due = rest.is_zero() || desk.is_over || desk.is_urgent && !has_failed;
            if is_due {
                desk.is_urgent = false;
                let batch = mem::take(&mut desk.batch);
                return (Some(batch), desk.keep, desk.is_over);
            }
            // Between steps of pruning others have their turn at the disk.
            let nap = if is_pruning {
                rest.min(self.rhythm.busy / 10)
            } else {
                rest
            };
            let (woken, waited) = self
                .shared
                .changed
                .wait_timeout(desk, nap)
                .unwrap_or_else(PoisonError::into_inner);
            desk = woken;
            if is_pruning && waited.timed_out() {
                return (None, desk.keep, desk.is_over);
            }
        }
    }

    /// Writes a batch; tells whether that went well.
    fn write(&mut self, batch: Batch) -> bool {
        let mut result = self.archive().and_then(|archive| {
            if batch.is_empty() {
                return Ok(());
            }
            archive.write(&batch).map_err(|error| error.to_string())
        });
        if self.archive.as_ref().is_some_and(Archive::is_damaged)
            && let Some(damaged) = self.archive.take()
        {
            let replaced = damaged.replace(clock::now());
            // What waits is written into the new one next.
            if let Err(error) = self.adopt(replaced.map_err(|error| error.to_string())) {
                result = Err(error);
            }
        }
        let mut desk = self.shared.desk();
        let went_well = result.is_ok();
        desk.trouble = result.err();
        if !went_well {
            desk.put_back(batch);
        }
        went_well
    }

    fn prune(&mut self, keep: &Incidents) -> bool {
        let Some(archive) = &mut self.archive else {
            return false;
        };
        match archive.prune(keep, clock::now()) {
            Ok(has_more) => has_more,
            Err(error) => {
                self.shared.desk().trouble = Some(error.to_string());
                false
            }
        }
    }

    fn archive(&mut self) -> Result<&mut Archive, String> {
        if self.archive.is_none() {
            let opened = Archive::open(&self.folder, clock::now());
            self.adopt(opened.map_err(|error| error.to_string()))?;
        }
        self.archive
            .as_mut()
            .ok_or_else(|| "the database of incidents is not open".to_owned())
    }

    fn adopt(&mut self, opened: Result<(Archive, Option<String>), String>) -> Result<(), String> {
        let (archive, loss) = opened?;
        self.archive = Some(archive);
        self.shared.desk().losses.extend(loss);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;

    fn rhythm() -> Rhythm {
        Rhythm {
            calm: Duration::from_secs(3_600),
            busy: Duration::from_millis(20),
            prune: Duration::from_secs(3_600),
        }
    }

    fn writer(folder: &Path) -> Writer {
        Writer::start(folder.to_owned(), None, Incidents::default(), rhythm()).expect("a thread")
    }

    fn second(at: i64) -> Second {
        Second {
            at,
            ..Second::default()
        }
    }

    fn report(id: u64, is_over: bool) -> Report {
        Report {
            id,
            end: is_over.then(clock::now),
            ..Report::default()
        }
    }

    /// Waits for what a thread does.
    fn until(what: impl Fn() -> bool) {
        for _ in 0..2_000 {
            if what() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it has not come about");
    }

    #[test]
    fn an_incident_is_written_at_once_and_calm_in_batches() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path());
        let now = clock::now().as_second();
        writer.second(second(now), false);
        writer.incident(&report(4, false), Some(now));
        let is_there = || {
            let reader = Archive::reader(folder.path());
            reader.is_ok_and(|reader| matches!(reader.incident(4), Ok(Some(_))))
        };
        until(is_there);
        writer.incident(&report(4, true), None);
        writer.second(second(now + 1), false);
        writer.memory(&Memory::default(), false);
        writer.end();
        let reader = Archive::reader(folder.path()).expect("it is there");
        assert_eq!(reader.open_incidents().expect("none"), []);
        assert_eq!(reader.memory().expect("whole"), Some(Memory::default()));
        let found = reader.seconds(now, now + 1, 10).expect("seconds");
        assert_eq!(found.seconds, [second(now), second(now + 1)]);
        assert_eq!((writer.trouble(), writer.losses()), (None, vec![]));
    }

    #[test]
    fn what_cannot_be_written_waits_within_bounds() {
        let folder = tempfile::tempdir().expect("a folder");
        // One of a newer floodwall: it is not touched.
        let database = folder.path().join("history.db");
        let newer = rusqlite::Connection::open(&database).expect("a database");
        newer
            .pragma_update(None, "user_version", 7)
            .expect("a version");
        drop(newer);
        let mut writer = writer(folder.path());
        let now = clock::now().as_second();
        for age in 0..5_000 {
            writer.second(second(now + age), false);
        }
        for id in 1..=300 {
            writer.incident(&report(id, true), None);
        }
        until(|| writer.trouble().is_some());
        {
            let desk = writer.shared.desk();
            assert!(desk.batch.seconds.len() <= MOST_SECONDS);
            assert!(desk.batch.incidents.len() <= MOST_INCIDENTS);
        }
        fs::remove_file(&database).expect("out of the way");
        until(|| writer.trouble().is_none());
        writer.end();
        let reader = Archive::reader(folder.path()).expect("it is there");
        let found = reader.seconds(0, i64::MAX, 10_000).expect("seconds");
        assert_eq!(found.seconds.len(), MOST_SECONDS);
        assert_eq!(found.seconds.last(), Some(&second(now + 4_999)));
        assert_eq!(
            reader.incidents(None, 1_000).expect("a page").total,
            MOST_INCIDENTS as u64
        );
    }

    #[test]
    fn what_is_damaged_within_is_set_aside_and_writing_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("history.db");
        drop(Archive::open(folder.path(), clock::now()).expect("a new one"));
        let mut bytes = fs::read(&database).expect("it is there");
        // The first page holds the header and the schema.
        bytes[4_096..].fill(0x55);
        fs::write(&database, bytes).expect("damage");
        let mut writer = writer(folder.path());
        let now = clock::now().as_second();
        writer.second(second(now), false);
        writer.incident(&report(1, false), Some(now));
        let losses = std::cell::RefCell::new(Vec::new());
        until(|| {
            losses.borrow_mut().extend(writer.losses());
            !losses.borrow().is_empty()
        });
        assert!(losses.borrow()[0].contains("history.db.corrupt-"));
        writer.end();
        assert_eq!(writer.trouble(), None);
        let reader = Archive::reader(folder.path()).expect("it is there");
        assert!(reader.incident(1).expect("whole").is_some());
        let found = reader.seconds(now, now, 9).expect("seconds");
        assert_eq!(found.seconds, [second(now)]);
    }

    #[test]
    fn what_is_newer_is_not_overwritten_by_what_waited() {
        let mut desk = Desk::default();
        desk.batch.incidents = BTreeMap::from([(1, report(1, true))]);
        desk.batch.seconds = vec![second(3)];
        desk.put_back(Batch {
            incidents: BTreeMap::from([(1, report(1, false)), (2, report(2, false))]),
            seconds: vec![second(1), second(2)],
            keep_from: Some(7),
            ..Batch::default()
        });
        assert!(desk.batch.incidents[&1].end.is_some());
        assert_eq!(desk.batch.incidents.len(), 2);
        let times: Vec<i64> = desk.batch.seconds.iter().map(|second| second.at).collect();
        assert_eq!(times, [1, 2, 3]);
        assert_eq!(desk.batch.keep_from, Some(7));
    }
}
