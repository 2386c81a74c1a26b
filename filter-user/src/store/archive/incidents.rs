//! Incidents as rows.

use rusqlite::{Connection, Row, params};

use super::{Archive, as_json};
use crate::{detect::output::Report, store::StoreError};

/// Incidents that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Newest first.
    pub reports: Vec<Report>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// How many there are in all.
    pub total: u64,
    /// Numbers of those whose report was damaged.
    pub damaged: Vec<u64>,
}

/// Writes a report in place of the one before.
pub(super) fn write(database: &Connection, report: &Report) -> rusqlite::Result<()> {
    let text = as_json(report)?;
    let sum = checksum(report.id, &text);
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO incidents (id, closed, report, crc32) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            report.id.cast_signed(),
            report.end.map(|end| end.as_second()),
            text,
            sum
        ])?;
    Ok(())
}

fn checksum(id: u64, text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize()
}

/// The number of a row, and its report if it is whole.
fn read(row: &Row<'_>) -> rusqlite::Result<(u64, Option<Report>)> {
    let id = row.get::<_, i64>(0)?.cast_unsigned();
    // A damaged row may hold anything.
    let text = row.get_ref(1)?.as_str().unwrap_or_default();
    let sum: Option<u32> = row.get(2).ok();
    let report = (sum == Some(checksum(id, text)))
        .then(|| serde_json::from_str(text).ok())
        .flatten();
    Ok((id, report))
}

impl Archive {
    /// At most `limit` incidents with a number below `before`, or the newest.
    pub fn incidents(&self, before: Option<u64>, limit: usize) -> Result<Page, StoreError> {
        let all = || -> rusqlite::Result<Page> {
            let mut page = Page::default();
            let total: i64 =
                self.database
                    .query_row("SELECT count(*) FROM incidents", [], |row| row.get(0))?;
            page.total = total.cast_unsigned();
            let before = before.map_or(i64::MAX, |id| i64::try_from(id).unwrap_or(i64::MAX));
            let mut statement = self.database.prepare_cached(
                "SELECT id, report, crc32 FROM incidents WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
            let mut rows = statement.query([before, one_more])?;
            while let Some(row) = rows.next()? {
                if page.reports.len() + page.damaged.len() == limit {
                    page.has_more = true;
                    break;
                }
                match read(row)? {
                    (_, Some(report)) => page.reports.push(report),
                    (id, None) => page.damaged.push(id),
                }
            }
            Ok(page)
        };
        all().map_err(|error| self.error("reading", error))
    }

    /// One incident; `None` if there is none of this number.
    pub fn incident(&self, id: u64) -> Result<Option<Report>, StoreError> {
        let page = self.incidents(Some(id.saturating_add(1)), 1)?;
        if page.damaged.contains(&id) {
            return Err(StoreError(format!(
                "the report of incident {id} is damaged, or was written by another version of \
                 floodwall; its seconds may be there: see `/v1/history`"
            )));
        }
        let report = page.reports.into_iter().next();
        Ok(report.filter(|report| report.id == id))
    }

    /// Incidents that did not end while somebody watched.
    pub fn open_incidents(&self) -> Result<Vec<Report>, StoreError> {
        let all = || -> rusqlite::Result<Vec<Report>> {
            let mut statement = self.database.prepare(
                "SELECT id, report, crc32 FROM incidents WHERE closed IS NULL ORDER BY id",
            )?;
            let rows = statement.query_map([], read)?;
            rows.filter_map(|row| row.map(|(_, report)| report).transpose())
                .collect()
        };
        all().map_err(|error| self.error("reading", error))
    }

    /// The number that no incident has had.
    pub fn next_incident(&self) -> Result<u64, StoreError> {
        let last: Option<i64> = self
            .database
            .query_row("SELECT max(id) FROM incidents", [], |row| row.get(0))
            .map_err(|error| self.error("reading", error))?;
        Ok(last.map_or(1, |last| last.cast_unsigned().saturating_add(1)))
    }
}
