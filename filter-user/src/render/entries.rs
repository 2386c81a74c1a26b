//! Entries of a list, page after page.

use std::io::{self, Write};

use super::{number, safe, time, until};
use crate::api::types::Entry;

const NAMES: [&str; 7] = [
    "PREFIX", "LIST", "BY", "SINCE", "UNTIL", "PACKETS", "REASON",
];

/// Rows whose columns are as wide as the first page needs: a million of them are written as they
/// come.
#[derive(Debug, Default)]
pub struct Rows {
    widths: Option<[usize; 7]>,
}

impl Rows {
    /// A page.
    pub fn page(&mut self, out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
        let rows: Vec<_> = entries.iter().map(cells).collect();
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let mut widths = NAMES.map(str::len);
                for row in &rows {
                    for (width, cell) in widths.iter_mut().zip(row) {
                        *width = (*width).max(cell.chars().count());
                    }
                }
                self.widths = Some(widths);
                line(out, &widths, &NAMES.map(str::to_owned))?;
                widths
            }
        };
        rows.iter().try_for_each(|row| line(out, &widths, row))
    }
}

/// Entries as a table of their own.
pub fn render(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    Rows::default().page(out, entries)
}

fn cells(entry: &Entry) -> [String; 7] {
    [
        entry.prefix.to_string(),
        safe(&entry.list),
        safe(&entry.by),
        time(entry.since),
        until(entry.until),
        entry
            .packets
            .map_or_else(|| "-".to_owned(), number::grouped),
        safe(&entry.reason),
    ]
}

fn line(out: &mut impl Write, widths: &[usize; 7], row: &[String; 7]) -> io::Result<()> {
    let mut text = String::new();
    for (index, (width, cell)) in widths.iter().zip(row).enumerate() {
        let packets = index == 5;
        let cell = if packets {
            format!("{cell:>width$}  ")
        } else {
            format!("{cell:<width$}  ")
        };
        text.push_str(&cell);
    }
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{at, plain};

    fn entry(prefix: &str, packets: Option<u64>) -> Entry {
        Entry {
            prefix: prefix.parse().unwrap(),
            kind: crate::api::types::ListKind::Block,
            list: "manual".to_owned(),
            reason: "scans\x07".to_owned(),
            by: "uid 0 (root)".to_owned(),
            since: at("2026-01-02T03:04:05Z"),
            until: None,
            packets,
        }
    }

    #[test]
    fn pages_share_one_heading() {
        let expected = "\
PREFIX        LIST    BY            SINCE                 UNTIL     PACKETS  REASON
192.0.2.0/24  manual  uid 0 (root)  2026-01-02 03:04:05Z  for ever    1,234  scans\\u{7}
192.0.2.9/32  manual  uid 0 (root)  2026-01-02 03:04:05Z  for ever        -  scans\\u{7}
";
        let text = plain(|out, _| {
            let mut rows = Rows::default();
            rows.page(out, &[entry("192.0.2.0/24", Some(1234))])?;
            rows.page(out, &[entry("192.0.2.9/32", None)])
        });
        assert_eq!(text, expected);
    }
}
