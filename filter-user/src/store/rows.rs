//! Changes as rows, and rows as state.

use std::{collections::BTreeMap, fmt, io, num::ParseIntError, path::Path, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{lists, trial};
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
        Change::Mode(_)
        | Change::Limit(..)
        | Change::Defence(..)
        | Change::CookiePort(..)
        | Change::Detached(..)
        | Change::NextRule(_) => {
            if let Some((name, set)) = override_of(change) {
                write_override(database, &name, set.as_ref())?;
            }
        }
        Change::Trial(kept) => {
            let set = kept.as_deref().map(trial::as_set);
            write_override(database, TRIAL, set.as_ref())?;
        }
        Change::Unconfirmed(texts) => {
            let set = texts.as_deref().map(trial::texts_as_set);
            write_override(database, UNCONFIRMED, set.as_ref())?;
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
/// No override: what waits for confirmation.
const TRIAL: &str = "trial";
/// No override: texts of the configuration.
const UNCONFIRMED: &str = "config.unconfirmed";
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

/// The row of an override: its name, and what it says unless it is gone.
pub(super) fn override_of(change: &Change) -> Option<(String, Option<Set<String>>)> {
    fn texts<T>(set: Option<&Set<T>>, text: impl Fn(&T) -> String) -> Option<Set<String>> {
        set.map(|set| Set {
            value: text(&set.value),
            by: set.by.clone(),
            since: set.since,
            until: set.until,
        })
    }
    Some(match change {
        Change::Mode(set) => (MODE.to_owned(), texts(set.as_ref(), mode_text)),
        Change::Limit(name, set) => {
            let rate = texts(set.as_ref(), |rate| format_limit(*rate));
            (format!("{LIMIT}{name}"), rate)
        }
        Change::Defence(defence, set) => {
            let name = format!("{DEFENCE}{}", defence::name(*defence));
            (name, texts(set.as_ref(), ToString::to_string))
        }
        Change::CookiePort(port, set) => {
            let on = texts(set.as_ref(), |on| on_or_off(*on).to_string());
            (format!("{COOKIE_PORT}{port}"), on)
        }
        Change::NextRule(number) => {
            let set = Set {
                value: number.to_string(),
                by: String::new(),
                since: Timestamp::UNIX_EPOCH,
                until: None,
            };
            (NEXT_RULE.to_owned(), Some(set))
        }
        Change::Detached(interface, set) => {
            let set = texts(set.as_ref(), |()| String::new());
            (format!("{DETACHED}{interface}"), set)
        }
        Change::Manual(..)
        | Change::Import(..)
        | Change::Rule(..)
        | Change::HeldDefence(..)
        | Change::HeldLimit(..)
        | Change::Veto(..)
        | Change::Trial(_)
        | Change::Unconfirmed(_) => return None,
    })
}

fn write_override(
    database: &Connection,
    name: &str,
    set: Option<&Set<String>>,
) -> rusqlite::Result<usize> {
    match set {
        None => database.execute("DELETE FROM overrides WHERE name = ?1", [name]),
        Some(set) => {
            let insert = "INSERT OR REPLACE INTO overrides
                (name, value, by, since, until, crc32) VALUES (?, ?, ?, ?, ?, ?)";
            let row = [
                Some(name.to_owned()),
                Some(set.value.clone()),
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
    write_override(database, UNRECONCILED, Some(&set))
}

/// Takes that note back.
pub fn remove_unreconciled(database: &Connection) -> rusqlite::Result<usize> {
    write_override(database, UNRECONCILED, None)
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
    if name == UNRECONCILED {
        return Ok(Kept::Unreconciled(value));
    }
    let set = set(row, value)?;
    if name == TRIAL {
        let kept = trial::of_set(&set).ok_or_else(|| unknown(&name, &set.value))?;
        return Ok(Kept::Change(Change::Trial(Some(Box::new(kept)))));
    }
    if name == UNCONFIRMED {
        let texts = trial::texts_of_set(&set).ok_or_else(|| unknown(&name, &set.value))?;
        return Ok(Kept::Change(Change::Unconfirmed(Some(Box::new(texts)))));
    }
    let value = set.value.clone();
    let change = change_of(&name, Some(set));
    change
        .map(Kept::Change)
        .ok_or_else(|| unknown(&name, &value))
}

fn unknown(name: &str, value: &str) -> rusqlite::Error {
    let what = format!("{name} = {value} is none that this floodwall knows");
    conversion(0, io::Error::new(io::ErrorKind::InvalidData, what))
}

/// The inverse of [`override_of`].
pub(super) fn change_of(name: &str, set: Option<Set<String>>) -> Option<Change> {
    fn parsed<T>(
        set: Option<Set<String>>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Option<Set<T>>> {
        let Some(set) = set else {
            return Some(None);
        };
        Some(Some(Set {
            value: parse(&set.value)?,
            by: set.by,
            since: set.since,
            until: set.until,
        }))
    }
    if name == NEXT_RULE {
        return Some(Change::NextRule(set?.value.parse().ok()?));
    }
    if name == MODE {
        return Some(Change::Mode(parsed(set, mode)?));
    }
    if let Some(interface) = name.strip_prefix(DETACHED) {
        let set = parsed(set, |_| Some(()))?;
        return Some(Change::Detached(interface.to_owned(), set));
    }
    if let Some(defence) = name.strip_prefix(DEFENCE) {
        let defence = defence::by_name(defence).ok()?;
        return Some(Change::Defence(
            defence,
            parsed(set, |mode| mode.parse().ok())?,
        ));
    }
    if let Some(port) = name.strip_prefix(COOKIE_PORT) {
        let on = |value: &str| {
            let mut both = [true, false].into_iter();
            both.find(|on| on_or_off(*on).word() == value)
        };
        return Some(Change::CookiePort(port.parse().ok()?, parsed(set, on)?));
    }
    let limit: LimitName = name.strip_prefix(LIMIT)?.parse().ok()?;
    let measure = limit.measure();
    let set = parsed(set, |value| measure.parse(value).ok())?;
    Some(Change::Limit(limit, set))
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
