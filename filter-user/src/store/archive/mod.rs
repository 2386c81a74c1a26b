//! What came, second by second, what was made of it, and what the controller learned: in a database
//! of its own, for it is large, written all the time, and worth less than what operators said. Damage
//! to it, or a full disk, costs history and nothing else.

mod incidents;
mod retention;
pub mod seconds;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use self::seconds::Second;
use super::{Damage, StoreError, check_header, rows};
use crate::{
    config::text::safe,
    detect::{Memory, output::Report},
};

const DATABASE: &str = "history.db";
const SCHEMA_VERSION: i64 = 1;
const MOST_VERSION: i64 = 1000;
/// Rows of times are found by them; `kept` are those around incidents.
const SCHEMA: &str = "
    CREATE TABLE incidents (
        id INTEGER PRIMARY KEY, closed INTEGER, report TEXT NOT NULL, crc32 INTEGER NOT NULL
    );
    CREATE TABLE seconds (
        id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
        kept INTEGER NOT NULL, data BLOB NOT NULL, crc32 INTEGER NOT NULL
    );
    CREATE INDEX seconds_last ON seconds (last);
    CREATE TABLE memory (
        id INTEGER PRIMARY KEY CHECK (id = 1), memory TEXT NOT NULL, crc32 INTEGER NOT NULL
    );
";
const TABLES: [&str; 3] = ["incidents", "seconds", "memory"];
/// Seconds before an incident, and behind it, that are kept with it.
pub const AROUND: i64 = 60;

/// The database.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    database: Connection,
    is_damaged: Cell<bool>,
}

/// What is written at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The newest report of each incident.
    pub incidents: BTreeMap<u64, Report>,
    /// Seconds, in the order in which they passed.
    pub seconds: Vec<Second>,
    /// Whether these seconds are kept as long as incidents.
    pub is_kept: bool,
    /// From when on what is there already is kept so too.
    pub keep_from: Option<i64>,
    /// What the controller learned.
    pub memory: Option<Memory>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty() && self.seconds.is_empty() && self.memory.is_none()
    }
}

/// Seconds that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// By rising time.
    pub seconds: Vec<Second>,
    /// Where to go on, if there are more.
    pub next: Option<i64>,
    /// Blocks that were damaged, of up to a minute each.
    pub damaged: u64,
}

impl Archive {
    /// Opens it in the state folder, making it if need be. One that is damaged is set aside, and that
    /// is told beside the new one.
    pub fn open(folder: &Path, now: Timestamp) -> Result<(Self, Option<String>), StoreError> {
        let path = folder.join(DATABASE);
        match open_database(&path) {
            Ok(database) => Ok((Self::of(path, database), None)),
            Err(Damage::Beyond(error)) => Err(error),
            Err(Damage::Corrupt(what)) => Self::anew(path, &what, now),
        }
    }

    /// Sets one aside that showed itself damaged while it was used.
    pub fn replace(self, now: Timestamp) -> Result<(Self, Option<String>), StoreError> {
        let Self { path, database, .. } = self;
        drop(database);
        Self::anew(path, "a page of it cannot be read", now)
    }

    fn anew(
        path: PathBuf,
        what: &str,
        now: Timestamp,
    ) -> Result<(Self, Option<String>), StoreError> {
        let aside = set_aside(&path, now)?;
        let loss = format!(
            "{} was damaged ({what}) and is set aside as {}: incidents, their seconds and what was \
             learned of calm traffic start anew",
            path.display(),
            aside.display()
        );
        let database = open_database(&path).map_err(|damage| match damage {
            Damage::Beyond(error) => error,
            Damage::Corrupt(what) => StoreError(format!("{}: {what}", path.display())),
        })?;
        Ok((Self::of(path, database), Some(safe(&loss))))
    }

    fn of(path: PathBuf, database: Connection) -> Self {
        Self {
            path,
            database,
            is_damaged: Cell::new(false),
        }
    }

