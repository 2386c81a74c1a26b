//! What is wrong with a rule's text, and where.

use std::{fmt, ops::Range};

use crate::config::text::is_hidden;

/// What is wrong with a rule's text, and where.
///
/// `Display` is one line; [`SyntaxError::pointing`] shows the text and points.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    text: String,
    place: Range<usize>,
    message: String,
}

impl SyntaxError {
    /// `place` is in bytes of `text`.
    pub(super) fn new(text: &str, place: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            text: text.to_owned(),
            place,
            message: message.into(),
        }
    }

    /// What is wrong, and how it is right.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of the text that it is about; none, behind the last word, if the text ends too early.
    pub const fn place(&self) -> &Range<usize> {
        &self.place
    }

    /// The columns it is about, in characters, the first being 1; the last is included.
    pub fn columns(&self) -> (usize, usize) {
        let count = |bytes: usize| {
            let before = self.text.get(..bytes).unwrap_or(&self.text);
            before.chars().count()
        };
        // Where the text ends too early, the next word would stand behind a space.
        let gap = usize::from(self.place.is_empty() && self.place.end > 0);
        let first = count(self.place.start)
            .saturating_add(gap)
            .saturating_add(1);
        (first, count(self.place.end).max(first))
    }

    /// The message, the text beneath it, and beneath that carets where it is wrong.
    pub fn pointing(&self) -> String {
        let (first, last) = self.columns();
        let shown: String = self
            .text
            .chars()
            .map(|character| match is_hidden(character) {
                true => char::REPLACEMENT_CHARACTER,
                false => character,
            })
            .collect();
        let before = " ".repeat(first.saturating_sub(1));
        let carets = "^".repeat(last.saturating_sub(first).saturating_add(1));
        format!("{}\n  {shown}\n  {before}{carets}", self.message)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (column, _) = self.columns();
        write!(formatter, "column {column}: {}", self.message)
    }
}
