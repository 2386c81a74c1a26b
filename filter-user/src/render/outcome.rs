//! What a change did.

use std::io::{self, Write};

use super::{number, safe};
use crate::api::types::Outcome;

/// The notes, or the numbers where there are none.
pub fn render(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    if outcome.dry_run {
        writeln!(out, "Only tried, nothing was changed:")?;
    }
    for note in &outcome.notes {
        writeln!(out, "{}", safe(note))?;
    }
    let counts = [
        (outcome.added, "added"),
        (outcome.updated, "updated"),
        (outcome.removed, "removed"),
    ];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", number::grouped(*count)))
        .collect();
    match (counts.is_empty(), outcome.notes.is_empty()) {
        (false, _) => writeln!(out, "Entries: {}.", counts.join(", ")),
        (true, true) => writeln!(out, "Done; nothing was different before."),
        (true, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::SCHEMA, render::tests::plain};

    #[test]
    fn an_outcome_says_what_changed() {
        let outcome = Outcome {
            schema: SCHEMA,
            dry_run: true,
            added: 1_000_000,
            updated: 0,
            removed: 3,
            rules: Vec::new(),
            notes: vec!["blocked the list feed".to_owned()],
        };
        let expected = "\
Only tried, nothing was changed:
blocked the list feed
Entries: 1,000,000 added, 3 removed.
";
        assert_eq!(plain(|out, _| render(out, &outcome)), expected);
        let nothing = Outcome::default();
        assert_eq!(
            plain(|out, _| render(out, &nothing)),
            "Done; nothing was different before.\n"
        );
    }
}
