//! Imported lists, a row each.

use std::io::{self, Write};

use super::{Columns, Style, number, safe, table, time, until};
use crate::api::types::ListStatus;

/// A table and an empty line; nothing if there is no list.
pub fn render(out: &mut impl Write, lists: &[ListStatus], style: &Style) -> io::Result<()> {
    if lists.is_empty() {
        return Ok(());
    }
    let none = || "-".to_owned();
    let rows = lists.iter().map(|list| {
        vec![
            safe(&list.name),
            number::grouped(list.members),
            list.hits
                .map_or_else(none, |hits| number::grouped(hits.packets)),
            list.hits
                .map_or_else(none, |hits| number::bytes(hits.bytes)),
            safe(&list.by),
            time(list.since),
            until(list.until),
            safe(&list.reason),
        ]
    });
    let names = &[
        "imported list",
        "members",
        "packets",
        "bytes",
        "by",
        "since",
        "until",
        "reason",
    ];
    let columns = Columns {
        names,
        numbers: &[1, 2, 3],
    };
    table(out, style, &columns, rows)?;
    writeln!(out)
}

/// Only what the members met.
pub fn brief(out: &mut impl Write, lists: &[ListStatus], style: &Style) -> io::Result<()> {
    let rows = lists.iter().map(|list| {
        let hits = list.hits.unwrap_or_default();
        vec![
            safe(&list.name),
            number::grouped(list.members),
            number::grouped(hits.packets),
            number::bytes(hits.bytes),
        ]
    });
    let columns = Columns {
        names: &["imported list", "members", "packets", "bytes"],
        numbers: &[1, 2, 3],
    };
    table(out, style, &columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::Count,
        render::tests::{at, plain},
    };

    #[test]
    fn a_list_is_a_row_with_what_it_met() {
        let list = ListStatus {
            name: "feed".to_owned(),
            members: 1_000_000,
            hits: Some(Count {
                packets: 1_234,
                bytes: 74_040,
            }),
            reason: "daily".to_owned(),
            by: "uid 0".to_owned(),
            since: at("2026-01-02T03:04:05Z"),
            until: None,
        };
        let expected = "\
IMPORTED LIST    MEMBERS  PACKETS    BYTES  BY     SINCE                 UNTIL     REASON
feed           1,000,000    1,234  74.0 kB  uid 0  2026-01-02 03:04:05Z  for ever  daily

";
        let lists = [list];
        assert_eq!(plain(|out, style| render(out, &lists, style)), expected);
        assert_eq!(plain(|out, style| render(out, &[], style)), "");
    }
}
