//! `floodwall why`.

use std::io::{self, Write};

use super::{Style, Tone, bullets, entries, safe};
use crate::api::types::{Action, Why};

/// What would happen, and because of what.
pub fn render(out: &mut impl Write, why: &Why, style: &Style) -> io::Result<()> {
    let (word, tone) = match (why.action, why.enforced) {
        (Action::Drop, _) => ("DROPPED", Tone::Bad),
        (Action::Answer, _) => ("ANSWERED", Tone::Warning),
        (Action::Pass, true) => ("PASSES", Tone::Good),
        (Action::Pass, false) => ("PASSES, would be dropped if enforced", Tone::Warning),
    };
    let reason = safe(&why.reason);
    writeln!(
        out,
        "{} {} ({reason})",
        why.address,
        style.paint(tone, word)
    )?;
    writeln!(out, "{}", safe(&why.sentence))?;
    if !why.entries.is_empty() {
        writeln!(out)?;
        writeln!(out, "Entries that cover it, the one that decides first:")?;
        entries::render(out, &why.entries)?;
    }
    if !why.rules.is_empty() {
        writeln!(out)?;
        writeln!(out, "Rules:")?;
        bullets(out, &why.rules)?;
    }
    if !why.limits.is_empty() {
        writeln!(out)?;
        writeln!(out, "Limits:")?;
        bullets(out, &why.limits)?;
    }
    if !why.defences.is_empty() {
        writeln!(out)?;
        writeln!(out, "Defences:")?;
        bullets(out, &why.defences)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::SCHEMA, render::tests::plain};

    #[test]
    fn a_drop_that_is_only_watched_is_said_to_pass() {
        let why = Why {
            schema: SCHEMA,
            address: "192.0.2.9".parse().unwrap(),
            action: Action::Pass,
            reason: "blocked".to_owned(),
            enforced: false,
            sentence: "The source is on the blocklist.".to_owned(),
            entries: Vec::new(),
            rules: vec!["rule 7 (drop udp) would drop it".to_owned()],
            limits: vec!["source.syn: 3 of 200 left".to_owned()],
            defences: vec!["icmp does not look at it".to_owned()],
        };
        let expected = "\
192.0.2.9 PASSES, would be dropped if enforced (blocked)
The source is on the blocklist.

Rules:
  - rule 7 (drop udp) would drop it

Limits:
  - source.syn: 3 of 200 left

Defences:
  - icmp does not look at it
";
        assert_eq!(plain(|out, style| render(out, &why, style)), expected);
    }
}
