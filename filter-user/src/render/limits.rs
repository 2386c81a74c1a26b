//! `floodwall limit show`.

use std::io::{self, Write};

use super::{Columns, Style, safe, table, time, until};
use crate::api::types::Limits;

/// Limits, and when they bite.
pub fn render(out: &mut impl Write, limits: &Limits, style: &Style) -> io::Result<()> {
    let rows = limits.limits.iter().map(|limit| {
        vec![
            safe(&limit.name),
            safe(&limit.rate),
            safe(&limit.holds),
            safe(&limit.by),
            until(limit.until),
        ]
    });
    let names = &["limit", "rate", "holds", "by", "until"];
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[],
        },
        rows,
    )?;
    writeln!(
        out,
        "Those marked `pressure` bite while one CPU gets more than {}.",
        safe(&limits.pressure)
    )?;
    for limit in &limits.limits {
        if let Some(held) = &limit.held {
            let name = safe(&limit.name);
            writeln!(
                out,
                "  - {name}: the controller lowers it until {}: {}; `floodwall limit auto {name}` ends \
                 it",
                time(held.until),
                safe(&held.reason)
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::{LimitStatus, SCHEMA},
        render::tests::plain,
    };

    #[test]
    fn limits_say_who_set_them_and_when_they_bite() {
        let limits = Limits {
            schema: SCHEMA,
            pressure: "20000/s".to_owned(),
            limits: vec![LimitStatus {
                name: "source.syn".to_owned(),
                rate: "200/s burst 200".to_owned(),
                holds: "pressure".to_owned(),
                by: "default".to_owned(),
                until: None,
                held: None,
            }],
        };
        let expected = "\
LIMIT       RATE             HOLDS     BY       UNTIL
source.syn  200/s burst 200  pressure  default  for ever
Those marked `pressure` bite while one CPU gets more than 20000/s.
";
        assert_eq!(plain(|out, style| render(out, &limits, style)), expected);
    }
}
