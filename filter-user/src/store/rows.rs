//! Changes as rows, and rows as state.

use std::{collections::BTreeMap, fmt, io, num::ParseIntError, path::Path, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::lists;
use crate::{
    api::types::ListKind,
    config::{
        defence::{self, DefenceMode},
        limit::{LimitName, format_limit},
    },
    core::{
        decide::mode_text,
        lists::{Imported, Note},
        rules::AddedRule,
        state::{Change, ModeChoice, Set, State},
    },
    rules::SyntaxError,
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
    if !change.is_kept() {
        return Ok(());
    }
    match change {
        Change::Manual(kind, prefix, None) => {
            database
                .prepare_cached("DELETE FROM entries WHERE list = ?1 AND prefix = ?2")?
                .execute(params![kind.noun(), prefix.to_string()])?;
        }
        Change::Manual(kind, prefix, Some(note)) => {
            let insert = "INSERT OR REPLACE INTO entries
                (list, prefix, reason, by, since, until, crc32) VALUES (?, ?, ?, ?, ?, ?, ?)";
            let row = [
                Some(kind.noun().to_owned()),
                Some(prefix.to_string()),
                Some(note.reason.clone()),
                Some(note.by.clone()),
                Some(note.since.to_string()),
                text(note.until),
            ];
            put(database, insert, &row)?;
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
            let insert = "INSERT OR REPLACE INTO imports
                (list, name, reason, by, since, until, file, number, crc32)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let row = [
                Some(kind.noun().to_owned()),
                Some(name.clone()),
                Some(note.reason.clone()),
                Some(note.by.clone()),
                Some(note.since.to_string()),
                text(note.until),
                Some(file),
                list.number.map(|number| number.to_string()),
            ];
            put_with(database, insert, &row, checksum_of_import(&row))?;
        }
        Change::Mode(set) => {
            write_override(database, MODE, set.as_ref(), mode_text)?;
        }
        Change::Limit(name, set) => {
            let name = format!("{LIMIT}{name}");
            write_override(database, &name, set.as_ref(), |rate| format_limit(*rate))?;
        }
        Change::Defence(defence, set) => {
            let name = format!("{DEFENCE}{}", defence::name(*defence));
            write_override(database, &name, set.as_ref(), ToString::to_string)?;
        }
        Change::CookiePort(port, set) => {
            let name = format!("{COOKIE_PORT}{port}");
            write_override(database, &name, set.as_ref(), |on| {
                on_or_off(*on).to_string()
            })?;
        }
        Change::Rule(number, None) => {
            database.execute("DELETE FROM rules WHERE number = ?1", [number.to_string()])?;
        }
        Change::Rule(number, Some(added)) => {
            let insert = "INSERT OR REPLACE INTO rules
                (number, rule, reason, by, since, until, place, crc32)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            let row = [
                Some(number.to_string()),
                Some(added.rule.to_string()),
                Some(added.note.reason.clone()),
                Some(added.note.by.clone()),
                Some(added.note.since.to_string()),
                text(added.note.until),
                Some(added.place.to_string()),
            ];
            put(database, insert, &row)?;
        }
        Change::NextRule(number) => {
            let set = Set {
                value: *number,
                by: String::new(),
                since: Timestamp::UNIX_EPOCH,
                until: None,
            };
            write_override(database, NEXT_RULE, Some(&set), ToString::to_string)?;
        }
        Change::Detached(interface, set) => {
            let name = format!("{DETACHED}{interface}");
            write_override(database, &name, set.as_ref(), |()| String::new())?;
        }
        Change::HeldDefence(..) | Change::HeldLimit(..) | Change::Veto(..) => {}
    }
    Ok(())
}

const MODE: &str = "mode";
/// No override: what is kept was begun anew, and the kernel may know more. A row like the others,
/// so that damage to it shows; the value says what was lost.
const UNRECONCILED: &str = "unreconciled";
/// No override: the number of the next rule.
const NEXT_RULE: &str = "rule.next";
const LIMIT: &str = "limit.";
const DETACHED: &str = "detached.";
const DEFENCE: &str = "defence.";
const COOKIE_PORT: &str = "cookies.";

const fn on_or_off(on: bool) -> DefenceMode {
    if on {
        DefenceMode::On
    } else {
        DefenceMode::Off
    }
}

fn write_override<T>(
    database: &Connection,
    name: &str,
    set: Option<&Set<T>>,
    value: impl Fn(&T) -> String,
) -> rusqlite::Result<usize> {
    match set {
        None => database.execute("DELETE FROM overrides WHERE name = ?1", [name]),
        Some(set) => {
            let insert = "INSERT OR REPLACE INTO overrides
                (name, value, by, since, until, crc32) VALUES (?, ?, ?, ?, ?, ?)";
            let row = [
                Some(name.to_owned()),
                Some(value(&set.value)),
                Some(set.by.clone()),
                Some(set.since.to_string()),
                text(set.until),
            ];
            put(database, insert, &row)
        }
    }
}

/// Notes that what is kept was begun anew, and why.
pub fn put_unreconciled(
    database: &Connection,
    why: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let set = Set {
        value: why.to_owned(),
        by: String::new(),
        since: now,
        until: None,
    };
    write_override(database, UNRECONCILED, Some(&set), Clone::clone)
}

/// Takes that note back.
pub fn remove_unreconciled(database: &Connection) -> rusqlite::Result<usize> {
    write_override::<()>(database, UNRECONCILED, None, |()| String::new())
}

fn text(until: Option<Timestamp>) -> Option<String> {
    until.map(|until| until.to_string())
}

/// Writes a row with its checksum behind it, for SQLite keeps none.
fn put(database: &Connection, insert: &str, row: &[Option<String>]) -> rusqlite::Result<usize> {
    put_with(database, insert, row, checksum(row))
}

fn put_with(
    database: &Connection,
    insert: &str,
    row: &[Option<String>],
    checksum: u32,
) -> rusqlite::Result<usize> {
    let mut statement = database.prepare_cached(insert)?;
    let mut place = 1;
    for column in row {
        statement.raw_bind_parameter(place, column)?;
        place += 1;
    }
    statement.raw_bind_parameter(place, checksum)?;
    statement.raw_execute()
}

fn checksum(row: &[Option<String>]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for column in row {
        let text = column.as_deref().unwrap_or_default();
        // The lengths keep columns apart, and nothing from an empty text.
        let length = column.as_ref().map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize()
}

/// A number that is not there does not count, for version 1 knew none.
fn checksum_of_import(row: &[Option<String>]) -> u32 {
    match row {
        [first @ .., None] => checksum(first),
        all => checksum(all),
    }
}

/// Says whether a row of so many columns is as it was written.
fn check(row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
    check_by(row, columns, checksum)
}

fn check_by(
    row: &Row<'_>,
    columns: usize,
    checksum: impl Fn(&[Option<String>]) -> u32,
) -> rusqlite::Result<()> {
    let texts: Vec<Option<String>> = (0..columns)
        .map(|column| row.get(column))
        .collect::<rusqlite::Result<_>>()?;
    if row.get::<_, u32>(columns)? == checksum(&texts) {
        return Ok(());
    }
    let what = io::Error::new(io::ErrorKind::InvalidData, "its checksum does not match");
    Err(conversion(columns, what))
}

/// Reads everything, and whether it was begun anew and not yet compared with the kernel's. What
/// cannot be read is named in `losses`.
pub fn read(
    database: &Connection,
    folder: &Path,
    now: Timestamp,
    losses: &mut Vec<String>,
) -> rusqlite::Result<(State, bool)> {
    let mut state = State::default();
    let mut changes = Vec::new();
    let mut is_unreconciled = false;

    let mut statement =
        database.prepare("SELECT list, prefix, reason, by, since, until, crc32 FROM entries")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match entry(row) {
            Ok(change) => changes.push(change),
            Err(error) => losses.push(format!("an entry could not be read and is lost: {error}")),
        }
    }

    let mut statement = database
        .prepare("SELECT list, name, reason, by, since, until, file, number, crc32 FROM imports")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match import(row) {
            Ok((kind, name, file, number, note)) => match lists::read(folder, &file) {
                Ok(prefixes) => {
                    let prefixes = Arc::from(prefixes);
                    let list = Imported {
                        prefixes,
                        note,
                        number,
                    };
                    changes.push(Change::Import(kind, name, Some(list)));
                }
                Err(error) => {
                    lists::set_aside(folder, &file);
                    losses.push(format!(
                        "the imported list {name} could not be read ({file}: {error}) and is set \
                         aside: import it again"
                    ));
                }
            },
            Err(error) => losses.push(format!("an imported list is lost: {error}")),
        }
    }

    let mut statement = database
        .prepare("SELECT number, rule, reason, by, since, until, place, crc32 FROM rules")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match rule(row) {
            Ok(change) => changes.push(change),
            Err(error) => losses.push(format!("a rule could not be read and is lost: {error}")),
        }
    }

    let mut statement =
        database.prepare("SELECT name, value, by, since, until, crc32 FROM overrides")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match override_(row) {
            Ok(Kept::Change(change)) => changes.push(change),
            Ok(Kept::Unreconciled(why)) => {
                is_unreconciled = true;
                losses.extend(Some(why).filter(|why| !why.is_empty()));
            }
            Err(error) => losses.push(format!("an override is lost: {error}")),
        }
    }

    for change in changes {
        state.apply(change);
    }
    state.number_lists();
    for change in state.expired(now) {
        // A row that cannot be removed now is left out again next time.
        let _ = write(database, folder, &change);
        state.apply(change);
    }
    Ok((state, is_unreconciled))
}