    /// Whether something could not be read or written because it is damaged.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.get()
    }

    /// Opens it a second time, for reading beside whoever writes.
    pub fn reader(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        let open = || -> rusqlite::Result<Connection> {
            use rusqlite::OpenFlags;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let database = Connection::open_with_flags(&path, flags)?;
            database.pragma_update(None, "query_only", true)?;
            Ok(database)
        };
        let database = open().map_err(|error| {
            StoreError(format!(
                "reading {}: {error}; `floodwall status` says what is wrong with it",
                path.display()
            ))
        })?;
        Ok(Self::of(path, database))
    }

    /// Writes all of a batch, or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.database.transaction()?;
            for report in batch.incidents.values() {
                incidents::write(&transaction, report)?;
            }
            if let Some(from) = batch.keep_from {
                transaction.execute("UPDATE seconds SET kept = 1 WHERE last >= ?1", [from])?;
            }
            for block in blocks(&batch.seconds) {
                write_block(&transaction, block, batch.is_kept)?;
            }
            if let Some(memory) = &batch.memory {
                write_memory(&transaction, memory)?;
            }
            transaction.commit()
        };
        write().map_err(|error| self.error("writing", error))
    }

    /// What the controller learned, if anything was kept; what cannot be read is an error, and gone
    /// with the next writing.
    pub fn memory(&self) -> Result<Option<Memory>, StoreError> {
        let read =
            self.database
                .query_row("SELECT memory, crc32 FROM memory WHERE id = 1", [], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
                });
        let damaged = |what: &str| {
            StoreError(format!(
                "what was learned of calm traffic could not be read ({what}) and is learned anew"
            ))
        };
        match read.optional() {
            Ok(None) => Ok(None),
            Ok(Some((text, sum))) if crc32fast::hash(text.as_bytes()) == sum => {
                serde_json::from_str(&text)
                    .map(Some)
                    .map_err(|error| damaged(&error.to_string()))
            }
            Ok(Some(_)) => Err(damaged("its checksum does not match")),
            Err(error) => Err(damaged(&error.to_string())),
        }
    }

    /// Seconds of a time, both ends included, at most `limit`.
    pub fn seconds(&self, from: i64, to: i64, limit: usize) -> Result<Found, StoreError> {
        let read = || -> rusqlite::Result<Found> {
            let mut found = Found::default();
            // A block ends at most so long after it began.
            let mut statement = self.database.prepare_cached(
                "SELECT first, data, crc32 FROM seconds WHERE last >= ?1 AND first <= ?2
                 ORDER BY last, id",
            )?;
            let mut rows = statement.query([from, to])?;
            while let Some(row) = rows.next()? {
                let (first, data) = (row.get(0)?, row.get_ref(1)?.as_bytes()?);
                let whole = row.get::<_, u32>(2)? == checksum(first, data);
                let Some(block) = seconds::decode(first, data).filter(|_| whole) else {
                    found.damaged += 1;
                    continue;
                };
                for second in block {
                    if !(from..=to).contains(&second.at) {
                        continue;
                    }
                    if found.seconds.len() == limit {
                        found.next = Some(second.at);
                        return Ok(found);
                    }
                    found.seconds.push(second);
                }
            }
            Ok(found)
        };
        read().map_err(|error| self.error("reading", error))
    }

    /// The end of the last second that was kept.
    pub fn last_second(&self) -> Result<Option<i64>, StoreError> {
        self.database
            .query_row("SELECT max(last) FROM seconds", [], |row| row.get(0))
            .map_err(|error| self.error("reading", error))
    }

    fn error(&self, tried: &str, error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        if let Some(DatabaseCorrupt | NotADatabase) = error.sqlite_error_code() {
            self.is_damaged.set(true);
        }
        let error = rows::Error::from(error);
        let remedy = if error.is_full() {
            "; the disk is full: make room there. The filter and the controller go on without it"
        } else {
            ""
        };
        StoreError(format!("{tried} {}: {error}{remedy}", self.path.display()))
    }
}

fn open_database(path: &Path) -> Result<Connection, Damage> {
    check_header(path)?;
    let database = Connection::open(path)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => {
            // Addresses are nobody's business; the files beside it follow its mode.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|error| {
                Damage::Beyond(StoreError(format!("{}: {error}", path.display())))
            })?;
            // Before there are tables, else all has to be written again.
            database.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            database.pragma_update(None, "journal_mode", "WAL")?;
            let all = format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
            database.execute_batch(&all)?;
        }
        SCHEMA_VERSION => {}
        odd @ (..0 | MOST_VERSION..) => {
            return Err(Damage::Corrupt(format!("its schema has the number {odd}")));
        }
        newer => {
            return Err(Damage::Beyond(StoreError(format!(
                "{} was written by a newer floodwall (schema {newer}, this one knows \
                 {SCHEMA_VERSION}): incidents are not kept; install that version again, or move the \
                 file away",
                path.display()
            ))));
        }
    }
    // After a power cut the last seconds may be missing; what is there is whole.
    database.pragma_update(None, "synchronous", "NORMAL")?;
    for table in TABLES {
        database.prepare(&format!("SELECT * FROM {table} LIMIT 1"))?;
    }
    Ok(database)
}

fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let name = |base: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", base.display()));
    let aside = name(path, &format!(".corrupt-{}", now.as_millisecond()));
    for suffix in ["", "-wal", "-shm"] {
        match fs::rename(name(path, suffix), name(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError(format!(
                    "{} is damaged and cannot be set aside: {error}",
                    path.display()
                )));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// Seconds in pieces that fit a row, each by rising time: a clock may be set back.
fn blocks(seconds: &[Second]) -> impl Iterator<Item = &[Second]> {
    seconds
        .chunk_by(|before, after| before.at <= after.at && after.at - before.at <= AROUND)
        .flat_map(|rising| rising.chunks(seconds::MOST))
}

fn write_block(database: &Connection, block: &[Second], kept: bool) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (block.first(), block.last()) else {
        return Ok(());
    };
    let data = seconds::encode(block);
    database
        .prepare_cached(
            "INSERT INTO seconds (first, last, kept, data, crc32) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            first.at,
            last.at,
            kept,
            data,
            checksum(first.at, &data)
        ])?;
    Ok(())
}

fn checksum(first: i64, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&first.to_le_bytes());
    hasher.update(data);
    hasher.finalize()
}

fn write_memory(database: &Connection, memory: &Memory) -> rusqlite::Result<()> {
    let text = as_json(memory)?;
    let sum = crc32fast::hash(text.as_bytes());
    database.execute(
        "INSERT OR REPLACE INTO memory (id, memory, crc32) VALUES (1, ?1, ?2)",
        params![text, sum],
    )?;
    Ok(())
}

fn as_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
