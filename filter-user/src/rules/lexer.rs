//! Words and signs of a rule's text, each with its place.

use std::ops::Range;

use super::error::SyntaxError;
use crate::config::text::is_hidden;

/// Most bytes of a rule's text.
pub const MOST_TEXT: usize = 1024;

/// A word, or one of the signs `<`, `>`, `<=`, `>=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// What stands there.
    pub text: &'t str,
    /// Where, in bytes.
    pub place: Range<usize>,
}

/// Takes a text apart.
pub fn tokens(text: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    if text.len() > MOST_TEXT {
        let start: String = text.chars().take(MOST_TEXT / 16).collect();
        let message = format!(
            "the rule has {} bytes, the most is {MOST_TEXT}: split it into several",
            text.len()
        );
        return Err(SyntaxError::new(&start, 0..start.len(), message));
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len().saturating_sub(rest.len());
        let length = if first.is_whitespace() && !is_odd(first) {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        } else if is_odd(first) {
            return Err(SyntaxError::new(
                text,
                at..at.saturating_add(first.len_utf8()),
                format!(
                    "U+{:04X} is not printable or changes how the rest is shown: leave it out",
                    u32::from(first)
                ),
            ));
        } else if is_sign(first) {
            let double = rest.get(first.len_utf8()..).unwrap_or_default();
            if double.starts_with('=') { 2 } else { 1 }
        } else {
            let ends = |c: char| c.is_whitespace() || is_sign(c) || is_odd(c);
            rest.find(ends).unwrap_or(rest.len())
        };
        let (word, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        found.push(Token {
            text: word,
            place: at..at.saturating_add(word.len()),
        });
        rest = behind;
    }
    Ok(found)
}

const fn is_sign(character: char) -> bool {
    matches!(character, '<' | '>')
}

/// Not to be shown as it is; tabs and line ends are white space like any other.
fn is_odd(character: char) -> bool {
    is_hidden(character) && !matches!(character, '\t' | '\n' | '\r')
}
