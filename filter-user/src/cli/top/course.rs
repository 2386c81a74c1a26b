//! The last ten minutes, second by second.

use std::collections::BTreeMap;

use crate::{
    api::types::{HistoryPage, Stats},
    detect::View,
};

/// Seconds that are shown.
pub const SPAN: i64 = 600;

/// Packets within a second, or what is known of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    pub passed: f64,
    pub stopped: f64,
    /// `None` where only the controller remembers it.
    pub would_stop: Option<f64>,
}

/// The last ten minutes, as far as they are known.
#[derive(Debug, Default)]
pub struct Course(BTreeMap<i64, Second>);

impl Course {
    /// From the daemon's history, which may lack the last minute.
    pub fn recall(&mut self, page: &HistoryPage) {
        for second in &page.seconds {
            let known = Second {
                passed: second.passed.packets as f64,
                stopped: second.stopped.packets as f64,
                would_stop: Some(second.would_stop.packets as f64),
            };
            self.0.insert(second.at.as_second(), known);
        }
    }

    /// From what the controller remembers, where nothing better is known.
    pub fn fill(&mut self, view: &View) {
        for (second, at) in view.history.iter().rev().zip((0..).map(|age: i64| -age)) {
            let at = view.at.as_second().saturating_add(at);
            self.0.entry(at).or_insert(Second {
                passed: (second.packets - second.stopped).max(0.0),
                stopped: second.stopped,
                would_stop: None,
            });
        }
    }

    /// From the rates of the last second.
    pub fn add(&mut self, stats: &Stats) {
        let rates = &stats.rates;
        let at = stats.at.as_second();
        let second = Second {
            passed: rates.passed,
            stopped: rates.dropped + rates.answered,
            would_stop: Some(rates.would_drop),
        };
        self.0.insert(at, second);
        // A clock that was set back leaves nothing behind.
        let (first, last) = (at.saturating_sub(SPAN), at);
        self.0.retain(|at, _| (first..=last).contains(at));
    }

    /// The strongest second of each of `columns` spans of equal length up to `last`, oldest first;
    /// `None` where nothing is known.
    pub fn columns(
        &self,
        last: i64,
        columns: u16,
        of: impl Fn(&Second) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let mut strongest = vec![None::<f64>; usize::from(columns)];
        for (at, second) in &self.0 {
            let age = last.saturating_sub(*at);
            if !(0..SPAN).contains(&age) {
                continue;
            }
            let column = (SPAN - 1 - age) * i64::from(columns) / SPAN;
            let slot = usize::try_from(column)
                .ok()
                .and_then(|index| strongest.get_mut(index));
            if let (Some(slot), Some(value)) = (slot, of(second)) {
                *slot = Some(slot.unwrap_or(0.0).max(value));
            }
        }
        strongest
    }
}
