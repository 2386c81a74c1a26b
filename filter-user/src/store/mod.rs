//! What outlives a restart: entries, overrides and the journal in SQLite, imported lists as files
//! beside it.

pub mod archive;
pub mod known;
mod lists;
mod rows;
pub mod syncookies;
#[cfg(test)]
mod tests;
mod trial;
pub mod uplinks;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    api::types::Event,
    config::text::safe,
    core::{
        actor::Actor,
        state::{Change, State},
    },
};

/// The state folder, ours alone as long as this lives.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    database: Connection,
    _lock: Flock<fs::File>,
}

/// Something that could not be kept or read back. Says what, and what mends it.
#[derive(Debug, thiserror::Error)]
// What SQLite says may quote a damaged file.
#[error("{}", safe(.0))]
pub struct StoreError(pub String);

/// What was kept.
#[derive(Debug, Default)]
pub struct Restored {
    /// The state.
    pub state: State,
    /// What could not be read and was set aside: a sentence each. Never silence.
    pub losses: Vec<String>,
    /// Whether it was begun anew, for nothing was kept yet, it vanished, or it was damaged; until
    /// [`Store::reconciled`] says that what the kernel has was taken over.
    pub is_unreconciled: bool,
}

const DATABASE: &str = "floodwall.db";
const SCHEMA_VERSION: i64 = 2;
/// Versions beyond this are no versions but damage.
const MOST_VERSION: i64 = 1000;
/// `PRAGMA synchronous` of what operators say: each commit is on the disk before they are told.
const SAFE: &str = "FULL";
/// And of what is noted beside: nothing waits for the disk, and nothing is torn.
const HASTY: &str = "NORMAL";
/// Events that are kept.
const JOURNAL: i64 = 100_000;

const SCHEMA: &str = "
    CREATE TABLE entries (
        list TEXT NOT NULL, prefix TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
        since TEXT NOT NULL, until TEXT, crc32 INTEGER NOT NULL, PRIMARY KEY (list, prefix)
    ) WITHOUT ROWID;
    CREATE TABLE imports (
        list TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
        since TEXT NOT NULL, until TEXT, file TEXT NOT NULL, crc32 INTEGER NOT NULL,
        PRIMARY KEY (list, name)
    ) WITHOUT ROWID;
    CREATE TABLE overrides (
        name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, by TEXT NOT NULL,
        since TEXT NOT NULL, until TEXT, crc32 INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, by TEXT NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL
    );
