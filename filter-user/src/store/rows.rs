//! Changes as rows, and rows as state.

use std::{fmt, io, path::Path, sync::Arc};

use filter_common::abi::settings::Class;
use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::lists;
use crate::{
    api::types::ListKind,
    config::units::{parse_class, parse_limit},
    core::{
        decide::{limit_name, mode_text},
        lists::{Imported, Note},
        state::{Change, ModeChoice, Set, State},
    },
    stats::reasons,
};

/// What can go wrong with rows and files.
#[derive(Debug)]
pub enum Error {
    /// In the database.
    Database(rusqlite::Error),
    /// In a list file.
    File(io::Error),
}

impl Error {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::File(error) => error.kind() == io::ErrorKind::StorageFull,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(formatter),
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Writes a change.
pub fn write(database: &Connection, folder: &Path, change: &Change) -> Result<(), Error> {
    match change {
        Change::Manual(kind, prefix, None) => {
            database
                .prepare_cached("DELETE FROM entries WHERE list = ?1 AND prefix = ?2")?
                .execute(params![kind.noun(), prefix.to_string()])?;
        }
        Change::Manual(kind, prefix, Some(note)) => {
            database
                .prepare_cached(
                    "INSERT OR REPLACE INTO entries (list, prefix, reason, by, since, until)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    kind.noun(),
                    prefix.to_string(),
                    note.reason,
                    note.by,
                    note.since.to_string(),
                    text(note.until)
                ])?;
        }
        Change::Import(kind, name, None) => {
            database.execute(
                "DELETE FROM imports WHERE list = ?1 AND name = ?2",
                params![kind.noun(), name],
            )?;
        }
        Change::Import(kind, name, Some(list)) => {
            let prefix = format!("{}-{name}", kind.noun());
            let file = lists::write(folder, &prefix, &list.prefixes)?;
            let note = &list.note;
            database.execute(
                "INSERT OR REPLACE INTO imports (list, name, reason, by, since, until, file)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    kind.noun(),
                    name,
                    note.reason,
                    note.by,
                    note.since.to_string(),
                    text(note.until),
                    file
                ],
            )?;
        }
        Change::Mode(set) => {
            write_override(database, MODE, set.as_ref(), mode_text)?;
        }
        Change::Limit(class, set) => {
            let name = format!("{LIMIT}{}", limit_name(*class));
            write_override(database, &name, set.as_ref(), |rate| {
                rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
            })?;
        }
        Change::Detached(interface, set) => {
            let name = format!("{DETACHED}{interface}");
            write_override(database, &name, set.as_ref(), |()| String::new())?;
        }
    }
    Ok(())
}

const MODE: &str = "mode";
const LIMIT: &str = "limit.";
const DETACHED: &str = "detached.";

fn write_override<T>(
    database: &Connection,
    name: &str,
    set: Option<&Set<T>>,
    value: impl Fn(&T) -> String,
) -> rusqlite::Result<usize> {
    match set {
        None => database.execute("DELETE FROM overrides WHERE name = ?1", [name]),
        Some(set) => database.execute(
            "INSERT OR REPLACE INTO overrides (name, value, by, since, until)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                name,
                value(&set.value),
                set.by,
                set.since.to_string(),
                text(set.until)
            ],
        ),
    }
}

fn text(until: Option<Timestamp>) -> Option<String> {
    until.map(|until| until.to_string())
}

/// Reads everything. What cannot be read is named in `losses`.
pub fn read(
    database: &Connection,
    folder: &Path,
    now: Timestamp,
    losses: &mut Vec<String>,
) -> Result<State, Error> {
    let mut state = State::default();
    let mut changes = Vec::new();

    let mut statement =
        database.prepare("SELECT list, prefix, reason, by, since, until FROM entries")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match entry(row) {
            Ok(change) => changes.push(change),
            Err(error) => losses.push(format!("an entry could not be read and is lost: {error}")),
        }
    }

    let mut statement =
        database.prepare("SELECT list, name, reason, by, since, until, file FROM imports")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, file): (String, String) = (row.get(1)?, row.get(6)?);
        match (kind(row), lists::read(folder, &file), note(row)) {
            (Ok(kind), Ok(prefixes), Ok(note)) => {
                let list = Imported {
                    prefixes: Arc::from(prefixes),
                    note,
                };
                changes.push(Change::Import(kind, name, Some(list)));
            }
            (_, Err(error), _) => {
                lists::set_aside(folder, &file);
                losses.push(format!(
                    "the imported list {name} could not be read ({file}: {error}) and is set \
                     aside: import it again"
                ));
            }
            (Err(error), ..) | (.., Err(error)) => {
                losses.push(format!("the imported list {name} is lost: {error}"));
            }
        }
    }

    let mut statement = database.prepare("SELECT name, value, by, since, until FROM overrides")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        match override_(row, &name) {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => losses.push(format!("the override {name} is unknown and was ignored")),
            Err(error) => losses.push(format!("the override {name} is lost: {error}")),
        }
    }

    for change in changes {
        state.apply(change);
    }
    for change in state.expired(now) {
        state.apply(change);
    }
    Ok(state)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Change> {
    let prefix: String = row.get(1)?;
    let prefix: IpNet = prefix.parse().map_err(|error| conversion(1, error))?;
    Ok(Change::Manual(kind(row)?, prefix, Some(note(row)?)))
}

/// Columns: 2 reason, 3 by, 4 since, 5 until.
fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        reason: row.get(2)?,
        by: row.get(3)?,
        since: time(row, 4)?,
        until: end(row, 5)?,
    })
}

fn kind(row: &Row<'_>) -> rusqlite::Result<ListKind> {
    let noun: String = row.get(0)?;
    ListKind::ALL
        .into_iter()
        .find(|kind| kind.noun() == noun)
        .ok_or(rusqlite::Error::InvalidColumnName(noun))
}

/// Columns: 1 value, 2 by, 3 since, 4 until.
fn override_(row: &Row<'_>, name: &str) -> rusqlite::Result<Option<Change>> {
    let value: String = row.get(1)?;
    if name == MODE {
        return Ok(mode(&value)
            .map(|mode| set(row, mode))
            .transpose()?
            .map(Some)
            .map(Change::Mode));
    }
    if let Some(interface) = name.strip_prefix(DETACHED) {
        return Ok(Some(Change::Detached(
            interface.to_owned(),
            Some(set(row, ())?),
        )));
    }
    let class: Option<Class> = name
        .strip_prefix(LIMIT)
        .and_then(|name| parse_class(name).ok());
    match (class, parse_limit(&value)) {
        (Some(class), Ok(rate)) => Ok(Some(Change::Limit(class, Some(set(row, rate)?)))),
        _ => Ok(None),
    }
}

fn set<T>(row: &Row<'_>, value: T) -> rusqlite::Result<Set<T>> {
    Ok(Set {
        value,
        by: row.get(2)?,
        since: time(row, 3)?,
        until: end(row, 4)?,
    })
}

/// The inverse of [`mode_text`].
fn mode(text: &str) -> Option<ModeChoice> {
    use crate::api::types::Mode;
    let mut words = text.split(' ');
    let mode = match words.next()? {
        "monitor" => Mode::Monitor,
        "enforce" => Mode::Enforce,
        _ => return None,
    };
    let reasons = words.map(reasons::by_name).collect::<Option<_>>()?;
    Some(ModeChoice { mode, reasons })
}

/// A time in a column.
pub fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| conversion(column, error))
}

fn end(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| conversion(column, error))
}

fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
