//! What came of the campaign: a line for each fault, JSON, and a table of the documentation.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Outcome, traffic::Counted};
use crate::document::{grouped, put_between};

/// Where the table goes, from the workspace's root.
const DOCUMENT: &str = "docs/reliability.md";
/// The page has it between these lines.
const BEGIN: &str = "<!-- begin: cargo xtask faults --markdown -->";
const END: &str = "<!-- end -->";

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order in which they were done.
    pub outcomes: Vec<Outcome>,
}

/// Prints what came of one.
pub fn print(outcome: &Outcome) {
    let Outcome {
        name,
        rounds,
        seconds,
        counted,
        ..
    } = outcome;
    let word = if outcome.is_good() { "ok  " } else { "HARM" };
    println!(
        "{word} {name:<18} {rounds:>5} rounds {seconds:>4} s   leaked {} of {}   lost {} of {}",
        counted.leaked, counted.listed, counted.lost, counted.clean
    );
    if counted.open > 0 {
        println!(
            "     with nothing attached, {} of {} of listed sources passed",
            counted.passed, counted.open
        );
    }
    for note in outcome.notes.iter().chain(&outcome.failure) {
        println!("     {note}");
    }
}

impl Report {
    fn markdown(&self) -> String {
        let mut text = String::from(
            "| fault | rounds | leaked / listed | lost / clean | passed while nothing was attached | \
             what is to be known |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        let mut sum = Counted::default();
        for outcome in &self.outcomes {
            let Counted {
                listed,
                leaked,
                open,
                passed,
                clean,
                lost,
            } = outcome.counted;
            sum.listed += listed;
            sum.leaked += leaked;
            sum.clean += clean;
            sum.lost += lost;
            let apart = match open {
                0 => String::new(),
                open => format!("{} / {}", grouped(passed), grouped(open)),
            };
            let mut notes = vec![format!("{}.", outcome.about)];
            notes.extend(outcome.notes.iter().map(|note| format!("{note}.")));
            if let Some(failure) = &outcome.failure {
                notes.push(format!("**{failure}**"));
            }
            let notes = notes.join(" ").replace('|', "\\|").replace('\n', " ");
            text += &format!(
                "| `{}` | {} | {} / {} | {} / {} | {apart} | {notes} |\n",
                outcome.name,
                grouped(outcome.rounds.into()),
                grouped(leaked),
                grouped(listed),
                grouped(lost),
                grouped(clean)
            );
        }
        text += &format!(
            "| all | | **{}** / {} | **{}** / {} | | |\n",
            grouped(sum.leaked),
            grouped(sum.listed),
            grouped(sum.lost),
            grouped(sum.clean)
        );
        text
    }

    /// A page with the table between its markers; `None` if it has none.
    fn put_into(&self, page: &str) -> Option<String> {
        put_between(page, [BEGIN, END], &format!("\n\n{}", self.markdown()))
    }

    /// Writes the table into the documentation.
    pub fn write(&self) -> Result<()> {
        let workspace =
            std::env::var_os("FLOODWALL_WORKSPACE").map_or_else(PathBuf::new, PathBuf::from);
        let path = workspace.join(DOCUMENT);
        let shown = path.display();
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
        let page = self
            .put_into(&page)
            .with_context(|| format!("{shown} lacks the lines between which the table goes"))?;
        fs::write(&path, page).with_context(|| format!("cannot write {shown}"))?;
        println!("wrote {shown}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_the_markers_and_every_line_has_as_many_cells() {
        let report = Report {
            outcomes: vec![Outcome {
                name: "kill",
                about: "a|b",
                rounds: 1000,
                seconds: 7,
                counted: Counted {
                    listed: 1_234_567,
                    open: 3,
                    passed: 2,
                    ..Counted::default()
                },
                notes: vec!["one".to_owned()],
                failure: None,
            }],
        };
        let page = format!("prose\n{BEGIN}\nold\n{END}\nmore\n");
        let page = report.put_into(&page).expect("markers");
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{END}\nmore\n")));
        assert!(page.contains("1,234,567") && page.contains("2 / 3") && !page.contains("old"));
        for line in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 7, "{line}");
        }
        assert_eq!(report.put_into("no markers"), None);
    }
}