";
/// What version 2 added.
const SCHEMA_2: &str = "
    ALTER TABLE imports ADD COLUMN number TEXT;
    CREATE TABLE rules (
        number TEXT NOT NULL PRIMARY KEY, rule TEXT NOT NULL, reason TEXT NOT NULL,
        by TEXT NOT NULL, since TEXT NOT NULL, until TEXT, place TEXT NOT NULL,
        crc32 INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE rule_slots (
        owner TEXT NOT NULL PRIMARY KEY, slot TEXT NOT NULL, crc32 INTEGER NOT NULL
    ) WITHOUT ROWID;
";

impl Store {
    /// Opens the state folder, making it if need be, and reads what is kept there.
    pub fn open(folder: &Path, now: Timestamp) -> Result<(Self, Restored), StoreError> {
        let lock = lock(folder)?;
        let mut losses = Vec::new();
        let path = folder.join(DATABASE);
        let loaded = Self::load(folder, &path, "", now, &mut losses);
        let (database, (state, is_unreconciled)) = match loaded {
            Ok(loaded) => loaded,
            Err(Damage::Beyond(error)) => return Err(error),
            Err(Damage::Corrupt(what)) => {
                let (aside, files_aside) = set_aside(folder, &path, now)?;
                let why = format!(
                    "{} was damaged ({what}) and is set aside as {}, the imported lists beside \
                     it: entries, rules, overrides and the journal start anew; single entries and \
                     the mode that the kernel still has are taken over when the daemon starts; \
                     block lists whose files are whole are back, without an end",
                    path.display(),
                    aside.display()
                );
                losses.clear();
                let (database, (mut state, is_unreconciled)) =
                    Self::load(folder, &path, &why, now, &mut losses).map_err(
                        |damage| match damage {
                            Damage::Beyond(error) => error,
                            Damage::Corrupt(what) => {
                                StoreError(format!("{}: {what}", path.display()))
                            }
                        },
                    )?;
                rows::recover_lists(&database, folder, &files_aside, now, &mut state);
                (database, (state, is_unreconciled))
            }
        };
        let store = Self {
            folder: folder.to_owned(),
            database,
            _lock: lock,
        };
        lists::sweep(&store.folder, &store.list_files()?);
        let restored = Restored {
            state,
            losses: losses.iter().map(|loss| safe(loss)).collect(),
            is_unreconciled,
        };
        Ok((store, restored))
    }

    /// Opens the database and reads it; lost rows are told in `losses`. A new one remembers `why`
    /// it is new.
    fn load(
        folder: &Path,
        path: &Path,
        why: &str,
        now: Timestamp,
        losses: &mut Vec<String>,
    ) -> Result<(Connection, (State, bool)), Damage> {
        let database = Self::open_database(path, why, now)?;
        let kept = rows::read(&database, folder, now, losses)?;
        Ok((database, kept))
    }

    fn open_database(path: &Path, why: &str, now: Timestamp) -> Result<Connection, Damage> {
        check_header(path)?;
        let database = Connection::open(path)?;
        database.busy_timeout(std::time::Duration::from_secs(5))?;
        let check: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if check != "ok" {
            return Err(Damage::Corrupt(check));
        }
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", SAFE)?;
        let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                database.execute_batch(&format!("BEGIN; {SCHEMA} {SCHEMA_2}"))?;
                rows::put_unreconciled(&database, why, now)?;
                let end = format!("PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                database.execute_batch(&end)?;
            }
            1 => {
                let all =
                    format!("BEGIN; {SCHEMA_2} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                database.execute_batch(&all)?;
            }
            SCHEMA_VERSION => {}
            odd @ (..0 | MOST_VERSION..) => {
                return Err(Damage::Corrupt(format!("its schema has the number {odd}")));
            }
            newer => {
                return Err(Damage::Beyond(StoreError(format!(
                    "{} was written by a newer floodwall (schema {newer}, this one knows \
                     {SCHEMA_VERSION}): install that version again, or move the file away",
                    path.display()
                ))));
            }
        }
        // A table that lost a column is damage too, and shows here rather than in the middle of
        // an attack.
        for table in [
            "entries",
            "imports",
            "overrides",
            "events",
            "rules",
            "rule_slots",
        ] {
            database.prepare(&format!("SELECT * FROM {table} LIMIT 1"))?;
        }
        Ok(database)
    }

    /// Notes that what the kernel has is known: from now on only what is kept counts.
    pub fn reconciled(&mut self) -> Result<(), StoreError> {
        rows::remove_unreconciled(&self.database)
            .map(drop)
            .map_err(|error| self.error("writing", &error.into()))
    }

    /// Fails every write from now on, as a full disk does.
    #[cfg(test)]
    pub fn refuse_writes(&self) {
        let refused = self.database.pragma_update(None, "query_only", true);
        refused.expect("a pragma");
    }

    /// Takes writes again.
    #[cfg(test)]
    pub fn accept_writes(&self) {
        let accepted = self.database.pragma_update(None, "query_only", false);
        accepted.expect("a pragma");
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a change of what is kept.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.run("BEGIN IMMEDIATE")
    }

    /// Writes changes, within [`Store::begin`] and [`Store::commit`].
    pub fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            rows::write(&self.database, &self.folder, change)
                .map_err(|error| self.error("writing", &error))?;
        }
        Ok(())
    }

    /// Notes which slots rules have, within [`Store::begin`] and [`Store::commit`].
    pub fn write_slots(&mut self, slots: &BTreeMap<String, u32>) -> Result<(), StoreError> {
        rows::write_slots(&self.database, slots).map_err(|error| self.error("writing", &error))
    }

    /// The slots that rules have, by what [`Store::write_slots`] called them.
    pub fn slots(&self) -> Result<BTreeMap<String, u32>, StoreError> {
        rows::read_slots(&self.database).map_err(|error| self.error("reading", &error.into()))
    }

    /// Adds an event to the journal without waiting until it is on the disk: a power cut may lose it,
    /// and a disk that hangs does not hold up who defends this host meanwhile.
    pub fn note(
        &mut self,
        at: Timestamp,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<Event, StoreError> {
        // Within a transaction it cannot be changed, and goes with what is written anyway.
        if !self.database.is_autocommit() {
            return self.journal(at, by, kind, text);
        }
        self.set_synchronous(HASTY)?;
        let event = self.journal(at, by, kind, text);
        self.set_synchronous(SAFE)?;
        event
    }

    fn set_synchronous(&self, how: &str) -> Result<(), StoreError> {
        let set = self.database.pragma_update(None, "synchronous", how);
        set.map_err(|error| self.error("writing", &error.into()))
    }

    /// Adds an event to the journal.
    pub fn journal(
        &mut self,
        at: Timestamp,
        by: &Actor,
        kind: &str,
        text: &str,
    ) -> Result<Event, StoreError> {
        let by = by.to_string();
        let insert = || -> rusqlite::Result<i64> {
            self.database.execute(
                "INSERT INTO events (at, by, kind, text) VALUES (?1, ?2, ?3, ?4)",
                params![at.to_string(), by, kind, text],
            )?;
            let id = self.database.last_insert_rowid();
            if id % 100 == 0 {
                self.database
                    .execute("DELETE FROM events WHERE id <= ?1", [id - JOURNAL])?;
            }
            Ok(id)
        };
        let id = insert().map_err(|error| self.error("writing", &error.into()))?;
        Ok(Event {
            id,
            at,
            by,
            kind: kind.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Makes a change last.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.run("COMMIT")?;
        // A write-ahead log that is damaged amid would silently bring an older state back. What it has is
        // safe where this fails.
        if let Err(error) = self.run("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!("{error}");
        }
        if let Ok(files) = self.list_files() {
            lists::sweep(&self.folder, &files);
        }
        Ok(())
    }

    /// Takes a change back.
    pub fn rollback(&mut self) {
        if let Err(error) = self.run("ROLLBACK") {
            tracing::error!("{error}");
        }
        if let Ok(files) = self.list_files() {
            lists::sweep(&self.folder, &files);
        }
    }

    /// At most `limit` events behind `after`, or the newest; and the id of the last there is.
    pub fn events(
        &self,
        after: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Event>, i64), StoreError> {
        let read = || -> rusqlite::Result<(Vec<Event>, i64)> {
            let last: Option<i64> = self
                .database
                .query_row("SELECT max(id) FROM events", [], |row| row.get(0))
                .optional()?
                .flatten();
            let last = last.unwrap_or(0);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let after = after.unwrap_or_else(|| last.saturating_sub(limit));
            let mut statement = self.database.prepare_cached(
                "SELECT id, at, by, kind, text FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let events = statement
                .query_map([after, limit], event)?
                .collect::<rusqlite::Result<_>>()?;
            Ok((events, last))
        };
        read().map_err(|error| self.error("reading", &error.into()))
    }

    /// Events of a time, at most the last `limit`, by rising id.
    pub fn events_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Event>> {
            let mut statement = self.database.prepare_cached(
                "SELECT id, at, by, kind, text FROM events WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut events = Vec::new();
            let mut rows = statement.query([self.first_event_behind(to)?, limit])?;
            while let Some(row) = rows.next()? {
                let event = event(row)?;
                if event.at < from {
                    break;
                }
                events.push(event);
            }
            events.reverse();
            Ok(events)
        };
        read().map_err(|error| self.error("reading", &error.into()))
    }

    /// The id that an event behind a moment has at least. Times rise with the ids, unless a clock was
    /// set back: halving finds the place among a hundred thousand in 17 steps.
    fn first_event_behind(&self, moment: Timestamp) -> rusqlite::Result<i64> {
        let bounds = "SELECT coalesce(min(id), 0), coalesce(max(id) + 1, 0) FROM events";
        let (mut low, mut high): (i64, i64) = self
            .database
            .query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut statement = self
            .database
            .prepare_cached("SELECT id, at FROM events WHERE id >= ?1 ORDER BY id LIMIT 1")?;
        while low < high {
            let middle = low + (high - low) / 2;
            let (id, at): (i64, Timestamp) =
                statement.query_row([middle], |row| Ok((row.get(0)?, rows::time(row, 1)?)))?;
            if at <= moment {
                low = id + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn list_files(&self) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.database
                .prepare("SELECT file FROM imports")?
                .query_map([], |row| {
                    // A damaged row may hold anything; others must not suffer for it.
                    let name = row.get_ref(0)?.as_bytes().unwrap_or_default();
                    Ok(String::from_utf8_lossy(name).into_owned())
                })?
                .collect()
        };
        read().map_err(|error| self.error("reading", &error.into()))
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.database
            .execute_batch(sql)
            .map_err(|error| self.error("writing", &error.into()))
    }

    fn error(&self, tried: &str, error: &rows::Error) -> StoreError {
        let remedy = if error.is_full() {
            "; the disk is full: make room there"
        } else {
            ""
        };
        StoreError(format!(
            "{tried} {}: {error}{remedy}",
            self.folder.display()
        ))
    }
}

fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(0)?,
        at: rows::time(row, 1)?,
        by: row.get(2)?,
        kind: row.get(3)?,
        text: row.get(4)?,
    })
}

/// What is wrong with a database.
enum Damage {
    /// It can be set aside.
    Corrupt(String),
    /// It must not be touched.
    Beyond(StoreError),
}

impl From<rusqlite::Error> for Damage {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure,
            ) => Self::Beyond(StoreError(format!(
                "the state database cannot be opened: {error}; look at the folder named by \
                     [paths] state: its disk, its room and its permissions"
            ))),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// What SQLite would not complain of: it takes a file without a whole header for a new database,
/// and one of a newer format for one that cannot be written
/// (<https://www.sqlite.org/fileformat.html>, 1.3).
fn check_header(path: &Path) -> Result<(), Damage> {
    const WRITE_VERSION: usize = 18;
    let mut header = [0_u8; 100];
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        // There is none yet, or SQLite says what is wrong with it.
        Err(_) => return Ok(()),
    };
    if file.read_exact(&mut header).is_err() {
        return Err(Damage::Corrupt("it is cut short".to_owned()));
    }
    match header.get(WRITE_VERSION..WRITE_VERSION + 2) {
        Some([1..=2, 1..=2]) => Ok(()),
        _ => Err(Damage::Corrupt("its header is damaged".to_owned())),
    }
}

