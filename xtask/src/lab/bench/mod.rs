//! `bench`: what the real program costs per packet, whole and stage by stage, beside a floor and
//! beside the kernel's own maps, measured in one run; what a second processor adds; what flood it
//! absorbs beside a bare drop; and how long a million prefixes take. At the end, targets.
//!
//! Memory is the noisiest part of a machine, so the programs of a section take turns in short
//! rounds, and the minimum and the median are quoted. To add a row, add a subject in [`sections`];
//! to add a target, in [`targets`].

mod defences;
mod json;
mod live;
mod load;
mod machine;
mod parallel;
mod part;
mod prefixes;
mod report;
mod section;
mod sections;
mod stages;
mod subject;
mod targets;
mod traffic;

use std::{path::PathBuf, thread};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

pub use self::machine::Machine;
use self::{
    part::{Part, Wanted},
    report::Report,
    section::Effort,
    sections::Daemons,
};
use super::{
    floodwall,
    programs::{Lab, Tables},
    thread::{last_cpu, pin_to},
};

/// Options of the benchmark.
#[derive(Args, Debug)]
pub struct Bench {
    /// Rounds in which all programs take turns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Packets each program gets in a round
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    packets: Option<u32>,
    /// Fewer and shorter rounds: for a first look
    #[arg(long)]
    quick: bool,
    /// Leave out two processors, the live flood and the import
    #[arg(long)]
    no_live: bool,
    /// Only this section; may be given more than once
    #[arg(long, value_name = "NAME", value_enum)]
    section: Vec<Part>,
    /// The processor to measure on; the last one if not given
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Nothing but JSON on stdout
    #[arg(long)]
    json: bool,
    /// The floodwall to measure; the one beside this program if not given
    #[arg(long, value_name = "PATH")]
    floodwall: Option<PathBuf>,
}

impl Bench {
    /// Measures and prints.
    pub fn run(&self) -> Result<()> {
        let binary = match &self.floodwall {
            Some(path) => path.clone(),
            None => floodwall::find()?,
        };
        ensure!(
            binary.is_file(),
            "there is no {}; run `cargo xtask build`",
            binary.display()
        );
        let cpu = match self.cpu {
            Some(cpu) => cpu,
            None => last_cpu()?,
        };
        let effort = self.effort();
        let mut report = Report {
            machine: Machine::this(cpu),
            effort,
            sections: Vec::new(),
            growths: Vec::new(),
            live: Vec::new(),
            answers: Vec::new(),
            load: None,
        };

        let wanted = Wanted::new(&self.section, self.no_live);
        let turns = if self.quick { 1 } else { 3 };

        // Pinned only after children started would be too late for them: the daemons go first.
        let daemons = Daemons::start(&binary)?;
        if wanted.has_any(&[Part::Listed, Part::Import]) {
            report.load = Some(daemons.fill(cpu, turns)?);
        }
        let mut lab = Lab::load(Tables::Full)?;
        report.sections = on(cpu, || {
            sections::measure(&mut lab, &daemons, &wanted, effort)
        })?;
        drop(lab);
        if wanted.has(Part::Processors) {
            report.growths = daemons.grow(cpu, effort)?;
        }
        if wanted.has_live(Part::Cookies) {
            report.answers = daemons.answer(cpu, turns * 5)?;
        }
        if wanted.has(Part::Live) {
            report.live = daemons.flood(&binary, cpu, turns)?;
        }
        if self.json {
            json::print(&report)
        } else {
            report.print()
        }
    }

    fn effort(&self) -> Effort {
        let (rounds, packets) = if self.quick {
            (5, 20_000)
        } else {
            (25, 50_000)
        };
        Effort {
            rounds: self.rounds.unwrap_or(rounds),
            packets: self.packets.unwrap_or(packets),
        }
    }
}

/// Works on a thread that stays on one processor.
fn on<R: Send>(cpu: usize, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("bench".into())
            .spawn_scoped(scope, || {
                pin_to(cpu)?;
                work()
            })
            .context("cannot start a thread")?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
