//! `bench`: what the real program costs per packet, beside a floor and beside the kernel's own
//! maps, measured in one run; and what flood it absorbs beside a bare drop.
//!
//! Memory is the noisiest part of a machine, so all programs take turns in short rounds, and the
//! minimum and the median are quoted. To add a row, add a subject in [`subject`].

mod live;
mod report;
mod rounds;
mod subject;
mod traffic;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::{
    floodwall::{self, Config, Floodwall},
    programs::{Lab, Tables},
    sandbox::{Options, Sandbox},
    thread::{last_cpu, pin_to},
};

/// Options of the benchmark.
#[derive(Args, Debug)]
pub struct Bench {
    /// Rounds in which all programs take turns
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Packets each program gets in a round
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    packets: u32,
    /// Entries in the maps of the reference programs
    #[arg(long, value_name = "N", default_value_t = 900_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    entries: u32,
    /// Leave out the reference programs
    #[arg(long)]
    no_references: bool,
    /// Leave out the live flood
    #[arg(long)]
    no_live: bool,
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

        let sandbox = Sandbox::new(&Options::default())?;
        // Pinned only after children started would be too late for them: the daemon goes first.
        let floodwall = Floodwall::start(&sandbox, &binary, &Config::new("enforce"))?;
        let tables = if self.no_references {
            Tables::Tiny
        } else {
            Tables::Full
        };
        let mut lab = Lab::load(tables)?;
        let mut subjects = vec![subject::floor(&mut lab)?, subject::floodwall(&floodwall)?];
        if !self.no_references {
            eprintln!("filling the reference maps with {} entries …", self.entries);
            subjects.extend(subject::references(&mut lab, self.entries)?);
        }

        let pinned = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                pin_to(cpu)?;
                rounds::measure(&mut lab, &subjects, self.rounds, self.packets)
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let costs = pinned?;
        floodwall.uninstall(&sandbox)?;

        let live = if self.no_live {
            Vec::new()
        } else {
            live::measure(&sandbox, &binary, cpu)?
        };
        let report = report::Report::new(cpu, self.rounds, self.packets, costs, live);
        if self.json {
            report.print_json()
        } else {
            report.print()
        }
    }
}
