//! What is kept for how long.

use jiff::Timestamp;
use rusqlite::params;

use super::Archive;
use crate::{config::incidents::Incidents, store::StoreError};

/// Rows that a step removes at most, so that it is short.
const STEP: usize = 200;

impl Archive {
    /// Removes some of what is too old or too much; tells whether there may be more to remove.
    pub fn prune(&mut self, keep: &Incidents, now: Timestamp) -> Result<bool, StoreError> {
        let step = || -> rusqlite::Result<bool> {
            let since = |age: std::time::Duration| {
                now.as_second()
                    .saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
            };
            let step = i64::try_from(STEP).unwrap_or(i64::MAX);
            let seconds = self.database.execute(
                "DELETE FROM seconds WHERE id IN (
                    SELECT id FROM seconds WHERE last < ?1 OR last < ?2 AND kept = 0 LIMIT ?3)",
                params![
                    since(keep.keep.max(keep.seconds)),
                    since(keep.seconds),
                    step
                ],
            )?;
            let incidents = self.database.execute(
                "DELETE FROM incidents WHERE id IN (
                    SELECT id FROM incidents WHERE closed < ?1 LIMIT ?2)",
                params![since(keep.keep), step],
            )?;
            let crowded = self.make_room(keep.room)?;
            // Gives pages back to the file system, some at a time.
            self.database
                .execute_batch("PRAGMA incremental_vacuum(256)")?;
            Ok(seconds == STEP || incidents == STEP || crowded)
        };
        step().map_err(|error| self.error("pruning", error))
    }

    /// Removes the oldest of what does not fit: calm first, then what is around incidents, then
    /// incidents that are over.
    fn make_room(&self, room: u64) -> rusqlite::Result<bool> {
        let size: i64 = self.database.query_row(
            "SELECT (SELECT coalesce(sum(octet_length(data)), 0) FROM seconds)
                  + (SELECT coalesce(sum(octet_length(report)), 0) FROM incidents)",
            [],
            |row| row.get(0),
        )?;
        let mut excess = size.cast_unsigned().saturating_sub(room);
        let candidates = [
            (
                "seconds",
                "SELECT id, octet_length(data) FROM seconds WHERE kept = 0 ORDER BY last",
            ),
            (
                "seconds",
                "SELECT id, octet_length(data) FROM seconds ORDER BY last",
            ),
            (
                "incidents",
                "SELECT id, octet_length(report) FROM incidents WHERE closed IS NOT NULL ORDER BY id",
            ),
        ];
        let mut removed = 0;
        for (table, oldest) in candidates {
            if excess == 0 || removed == STEP {
                break;
            }
            let mut gone = Vec::new();
            {
                let mut statement = self.database.prepare_cached(oldest)?;
                let mut rows = statement.query([])?;
                while excess > 0
                    && removed < STEP
                    && let Some(row) = rows.next()?
                {
                    gone.push(row.get::<_, i64>(0)?);
                    excess = excess.saturating_sub(row.get::<_, i64>(1)?.cast_unsigned());
                    removed += 1;
                }
            }
            let delete = format!("DELETE FROM {table} WHERE id = ?1");
            let mut statement = self.database.prepare_cached(&delete)?;
            for id in gone {
                statement.execute([id])?;
            }
        }
        Ok(excess > 0 && removed > 0)
    }
}
