//! What people see: pure functions from what the API says to text.

pub mod defences;
pub mod diff;
pub mod doctor;
pub mod entries;
pub mod events;
pub mod incidents;
pub mod limits;
pub mod lists;
pub mod number;
pub mod outcome;
pub mod rules;
pub mod samples;
pub mod services;
pub mod stats;
pub mod status;
pub mod why;

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::{Timestamp, Unit};

pub use crate::config::text::safe;

/// What the reader can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; unlimited if there is none.
    pub width: Option<u16>,
    /// Whether it shows colours.
    pub colour: bool,
}

/// How loud something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Look here.
    Warning,
    /// Look here first.
    Bad,
}

impl Style {
    /// Text in a colour, where colours are shown.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Warning => "1;33",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A point in time, to the nearest second as in the daemon's own sentences, in UTC.
pub fn time(at: Timestamp) -> String {
    let at = at.round(Unit::Second).unwrap_or(at);
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The end of something.
pub fn until(end: Option<Timestamp>) -> String {
    end.map_or_else(|| "for ever".to_owned(), time)
}

/// A heading, and the columns below it that hold numbers.
struct Columns<'a> {
    names: &'a [&'a str],
    numbers: &'a [usize],
}

/// Rows under a heading, numbers to the right.
fn table(
    out: &mut impl Write,
    style: &Style,
    columns: &Columns<'_>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if let Some(width) = style.width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table.set_header(columns.names.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for index in columns.numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Lines behind a mark.
fn bullets(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "  - {}", safe(line)))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What is rendered without a terminal.
    pub fn plain(render: impl FnOnce(&mut Vec<u8>, &Style) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        render(&mut out, &Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A point in time.
    pub fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(
            safe("a\x1b[31mb\u{202e}c\nd é"),
            "a\\u{1b}[31mb\\u{202e}c\\nd é"
        );
    }

    #[test]
    fn colours_are_shown_only_where_they_are_wanted() {
        assert_eq!(Style::default().paint(Tone::Bad, "x"), "x");
        let colour = Style {
            width: None,
            colour: true,
        };
        assert_eq!(colour.paint(Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
    }

    #[test]
    fn a_narrow_terminal_wraps_words_inside_columns() {
        let mut out = Vec::new();
        let style = Style {
            width: Some(24),
            colour: false,
        };
        let columns = Columns {
            names: &["a", "b"],
            numbers: &[0],
        };
        let rows = [vec![
            "1".to_owned(),
            "some words that are too long".to_owned(),
        ]];
        table(&mut out, &style, &columns, rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines().all(|line| line.chars().count() <= 24),
            "{text}"
        );
    }
}
