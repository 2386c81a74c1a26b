//! A row of the table of golden packets, and the scenarios that rows are in.

use filter_common::abi::reason::Reason;

use crate::force::Force;

/// A sentence, a frame, and what becomes of it.
pub struct Row {
    pub says: &'static str,
    pub frame: Vec<u8>,
    pub reason: Reason,
    /// What would have dropped it, were it enforced.
    pub observed: Option<Reason>,
    pub is_sampled: bool,
}

/// Rows under the same settings and lists. They run in order, and limits remember.
pub struct Scenario {
    pub name: &'static str,
    pub force: Force,
    pub rows: Vec<Row>,
}

pub fn row(says: &'static str, frame: Vec<u8>, reason: Reason) -> Row {
    Row {
        says,
        frame,
        reason,
        observed: None,
        is_sampled: true,
    }
}

impl Row {
    /// Only watched: it would have been dropped for this.
    pub fn observed(mut self, reason: Reason) -> Self {
        self.observed = Some(reason);
        self
    }

    /// The budget of samples is used up.
    pub fn unsampled(mut self) -> Self {
        self.is_sampled = false;
        self
    }
}
