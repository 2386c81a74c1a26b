//! `faults`: harm done to the daemon and its host under a paced flood.
//!
//! Each fault has a server of its own, in a sandbox, whose lists name the sources of the flood. A
//! second stream, of numbered packets, comes from sources that nobody lists. However the daemon fares,
//! none of the first may arrive and all of the second have to; the operator is told what happened; and
//! the daemon is healthy afterwards.

mod changes;
mod clients;
mod disks;
mod hosts;
mod lies;
mod links;
mod processes;
mod report;
mod site;
mod table;
mod tables;
mod traffic;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

pub use table::{Fault, all, named};

use super::{clock, floodwall, interrupt};
use report::Report;
use site::Site;
use traffic::Counted;

/// Options of the campaign.
#[derive(Args, Debug)]
pub struct Faults {
    /// Names of faults; all if none is given
    #[arg(value_name = "FAULT")]
    names: Vec<String>,
    /// How often each is done, instead of as often as the table says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: Option<u32>,
    /// Name the faults there are
    #[arg(long)]
    list: bool,
    /// Nothing but JSON on stdout
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Write what was done into the table in docs/reliability.md as well; other rows stay
    #[arg(long)]
    markdown: bool,
    /// Where choices at random begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The floodwall to do harm to; the one beside this program if not given
    #[arg(long, value_name = "PATH")]
    floodwall: Option<PathBuf>,
}

/// How often, and how choices are made.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// How often the fault is done.
    pub rounds: u32,
    /// Where choices at random begin.
    pub seed: u64,
    /// Whether it is one of many tests, on a machine that builds meanwhile.
    pub is_test: bool,
}

/// What came of a fault.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What was done.
    pub about: &'static str,
    /// How often.
    pub rounds: u32,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// Packets.
    #[serde(flatten)]
    pub counted: Counted,
    /// What is worth knowing beside.
    pub notes: Vec<String>,
    /// What went wrong, figures apart.
    pub failure: Option<String>,
}

impl Outcome {
    /// Whether nothing leaked, nothing was lost, and all else went as it should.
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.counted.leaked == 0 && self.counted.lost == 0
    }
}

impl Faults {
    /// Whether it only asks what there is.
    pub fn is_list(&self) -> bool {
        self.list
    }

    /// Names every fault.
    pub fn list() -> Result<()> {
        for fault in all() {
            println!("{:<20} {}", fault.name, fault.about);
        }
        Ok(())
    }

    /// Does all of them, and says what came of it.
    pub fn run(&self) -> Result<()> {
        let faults: Vec<&Fault> = match self.names.as_slice() {
            [] => all().iter().collect(),
            names => names
                .iter()
                .map(|name| named(name))
                .collect::<Result<_>>()?,
        };
        let binary = match &self.floodwall {
            Some(path) => path.clone(),
            None => floodwall::find()?,
        };
        let mut report = Report::default();
        for fault in faults {
            let course = Course {
                rounds: self.rounds.unwrap_or(fault.rounds),
                seed: self.seed,
                is_test: false,
            };
            let outcome = fault.run(&binary, course)?;
            if !self.json {
                report::print(&outcome);
            }
            report.outcomes.push(outcome);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        if self.markdown {
            report.write()?;
        }
        match report.outcomes.iter().filter(|it| !it.is_good()).count() {
            0 => Ok(()),
            bad => bail!("{bad} of {} faults did harm", report.outcomes.len()),
        }
    }
}

impl Fault {
    /// Does the harm, and counts. An error is a sandbox that cannot be had, or a signal.
    pub fn run(&self, binary: &Path, course: Course) -> Result<Outcome> {
        let mut site = Site::new(binary, self.lies)?;
        let begun = clock::now();
        // Before the harm, all is well for a moment.
        interrupt::sleep(Duration::from_millis(200))?;
        let mut failure = None;
        let mut notes = Vec::new();
        let done = (self.harm)(&mut site, course).and_then(|said| {
            notes = said;
            site.is_healthy()
        });
        if let Err(error) = done {
            interrupt::check()?;
            failure = Some(format!("{error:#}"));
        }
        let counted = match site.end_traffic()?.finish() {
            Ok(counted) => counted,
            Err(error) => {
                failure.get_or_insert_with(|| format!("{error:#}"));
                Counted::default()
            }
        };
        failure = failure.or_else(|| counted.pace.trouble(course.is_test));
        Ok(Outcome {
            name: self.name,
            about: self.about,
            rounds: course.rounds,
            seconds: begun.elapsed().as_secs(),
            counted,
            notes,
            failure,
        })
    }
}

/// A fault as tests do it: a round, or few.
pub fn short(name: &str) -> Result<Outcome> {
    let binary = floodwall::find()?;
    let fault = named(name).context("the short campaign")?;
    let rounds = fault.short;
    let course = Course {
        rounds,
        seed: 1,
        is_test: true,
    };
    fault.run(&binary, course)
}