/// Takes block lists over whose files are whole, after their rows were lost. The kernel cannot give
/// them back: it knows addresses, and not who listed them.
pub fn recover_lists(
    database: &Connection,
    folder: &Path,
    files: &Path,
    now: Timestamp,
    state: &mut State,
) {
    for (name, prefixes) in lists::whole(files, "block-") {
        let list = Imported {
            prefixes: Arc::from(prefixes),
            note: Note {
                reason: "recovered from its file".to_owned(),
                by: "floodwall".to_owned(),
                since: now,
                until: None,
            },
            number: None,
        };
        let _ = state.apply(Change::Import(ListKind::Block, name, Some(list)));
    }
    state.number_lists();
    for (name, list) in &state.list(ListKind::Block).imports {
        let change = Change::Import(ListKind::Block, name.clone(), Some(list.clone()));
        if let Err(error) = write(database, folder, &change) {
            // It is in force all the same, until the next start.
            tracing::error!("keeping the recovered list {name}: {error}");
        }
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Change> {
    check(row, 6)?;
    let prefix: String = row.get(1)?;
    let prefix: IpNet = prefix.parse().map_err(|error| conversion(1, error))?;
    Ok(Change::Manual(kind(row)?, prefix, Some(note(row)?)))
}

/// Which list, its name, its file, its number, and what is known of it.
fn import(row: &Row<'_>) -> rusqlite::Result<(ListKind, String, String, Option<u8>, Note)> {
    check_by(row, 8, checksum_of_import)?;
    let number: Option<String> = row.get(7)?;
    let number = number
        .map(|number| number.parse())
        .transpose()
        .map_err(|error| conversion(7, error))?;
    Ok((kind(row)?, row.get(1)?, row.get(6)?, number, note(row)?))
}

fn rule(row: &Row<'_>) -> rusqlite::Result<Change> {
    check(row, 7)?;
    let texts: [String; 3] = [row.get(0)?, row.get(1)?, row.get(6)?];
    let [number, rule, place] = texts;
    let added = AddedRule {
        place: place
            .parse()
            .map_err(|error: ParseIntError| conversion(6, error))?,
        rule: rule
            .parse()
            .map_err(|error: SyntaxError| conversion(1, error))?,
        note: note(row)?,
    };
    let number = number
        .parse()
        .map_err(|error: ParseIntError| conversion(0, error))?;
    Ok(Change::Rule(number, Some(added)))
}

/// Replaces the slots of rules, by who has them.
pub fn write_slots(database: &Connection, slots: &BTreeMap<String, u32>) -> Result<(), Error> {
    database.execute("DELETE FROM rule_slots", [])?;
    for (owner, slot) in slots {
        let insert = "INSERT INTO rule_slots (owner, slot, crc32) VALUES (?, ?, ?)";
        put(
            database,
            insert,
            &[Some(owner.clone()), Some(slot.to_string())],
        )?;
    }
    Ok(())
}

/// The slots of rules. What cannot be read is left out: its rule gets another, and counts anew.
pub fn read_slots(database: &Connection) -> rusqlite::Result<BTreeMap<String, u32>> {
    let mut statement = database.prepare("SELECT owner, slot, crc32 FROM rule_slots")?;
    let mut rows = statement.query([])?;
    let mut slots = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let whole = check(row, 2).and_then(|()| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        if let Ok((owner, slot)) = whole
            && let Ok(slot) = slot.parse()
        {
            slots.insert(owner, slot);
        }
    }
    Ok(slots)
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

/// What a row of the overrides says.
enum Kept {
    Change(Change),
    Unreconciled(String),
}

/// Columns: 0 name, 1 value, 2 by, 3 since, 4 until.
fn override_(row: &Row<'_>) -> rusqlite::Result<Kept> {
    check(row, 5)?;
    let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
    let unknown = || {
        let what = format!("{name} = {value} is none that this floodwall knows");
        conversion(0, io::Error::new(io::ErrorKind::InvalidData, what))
    };
    if name == UNRECONCILED {
        return Ok(Kept::Unreconciled(value));
    }
    if name == NEXT_RULE {
        let number = value.parse().map_err(|_| unknown())?;
        return Ok(Kept::Change(Change::NextRule(number)));
    }
    if name == MODE {
        let mode = mode(&value).ok_or_else(unknown)?;
        return Ok(Kept::Change(Change::Mode(Some(set(row, mode)?))));
    }
    if let Some(interface) = name.strip_prefix(DETACHED) {
        let change = Change::Detached(interface.to_owned(), Some(set(row, ())?));
        return Ok(Kept::Change(change));
    }
    if let Some(defence) = name.strip_prefix(DEFENCE) {
        let defence = defence::by_name(defence).map_err(|_| unknown())?;
        let mode = value.parse().map_err(|_| unknown())?;
        let change = Change::Defence(defence, Some(set(row, mode)?));
        return Ok(Kept::Change(change));
    }
    if let Some(port) = name.strip_prefix(COOKIE_PORT) {
        let port = port.parse().map_err(|_| unknown())?;
        let on = [true, false]
            .into_iter()
            .find(|on| on_or_off(*on).word() == value);
        let change = Change::CookiePort(port, Some(set(row, on.ok_or_else(unknown)?)?));
        return Ok(Kept::Change(change));
    }
    let limit: Option<LimitName> = name.strip_prefix(LIMIT).and_then(|name| name.parse().ok());
    let limit = limit.and_then(|name| Some((name.measure().parse(&value).ok()?, name)));
    let (rate, name) = limit.ok_or_else(unknown)?;
    Ok(Kept::Change(Change::Limit(name, Some(set(row, rate)?))))
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
