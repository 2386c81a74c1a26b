//! What the demonstration prints: 80 columns, coloured on a terminal that wants it.

use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use super::{
    super::{attack::Attack, floodwall::Floodwall},
    phase::{Measured, Phase, PhaseResult},
};
use crate::document::grouped;

const RED: &str = "31";
const GREEN: &str = "32";
const BOLD: &str = "1";
const DIM: &str = "2";

/// Where things are printed, and how.
pub struct Screen {
    colour: bool,
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` is set.
    pub fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: stdout().is_terminal() && !unwanted,
        }
    }

    /// What will be seen.
    pub fn introduce(&self, attack: &Attack, rate: u64, cpu: usize) {
        println!("{}", self.paint(BOLD, "floodwall demo"));
        println!("In network namespaces of its own: a web server, visitors, and a flood:");
        println!("{}, {}/s.", attack.about, grouped(rate));
        println!("Server, visitors and flood share CPU {cpu}: what the flood takes, they lack.");
    }

    /// A phase begins.
    pub fn begin(&self, phase: Phase) {
        println!();
        println!("{}", self.paint(BOLD, phase.about()));
        let head = format!(
            "{:<15} {:>9} {:>9} {:>9}  {:>8} {:>6} {:>6} {:>6}",
            "per second", "flood", "dropped", "passed", "requests", "ok %", "p50ms", "p99ms"
        );
        println!("{}", self.paint(DIM, &head));
    }

    /// A second is over.
    pub fn line(&self, phase: Phase, second: &Measured) {
        let rate = |count| grouped(second.per_second(count).round() as u64);
        let flood = |count| {
            if phase.is_flood() {
                rate(count)
            } else {
                "-".to_owned()
            }
        };
        let line = format!(
            "{:<15} {:>9} {:>9} {:>9}  {:>8} {:>6} {:>6} {:>6}",
            phase.name(),
            flood(second.sent),
            flood(second.dropped),
            flood(second.passed()),
            rate(second.heard.answered),
            percent(second.heard.success()),
            millis(second, 0.5),
            millis(second, 0.99),
        );
        let colour = match (phase.is_flood(), phase.is_enforced()) {
            (true, false) => RED,
            (true, true) => GREEN,
            (false, _) => "",
        };
        println!("{}", self.paint(colour, &line));
        // A reader of a pipe wants the line when it happens, too.
        let _ = stdout().flush();
    }

    /// Runs a command line and shows it with what it says.
    pub fn command(&self, floodwall: &Floodwall, arguments: &[&str]) -> Result<()> {
        let words: Vec<String> = arguments
            .iter()
            .map(|word| {
                if word.contains(' ') {
                    format!("'{word}'")
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        println!();
        println!(
            "{}",
            self.paint(BOLD, &format!("$ floodwall {}", words.join(" ")))
        );
        print!("{}", floodwall.text(arguments)?);
        Ok(())
    }

    /// All phases side by side.
    pub fn table(&self, results: &[PhaseResult]) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "",
            "flood/s",
            "dropped",
            "passed/s",
            "requests/s",
            "answered",
            "p50 ms",
            "p99 ms",
        ]);
        for PhaseResult { phase, measured } in results {
            let rate = |count| grouped(measured.per_second(count).round() as u64);
            let flood = |text: String| {
                if phase.is_flood() {
                    text
                } else {
                    "-".to_owned()
                }
            };
            table.add_row([
                phase.name().to_owned(),
                flood(rate(measured.sent)),
                flood(format!("{} %", percent(measured.dropped_share()))),
                flood(rate(measured.passed())),
                rate(measured.heard.answered),
                format!("{} %", percent(measured.heard.success())),
                millis(measured, 0.5),
                millis(measured, 0.99),
            ]);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!(
            "\n{}",
            self.paint(
                BOLD,
                "The phases side by side; \"passed\" is what of the flood reached the stack:"
            )
        );
        println!("{table}");
    }

    /// The last words.
    pub fn conclude(&self, text: &str) {
        println!("\n{}", self.paint(GREEN, text));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn millis(measured: &Measured, share: f64) -> String {
    format!("{:.1}", measured.heard.quantile(share).as_secs_f64() * 1e3)
}

/// Rounded down, so that 100 means all.
fn percent(share: f64) -> String {
    format!("{:.2}", (share * 10_000.0).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(percent(1.0), "100.00");
        assert_eq!(percent(0.999_99), "99.99");
    }
}
