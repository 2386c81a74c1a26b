//! What a reload would change.

use std::io::{self, Write};

use super::{Columns, Style, Tone, number, safe, table};
use crate::api::types::ConfigDiff;

/// The keys, and whom it would hit.
pub fn render(out: &mut impl Write, diff: &ConfigDiff, style: &Style) -> io::Result<()> {
    if diff.changes.is_empty() {
        writeln!(out, "A reload would change nothing.")?;
    } else {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), safe);
        let rows = diff.changes.iter().map(|change| {
            vec![
                safe(&change.name),
                value(&change.before),
                value(&change.after),
            ]
        });
        let columns = Columns {
            names: &["key", "in force", "would be"],
            numbers: &[],
        };
        table(out, style, &columns, rows)?;
    }
    if let Some(key) = &diff.restart {
        let line = format!("`{}` takes a restart: a reload would be refused", safe(key));
        writeln!(out, "{}", style.paint(Tone::Warning, &line))?;
    }
    writeln!(out)?;
    let samples = number::grouped(diff.samples);
    if diff.hits.is_empty() {
        return writeln!(
            out,
            "Of {samples} packets that were sampled within an hour and passed, all still would. \
             What limits do is not foretold."
        );
    }
    writeln!(
        out,
        "Of {samples} packets that were sampled within an hour and passed, these would not:"
    )?;
    let rows = diff.hits.iter().map(|hit| {
        vec![
            hit.source.to_string(),
            number::grouped(hit.packets),
            safe(&hit.cause),
        ]
    });
    let columns = Columns {
        names: &["source", "packets", "because of"],
        numbers: &[1],
    };
    table(out, style, &columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::{ConfigHit, KeyChange, SCHEMA},
        render::tests::plain,
    };

    #[test]
    fn what_would_change_and_whom_it_would_hit() {
        let mut diff = ConfigDiff {
            schema: SCHEMA,
            changes: vec![KeyChange {
                name: "rules".to_owned(),
                before: None,
                after: Some("\"drop udp\"".to_owned()),
            }],
            restart: Some("tables".to_owned()),
            samples: 1_234,
            hits: vec![ConfigHit {
                source: [192, 0, 2, 7].into(),
                packets: 12,
                cause: "drop udp".to_owned(),
            }],
        };
        let text = plain(|out, style| render(out, &diff, style));
        for words in [
            "\"drop udp\"",
            "1,234 packets",
            "192.0.2.7",
            "`tables` takes a restart",
        ] {
            assert!(text.contains(words), "{text}");
        }
        diff.changes.clear();
        diff.hits.clear();
        let text = plain(|out, style| render(out, &diff, style));
        assert!(text.starts_with("A reload would change nothing."), "{text}");
        assert!(text.contains("all still would"), "{text}");
    }
}
