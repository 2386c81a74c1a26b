//! What came of each kernel: as a table, as JSON, and as a page of the documentation.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use filter_common::abi::feature::FEATURES;
use serde::Serialize;

use super::message::{Effort, Message};
use crate::document::{grouped, put_between};

/// The program that sits on interfaces.
const FILTER: &str = "floodwall";
/// The page has the tables between these lines.
const BEGIN: &str = "<!-- begin of what `cargo xtask vm --markdown` writes -->";
const END: &str = "<!-- end -->";

/// What came of a kernel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// `6.1`.
    pub series: String,
    /// `6.1.0-50-amd64`.
    pub release: String,
    /// Features that the kernel has no means for, and why.
    pub left_out: BTreeMap<String, String>,
    /// What the verifier spent.
    pub efforts: Vec<Effort>,
    /// Programs that were refused, with what the verifier said.
    pub refused: BTreeMap<String, String>,
    /// By driver: how the daemon should sit there, and how it does.
    pub attached: BTreeMap<String, (String, String)>,
    /// Tests that passed.
    pub passed: u64,
    /// Tests about what is left out.
    pub not_run: u64,
    /// Names of those that failed.
    pub failed: Vec<String>,
    /// How long they took.
    pub seconds: u64,
    /// What went wrong beside.
    pub troubles: Vec<String>,
}

impl Outcome {
    /// Of a kernel that has not said anything yet.
    pub fn new(series: &str, release: &str) -> Self {
        Self {
            series: series.to_owned(),
            release: release.to_owned(),
            ..Self::default()
        }
    }

    /// Takes a message of the guest; lines of tests are for somebody else.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Up { .. }
            | Message::Said { .. }
            | Message::Row(_)
            | Message::Wish(_)
            | Message::Done => {}
            Message::LeftOut { feature, reason } => {
                self.left_out.insert(feature, reason);
            }
            Message::Effort(effort) => self.efforts.push(effort),
            Message::Refused { program, words } => {
                self.refused.insert(program, words);
            }
            Message::Attached {
                driver,
                wanted,
                found,
            } => {
                self.attached.insert(driver, (wanted, found));
            }
            Message::Tests {
                passed,
                left_out,
                failed,
                seconds,
            } => {
                (self.passed, self.failed) = (passed, failed);
                (self.not_run, self.seconds) = (left_out, seconds);
            }
            Message::Trouble { text } => self.troubles.push(text),
        }
    }

    /// Whether everything is as it should be.
    pub fn is_good(&self) -> bool {
        let is_attached = self
            .attached
            .values()
            .all(|(wanted, found)| wanted == found);
        self.passed > 0
            && is_attached
            && self.failed.is_empty()
            && self.troubles.is_empty()
            && self.refused.is_empty()
    }

    fn features(&self) -> String {
        if self.left_out.is_empty() {
            return format!("all {FEATURES}");
        }
        let names: Vec<&str> = self.left_out.keys().map(String::as_str).collect();
        format!("all {FEATURES} but {}", names.join(", "))
    }

    fn filter(&self) -> Option<&Effort> {
        self.efforts.iter().find(|it| it.program == FILTER)
    }

    fn sits(&self, driver: &str) -> String {
        match self.attached.get(driver) {
            Some((_, found)) => found.clone(),
            None => "-".to_owned(),
        }
    }

    fn result(&self) -> String {
        if self.passed == 0 && self.failed.is_empty() {
            return "no test ran".to_owned();
        }
        let all = self.passed.saturating_add(self.failed.len() as u64);
        let pass = format!("{} of {all} tests pass", self.passed);
        if self.not_run == 0 {
            return pass;
        }
        format!("{pass}; {} about what is left out", self.not_run)
    }

    fn cells(&self) -> [String; HEADS.len()] {
        let effort = |cell: fn(&Effort) -> String| self.filter().map_or("-".to_owned(), cell);
        [
            self.release.clone(),
            self.features(),
            effort(|it| grouped(it.instructions)),
            effort(|it| format!("{:.2} s", it.micros as f64 / 1e6)),
            effort(|it| format!("{} B", it.stack)),
            self.sits("veth"),
            self.sits("virtio_net"),
            self.sits("dummy"),
            self.result(),
        ]
    }
}

const HEADS: [&str; 9] = [
    "kernel",
    "features",
    "instructions verified",
    "in",
    "stack",
    "veth",
    "virtio_net",
    "dummy",
    "result",
];

/// Prints the table, and what is to be said of it.
pub fn print(outcomes: &[Outcome]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADS);
    for outcome in outcomes {
        table.add_row(outcome.cells());
    }
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    for note in outcomes.iter().flat_map(notes) {
        println!("{note}");
    }
}

