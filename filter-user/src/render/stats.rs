//! `floodwall stats`.

use std::io::{self, Write};

use super::{Columns, Style, lists, number, safe, table, time};
use crate::api::types::{Count, Stats};

/// Rates by reason, the highest first.
pub fn render(out: &mut impl Write, stats: &Stats, style: &Style) -> io::Result<()> {
    writeln!(out, "{}, over {:.1} s", time(stats.at), stats.seconds)?;
    writeln!(out)?;
    let row = |name: &str, rate: f64, count: Count| {
        vec![
            name.to_owned(),
            number::rate(rate),
            number::grouped(count.packets),
            number::bytes(count.bytes),
        ]
    };
    let (rates, totals) = (&stats.rates, &stats.totals);
    let rows = [
        row("received", rates.received, totals.received),
        row("passed", rates.passed, totals.passed),
        row("dropped", rates.dropped, totals.dropped),
        row("answered", rates.answered, totals.answered),
        row("would drop", rates.would_drop, totals.would_drop),
    ];
    let columns = Columns {
        names: &["all", "now", "packets", "bytes"],
        numbers: &[1, 2, 3],
    };
    table(out, style, &columns, rows)?;
    writeln!(out)?;
    let mut reasons: Vec<_> = stats
        .reasons
        .iter()
        .filter(|(_, reason)| reason.packets > 0)
        .collect();
    reasons.sort_by(|(_, one), (_, other)| {
        other
            .packets_per_second
            .total_cmp(&one.packets_per_second)
            .then(other.packets.cmp(&one.packets))
    });
    let rows = reasons.into_iter().map(|(name, reason)| {
        vec![
            safe(name),
            number::rate(reason.packets_per_second),
            number::rate(reason.would_drop_per_second),
            number::grouped(reason.packets),
            number::bytes(reason.bytes),
        ]
    });
    let names = &["reason", "now", "would drop", "packets", "bytes"];
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[1, 2, 3, 4],
        },
        rows,
    )?;
    if stats.lists.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    lists::brief(out, &stats.lists, style)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::types::{Rates, ReasonRate, SCHEMA, Totals},
        render::tests::{at, plain},
    };

    #[test]
    fn the_busiest_reason_comes_first_and_silent_ones_are_left_out() {
        let reason = |packets_per_second, packets| ReasonRate {
            packets_per_second,
            bytes_per_second: 0.0,
            would_drop_per_second: 0.0,
            packets,
            bytes: 1_500,
        };
        let stats = Stats {
            schema: SCHEMA,
            at: at("2026-01-02T03:04:05.6Z"),
            seconds: 1.0,
            reasons: BTreeMap::from([
                ("blocked".to_owned(), reason(2_000_000.0, 5_000_000)),
                ("clean".to_owned(), reason(10.0, 9_000_000)),
                ("land".to_owned(), reason(0.0, 0)),
            ]),
            rates: Rates {
                received: 2_000_010.0,
                passed: 10.0,
                dropped: 2e6,
                answered: 0.0,
                would_drop: 0.0,
            },
            totals: Totals::default(),
            lists: Vec::new(),
        };
        let expected = "\
2026-01-02 03:04:06Z, over 1.0 s

ALL                 NOW  PACKETS  BYTES
received    2,000,010/s        0    0 B
passed             10/s        0    0 B
dropped     2,000,000/s        0    0 B
answered            0/s        0    0 B
would drop          0/s        0    0 B

REASON           NOW  WOULD DROP    PACKETS   BYTES
blocked  2,000,000/s         0/s  5,000,000  1.5 kB
clean           10/s         0/s  9,000,000  1.5 kB
";
        assert_eq!(plain(|out, style| render(out, &stats, style)), expected);
    }
}
