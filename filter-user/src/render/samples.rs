//! `floodwall samples`.

use std::io::{self, Write};

use super::{Columns, Style, safe, table, time};
use crate::api::types::SampledPacket;

/// Sampled packets, a line each.
pub fn render(out: &mut impl Write, samples: &[SampledPacket], style: &Style) -> io::Result<()> {
    if samples.is_empty() {
        return writeln!(out, "No packet was sampled.");
    }
    let rows = samples.iter().map(|sample| {
        vec![
            time(sample.at),
            format!("{}/{}", safe(&sample.interface), sample.queue),
            if sample.dropped { "dropped" } else { "passed" }.to_owned(),
            safe(&sample.reason),
            sample.length.to_string(),
            safe(&sample.summary),
        ]
    });
    let names = &["at", "from/queue", "fate", "reason", "bytes", "packet"];
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[4],
        },
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{at, plain};

    #[test]
    fn a_sample_says_where_it_came_in_and_what_became_of_it() {
        let sample = SampledPacket {
            at: at("2026-01-02T03:04:05Z"),
            interface: "eth0".to_owned(),
            queue: 3,
            reason: "blocked".to_owned(),
            dropped: true,
            length: 60,
            summary: "192.0.2.9:1 > 198.51.100.1:80 TCP SYN".to_owned(),
            bytes: String::new(),
        };
        let expected = "\
AT                    FROM/QUEUE  FATE     REASON   BYTES  PACKET
2026-01-02 03:04:05Z  eth0/3      dropped  blocked     60  192.0.2.9:1 > 198.51.100.1:80 TCP SYN
";
        assert_eq!(plain(|out, style| render(out, &[sample], style)), expected);
        assert_eq!(
            plain(|out, style| render(out, &[], style)),
            "No packet was sampled.\n"
        );
    }
}