/// What does not fit into the table.
fn notes(outcome: &Outcome) -> Vec<String> {
    let release = &outcome.release;
    let left_out = outcome.left_out.iter();
    let mut notes: Vec<String> = left_out
        .map(|(feature, reason)| format!("{release}: without {feature}: {reason}"))
        .collect();
    notes.extend(
        outcome
            .refused
            .iter()
            .map(|(program, words)| format!("{release}: {program} is refused: {words}")),
    );
    notes.extend(
        outcome
            .attached
            .iter()
            .filter(|(_, (wanted, found))| wanted != found)
            .map(|(driver, (wanted, found))| {
                format!("{release}: {driver} should be {wanted}: {found}")
            }),
    );
    notes.extend(
        outcome
            .failed
            .iter()
            .map(|name| format!("{release}: {name} fails")),
    );
    notes.extend(
        outcome
            .troubles
            .iter()
            .map(|text| format!("{release}: {text}")),
    );
    notes
}

/// The tables of the page.
fn markdown(outcomes: &[Outcome]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
    let mut text = line(&HEADS.map(str::to_owned));
    text += &line(&["---"; HEADS.len()].map(str::to_owned));
    for outcome in outcomes {
        text += &line(&outcome.cells().map(|cell| cell.replace('|', "\\|")));
    }
    text += "\nWhat the verifier walked, by program:\n\n";
    let mut names: Vec<&str> = Vec::new();
    for effort in outcomes.iter().flat_map(|it| &it.efforts) {
        if !names.contains(&effort.program.as_str()) {
            names.push(&effort.program);
        }
    }
    let mut heads = vec!["kernel".to_owned()];
    heads.extend(names.iter().map(|name| format!("`{name}`")));
    text += &line(&heads);
    text += &line(&vec!["---".to_owned(); heads.len()]);
    for outcome in outcomes {
        let mut cells = vec![outcome.release.clone()];
        for name in &names {
            let effort = outcome.efforts.iter().find(|it| it.program == *name);
            cells.push(effort.map_or("-".to_owned(), |it| grouped(it.instructions)));
        }
        text += &line(&cells);
    }
    let notes: Vec<String> = outcomes.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text += "\n";
        for note in notes {
            text += &format!("* {}\n", note.replace('\n', " "));
        }
    }
    text
}

/// A page with the tables in their place; none if the page has no place for them.
pub fn put_into(page: &str, outcomes: &[Outcome]) -> Option<String> {
    put_between(page, [BEGIN, END], &format!("\n\n{}\n", markdown(outcomes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::new("6.1", "6.1.0-50-amd64");
        for message in [
            Message::Effort(Effort {
                program: FILTER.to_owned(),
                instructions: 186_585,
                micros: 1_500_000,
                stack: 176,
            }),
            Message::Attached {
                driver: "veth".to_owned(),
                wanted: "native".to_owned(),
                found: "native".to_owned(),
            },
            Message::Tests {
                passed: 45,
                left_out: 0,
                failed: Vec::new(),
                seconds: 60,
            },
        ] {
            outcome.take(message);
        }
        outcome
    }

    #[test]
    fn whatever_is_not_as_it_should_be_is_not_good() {
        assert!(outcome().is_good());
        assert!(!Outcome::new("6.1", "6.1.0-50-amd64").is_good());
        for message in [
            Message::Trouble {
                text: "no `ip`".to_owned(),
            },
            Message::Refused {
                program: FILTER.to_owned(),
                words: "too large".to_owned(),
            },
            Message::Attached {
                driver: "veth".to_owned(),
                wanted: "native".to_owned(),
                found: "generic".to_owned(),
            },
            Message::Tests {
                passed: 44,
                left_out: 0,
                failed: vec!["a".to_owned()],
                seconds: 60,
            },
        ] {
            let mut outcome = outcome();
            outcome.take(message.clone());
            assert!(!outcome.is_good(), "{message:?}");
            assert_eq!(notes(&outcome).len(), 1, "{message:?}");
        }
    }

    #[test]
    fn the_page_keeps_its_prose() {
        let page = format!("prose\n{BEGIN}\nold\n{END}\nmore\n");
        let page = put_into(&page, &[outcome()]).unwrap();
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{END}\nmore\n")));
        assert!(!page.contains("old") && page.contains("186,585 | 1.50 s | 176 B"));
        assert_eq!(put_into(&page, &[outcome()]), Some(page.clone()));
        assert_eq!(put_into("no markers", &[outcome()]), None);
        for table in page.split("\n\n").filter(|part| part.starts_with('|')) {
            let mut widths = table.lines().map(|line| line.matches('|').count());
            let first = widths.next();
            assert!(widths.all(|width| Some(width) == first), "{table}");
        }
    }
}
