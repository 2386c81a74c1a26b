//! What was run, on the screen and in the document.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use xtask::document::{grouped, put_between};

use crate::toolchain;

const DOCUMENT: &str = "docs/fuzzing.md";
const MARKERS: [&str; 2] = [
    "<!-- begin: cargo xtask fuzz --markdown -->\n",
    "<!-- end -->",
];

/// What a run of a target came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub outcome: Outcome,
}

/// Figures of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub inputs: u64,
    /// What was executed and compared, where an input is made of several.
    pub compared: Option<u64>,
    /// Edges of the instrumented code; none where it is another process.
    pub edges: Option<u64>,
    pub seconds: u64,
    /// What broke it, in this run or an earlier one.
    pub open: usize,
}

impl Outcome {
    pub fn executions(&self) -> u64 {
        self.compared.unwrap_or(self.inputs)
    }

    fn edges(&self) -> String {
        self.edges.map_or_else(|| "-".to_owned(), grouped)
    }
}

pub fn print(rows: &[Row]) {
    println!();
    println!(
        "{:<14}{:>14}{:>9}{:>11}{:>8}{:>6}",
        "target", "executions", "seconds", "a second", "edges", "open"
    );
    for Row { name, outcome, .. } in rows {
        println!(
            "{name:<14}{:>14}{:>9}{:>11}{:>8}{:>6}",
            grouped(outcome.executions()),
            outcome.seconds,
            grouped(outcome.executions() / outcome.seconds.max(1)),
            outcome.edges(),
            outcome.open
        );
    }
}

/// Puts the table between the markers of the document, in the order of `names`; rows of other targets
/// stay.
pub fn write(rows: &[Row], names: &[&str]) -> Result<()> {
    let path = toolchain::workspace().join(DOCUMENT);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let [begin, end] = MARKERS;
    let page = put_between(&page, MARKERS, &table(rows, names, &page))
        .with_context(|| format!("{DOCUMENT} has no markers: {begin}{end}"))?;
    fs::write(&path, page).with_context(|| format!("cannot write {DOCUMENT}"))
}

fn table(rows: &[Row], names: &[&str], page: &str) -> String {
    let mut lines = String::from(
        "\n| target | what | executions | seconds | edges | open |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for name in names {
        let head = format!("| `{name}` |");
        let line = match rows.iter().find(|row| row.name == *name) {
            Some(Row { what, outcome, .. }) => format!(
                "{head} {what} | {} | {} | {} | {} |",
                grouped(outcome.executions()),
                grouped(outcome.seconds),
                outcome.edges(),
                outcome.open
            ),
            None => match page.lines().find(|line| line.starts_with(&head)) {
                Some(old) => old.to_owned(),
                None => continue,
            },
        };
        let _ = writeln!(lines, "{line}");
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_targets_stay_and_all_are_in_order() {
        let row = Row {
            name: "b",
            what: "new",
            outcome: Outcome {
                inputs: 1_234,
                compared: None,
                edges: None,
                seconds: 5,
                open: 0,
            },
        };
        let page = "| `c` | old | 1 | 1 | 1 | 0 |\n| `b` | old | 2 | 2 | 2 | 0 |\n";
        let table = table(&[row], &["a", "b", "c"], page);
        let rows: Vec<&str> = table.lines().filter(|line| line.contains('`')).collect();
        assert_eq!(
            rows,
            [
                "| `b` | new | 1,234 | 5 | - | 0 |",
                "| `c` | old | 1 | 1 | 1 | 0 |"
            ]
        );
    }
}
