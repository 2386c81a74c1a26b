//! `demo`: a flood, a real server and a real client, without and with floodwall between them.
//!
//! Server, client and flood share one processor, as they do on a server whose card interrupts
//! the cores that also serve; the daemon runs where it likes. The flood's thread goes first, as
//! interrupts do, and is paced, so that every phase gets the same flood.

mod measure;
mod phase;
mod screen;
mod verdict;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::{
    attack,
    flood::{self, Flood, Pace},
    floodwall::{self, Config, Floodwall},
    http,
    sandbox::{self, Sandbox},
    thread::last_cpu,
};
use measure::Meter;
use phase::{Phase, PhaseResult};
use screen::Screen;

/// Options of the demonstration.
#[derive(Args, Debug)]
pub struct Demo {
    /// How long all phases take together
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// The flood, by name
    #[arg(long, value_name = "NAME", default_value = "syn-16")]
    attack: String,
    /// Packets of the flood a second
    #[arg(long, value_name = "PPS", default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1000..=20_000_000))]
    rate: u64,
    /// The processor that server, client and flood share; the last one if not given
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// The floodwall to show; the one beside this program if not given
    #[arg(long, value_name = "PATH")]
    floodwall: Option<PathBuf>,
}

/// The prefix that the botnets of [`attack::ATTACKS`] send from.
const BOTNET: &str = "198.18.0.0/24";

impl Demo {
    /// Runs the demonstration; fails if floodwall did not do what it is for.
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
        let attack = attack::named(&self.attack)?;
        let cpu = match self.cpu {
            Some(cpu) => cpu,
            None => last_cpu()?,
        };
        let screen = Screen::new();
        screen.introduce(&attack, self.rate, cpu);

        let sandbox = Sandbox::new(&sandbox::Options::default())?;
        let floodwall = Floodwall::start(&sandbox, &binary, &Config::new("monitor"))?;
        let _server = http::Server::start(sandbox.server(), Some(cpu))?;
        let client = http::Client::start(sandbox.client(), Some(cpu))?;
        let mut meter = Meter::new(&sandbox, &floodwall, &client)?;

        let mut results = Vec::new();
        results.push(self.phase(Phase::Calm, &mut meter, None, &screen)?);

        let options = flood::Options {
            pace: Pace::PerSecond(self.rate),
            cpu: Some(cpu),
            first: true,
        };
        let flood = Flood::start(&sandbox, &attack, options)?;
        results.push(self.phase(Phase::Monitored, &mut meter, Some(&flood), &screen)?);
        screen.command(&floodwall, &["status"])?;

        screen.command(&floodwall, &["mode", "enforce"])?;
        results.push(self.phase(Phase::Limited, &mut meter, Some(&flood), &screen)?);

        let block = [
            "block",
            "add",
            BOTNET,
            "--for",
            "1h",
            "--reason",
            "botnet of the demo",
        ];
        screen.command(&floodwall, &block)?;
        results.push(self.phase(Phase::Blocked, &mut meter, Some(&flood), &screen)?);
        screen.command(&floodwall, &["block", "list"])?;
        screen.command(&floodwall, &["status"])?;

        flood.finish().context("the flood ended early")?;
        results.push(self.phase(Phase::CalmAgain, &mut meter, None, &screen)?);

        screen.table(&results);
        verdict::of(&results, &screen)
    }

    /// Measures a phase, with one line a second.
    fn phase(
        &self,
        phase: Phase,
        meter: &mut Meter<'_>,
        flood: Option<&Flood>,
        screen: &Screen,
    ) -> Result<PhaseResult> {
        screen.begin(phase);
        let seconds = phase.seconds(self.seconds);
        let mut result = PhaseResult::new(phase);
        meter.start(flood)?;
        for _ in 0..seconds {
            let second = meter.next(Duration::from_secs(1), flood)?;
            screen.line(phase, &second);
            result.add(&second);
        }
        Ok(result)
    }
}
