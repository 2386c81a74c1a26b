//! The core of the controller against synthetic traffic: what no test machine can send.
//!
//! The real [`Controller`](filter_user::detect::Controller) is driven in steps of a tenth of a second
//! by a [world](world): [calm](calm) and [attacks](attacks) are flows, which a coarse model of the
//! [filter](filter) and of the [host](host) judges by what the controller commands. Nothing reads a
//! clock but the cost of a step, and the same seed gives the same figures.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

mod attacks;
mod calm;
mod filter;
mod flow;
mod host;
mod month;
mod people;
mod report;
#[cfg(test)]
mod tests;
mod trial;
mod tricks;
mod world;

use self::{attacks::ATTACKS, month::Plan, report::Report};

/// Runs the controller against synthetic calm and attacks, without a kernel.
#[derive(Args, Debug)]
pub struct Simulate {
    /// Only these rows of the catalogue, by number or name; `calm` and `tricks` are the others
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Worlds of each row, from a weak attack to the strongest
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Days of calm
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Write the tables into docs/controller.md instead of printing them
    #[arg(long, conflicts_with = "rows")]
    markdown: bool,
    /// Say what was done in each world
    #[arg(long)]
    verbose: bool,
}

impl Simulate {
    /// Does it.
    ///
    /// # Errors
    /// If a row is unknown, or the page cannot be written.
    pub fn run(self) -> Result<()> {
        let is_known = |row: &String| {
            ["calm", "tricks"].contains(&row.as_str())
                || ATTACKS.iter().any(|attack| attack.is_called(row))
        };
        if let Some(row) = self.rows.iter().find(|row| !is_known(row)) {
            let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
            let names = names.join(", ");
            bail!("`{row}` is no row: write 1 to 25, calm, tricks, or one of {names}");
        }
        let report = self.simulate();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else if self.markdown {
            let page = page();
            let shown = page.display();
            let text = std::fs::read_to_string(&page)
                .with_context(|| format!("{shown} cannot be read"))?;
            let text = report
                .put_into(&text)
                .with_context(|| format!("{shown} lacks the lines between which tables go"))?;
            std::fs::write(&page, text).with_context(|| format!("{shown} cannot be written"))?;
            println!("wrote {shown}");
        } else {
            print!("{}", report.markdown());
        }
        if self.verbose {
            tell(&report);
        }
        Ok(())
    }

    fn simulate(&self) -> Report {
        let wants = |name: &str| self.rows.is_empty() || self.rows.iter().any(|row| row == name);
        let mut report = Report::default();
        let memory = trial::learn(1.0, 1);
        if wants("calm") {
            report.months = plans(f64::from(self.days))
                .iter()
                .map(|plan| month::run(plan, 1))
                .collect();
        }
        for attack in ATTACKS {
            if self.rows.is_empty() || self.rows.iter().any(|row| attack.is_called(row)) {
                let seeds = 0..self.seeds;
                report
                    .outcomes
                    .extend(seeds.map(|seed| trial::run(attack, seed, &memory)));
            }
        }
        if wants("tricks") {
            report.tricks = tricks::all(&memory, 1);
        }
        report
    }
}

/// A month of visitors who come directly and a December, and shorter times of others.
fn plans(days: f64) -> Vec<Plan> {
    let direct = Plan {
        name: "direct, a December",
        visitors: trial::VISITORS,
        is_fronted: false,
        december: true,
        days,
        crowds: (days * 20.0 / 30.0).ceil() as u32,
    };
    let part = (days / 6.0).max(1.0);
    let few = (part * 20.0 / 30.0).ceil() as u32;
    vec![
        direct,
        Plan {
            name: "behind a CDN",
            is_fronted: true,
            december: false,
            days: part,
            crowds: few,
            ..direct
        },
        Plan {
            name: "small",
            visitors: 10.0,
            december: false,
            days: part,
            crowds: few,
            ..direct
        },
        Plan {
            name: "large",
            visitors: 500.0,
            december: false,
            days: part,
            crowds: few,
            ..direct
        },
    ]
}

fn page() -> PathBuf {
    let workspace =
        std::env::var_os("FLOODWALL_WORKSPACE").map_or_else(PathBuf::new, PathBuf::from);
    workspace.join("docs/controller.md")
}

fn tell(report: &Report) {
    for month in &report.months {
        for did in &month.did {
            println!("{}: {did}", month.name);
        }
    }
    for outcome in &report.outcomes {
        let (name, seed, rate) = (outcome.name, outcome.seed, outcome.rate);
        println!(
            "{name}, seed {seed}, {rate:.0}/s: noticed {:?}, 95 % {:?}, stopped {:.3}, harm {:.5}, partner {:.4}, over {:?}",
            outcome.detected,
            outcome.mitigated,
            outcome.stopped,
            outcome.harm,
            outcome.partner,
            outcome.let_go
        );
        for did in &outcome.did {
            println!("    {did}");
        }
    }
}