fn lock(folder: &Path) -> Result<Flock<fs::File>, StoreError> {
    let wrap = |error: io::Error| {
        StoreError(format!(
            "the state folder {}: {error}; see [paths] state",
            folder.display()
        ))
    };
    // Who floods, who is blocked and what the file says is for nobody else to read.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder.join(lists::FOLDER))
        .map_err(wrap)?;
    let file = fs::File::open(folder).map_err(wrap)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
        if error == Errno::EWOULDBLOCK {
            StoreError(format!(
                "another floodwall holds {}: stop it first, or give this one a folder of its own \
                 with [paths] state",
                folder.display()
            ))
        } else {
            wrap(error.into())
        }
    })
}

/// Moves a database, with its journal files and the lists whose rows it had, to names that tell
/// when. Gives where the database lies then, and where the lists do.
fn set_aside(folder: &Path, path: &Path, now: Timestamp) -> Result<(PathBuf, PathBuf), StoreError> {
    let failed = |error: io::Error| {
        StoreError(format!(
            "{} is damaged and cannot be set aside: {error}",
            path.display()
        ))
    };
    let name = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let aside = name(&format!(".corrupt-{}", now.as_millisecond()));
    for suffix in ["", "-wal", "-shm"] {
        let to = PathBuf::from(format!("{}{suffix}", aside.display()));
        match fs::rename(name(suffix), &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let files = folder.join(lists::FOLDER);
    let files_aside = format!("{}.corrupt-{}", files.display(), now.as_millisecond());
    let files_aside = PathBuf::from(files_aside);
    fs::rename(&files, &files_aside)
        .and_then(|()| fs::create_dir(&files))
        .map_err(failed)?;
    Ok((aside, files_aside))
}
