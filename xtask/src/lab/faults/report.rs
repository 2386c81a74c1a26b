//! What came of the campaign: a line for each fault, JSON, and a table of the documentation.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Outcome, all, traffic::Counted};
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

/// The heads of the table.
const HEADS: &str = "| fault | rounds | leaked / listed | lost / clean | passed while nothing was attached | \
                     what is to be known |\n| --- | --- | --- | --- | --- | --- |\n";

impl Report {
    /// A page with the rows of what was done in its table, in the order of the faults, and the sums anew;
    /// other rows stay as they are. `None` if it has no table.
    fn put_into(&self, page: &str) -> Option<String> {
        let (_, old) = page.split_once(BEGIN)?;
        let (old, _) = old.split_once(END)?;
        let done = |name: &str| self.outcomes.iter().find(|it| it.name == name);
        let mut text = String::from(HEADS);
        let mut sums = [[0, 0]; 2];
        for name in all().iter().map(|fault| fault.name) {
            let kept = old.lines().find(|line| name_of(line) == Some(name));
            let Some(row) = done(name).map(row).or_else(|| kept.map(str::to_owned)) else {
                continue;
            };
            for (sum, cell) in sums.iter_mut().zip(row.split(" | ").skip(2)) {
                let figures = cell.split(" / ").map(ungrouped);
                sum.iter_mut().zip(figures).for_each(|(sum, it)| *sum += it);
            }
            text += &row;
            text.push('\n');
        }
        let [[leaked, listed], [lost, clean]] = sums.map(|it| it.map(grouped));
        text += &format!("| all | | **{leaked}** / {listed} | **{lost}** / {clean} | | |\n");
        put_between(page, [BEGIN, END], &format!("\n\n{text}"))
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

/// The fault that a row is of.
fn name_of(row: &str) -> Option<&str> {
    let (name, _) = row.strip_prefix("| `")?.split_once('`')?;
    Some(name)
}

fn ungrouped(figure: &str) -> u64 {
    let digits: String = figure.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn row(outcome: &Outcome) -> String {
    let Counted {
        listed,
        leaked,
        open,
        passed,
        clean,
        lost,
        pace: _,
    } = outcome.counted;
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
    format!(
        "| `{}` | {} | {} / {} | {} / {} | {apart} | {notes} |",
        outcome.name,
        grouped(outcome.rounds.into()),
        grouped(leaked),
        grouped(listed),
        grouped(lost),
        grouped(clean)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_between_the_markers_and_others_stay() {
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
        let kept = "| `control` | 10 | 1 / 1,000 | 2 / 2,000 |  | a row by hand |";
        let gone = "| `no-such-fault` | 10 | 7 / 7 | 7 / 7 |  | old |";
        let old = "| `kill` | 1 | 5 / 5 | 5 / 5 |  | old |";
        let page = format!("prose\n{BEGIN}\n\n{HEADS}{old}\n{kept}\n{gone}\n{END}\nmore\n");
        let page = report.put_into(&page).expect("markers");
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{END}\nmore\n")));
        assert!(page.contains("1,234,567") && page.contains("2 / 3") && !page.contains("old"));
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        for line in &rows {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 7, "{line}");
        }
        assert_eq!(rows[2], kept);
        assert!(rows[3].starts_with("| `kill` | 1,000 | 0 / 1,234,567 | 0 / 0 | 2 / 3 |"));
        assert_eq!(
            rows[4], "| all | | **1** / 1,235,567 | **2** / 2,000 | | |",
            "{page}"
        );
        assert_eq!(report.put_into("no markers"), None);
    }
}
