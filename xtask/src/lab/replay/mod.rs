//! `replay`: captures of real attacks against the same sites as the catalogue's.

mod capture;
mod rewrite;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::Args;

pub use capture::{Capture, Link, Packet};
pub use rewrite::{LONGEST, LeftOut, Ports, frame};

use super::{
    catalogue::{Load, Report, Row, Setup, Sites, binary},
    flood::{ALBUM, Feed, Pace},
    people::Guests,
    thread::last_cpu,
    units::seconds,
};

/// Shorter than this, people would notice nothing by chance.
const SHORTEST: Duration = Duration::from_secs(2);

/// Options of a replay.
#[derive(Args, Debug)]
pub struct Replay {
    /// Captures, pcap or pcapng; each is a row
    #[arg(value_name = "CAPTURE", required = true)]
    captures: Vec<PathBuf>,
    /// Packets a second
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pace: u64,
    /// Over and over, instead of once
    #[arg(long = "loop")]
    again: bool,
    /// How long with --loop, such as `5s`
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = seconds, requires = "again")]
    time: Duration,
    /// Ports that every segment and datagram has instead of its own
    #[command(flatten)]
    ports: Ports,
    /// Calm traffic that floodwall gets to know before each capture, such as `120s`; it writes no rule
    /// of its own without
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "defended")]
    calm: Option<Duration>,
    /// Every defence switched on by hand, and limits that an operator of this server would set,
    /// instead of the default configuration
    #[arg(long)]
    defended: bool,
    /// Nothing but JSON on stdout
    #[arg(long)]
    json: bool,
    /// The processor that server, people and flood share; the last one if not given
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// The floodwall to measure; the one beside this program if not given
    #[arg(long, value_name = "PATH")]
    floodwall: Option<PathBuf>,
}

/// What a capture holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Packets that can be sent.
    pub packets: u64,
    /// Packets that cannot, by why.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Why it ended before its time.
    pub torn: Option<String>,
}

impl Survey {
    /// Reads a capture from its beginning to its end.
    pub fn of(path: &Path) -> Result<Self> {
        let mut capture = Capture::open(path)?;
        let mut survey = Self::default();
        while let Some(packet) = capture.next_packet()? {
            match frame(&packet, Ports::default()) {
                Ok(_) => survey.packets += 1,
                Err(why) => *survey.left_out.entry(why).or_default() += 1,
            }
        }
        survey.torn = capture.torn().map(str::to_owned);
        Ok(survey)
    }

    fn words(&self) -> String {
        let mut words = format!("{} packets", self.packets);
        for (why, count) in &self.left_out {
            words += &format!("; {count} left out: {}", why.words());
        }
        words
    }
}

impl Replay {
    /// Sends each capture against each site, and prints the rows.
    pub fn run(&self) -> Result<()> {
        let binary = binary(self.floodwall.as_deref())?;
        let cpu = self.cpu.map_or_else(last_cpu, Ok)?;
        let mut surveys = Vec::new();
        for path in &self.captures {
            let survey = Survey::of(path)?;
            eprintln!("{}: {}", path.display(), survey.words());
            if let Some(torn) = &survey.torn {
                eprintln!("{torn}; what came before is sent");
            }
            ensure!(
                survey.packets > 0,
                "{} has no packet that could be sent",
                path.display()
            );
            surveys.push((path, survey));
        }
        let setup = if self.defended {
            Setup::Defended
        } else {
            Setup::Default
        };
        let mut sites = Sites::new(&binary, setup, 1500, cpu)?;
        let calm = sites.each(|site| site.measure(None, Guests::default(), SHORTEST))?;
        let mut report = Report::new(cpu, setup, self.time, self.pace, calm);
        for (path, survey) in surveys {
            report.rows.push(self.row(&mut sites, path, &survey)?);
        }
        report.print(self.json)
    }

    fn row(&self, sites: &mut Sites, path: &Path, survey: &Survey) -> Result<Row> {
        let time = if self.again {
            self.time
        } else {
            Duration::from_secs_f64(survey.packets as f64 / self.pace as f64).max(SHORTEST)
        };
        if let Some(calm) = self.calm {
            sites.learn(calm)?;
        }
        let by = sites.each_anew(|site| {
            let feed = Replayed::new(path, self.ports, self.again)?;
            let load = Load::Feed(Box::new(feed), Pace::PerSecond(self.pace));
            site.measure(Some(load), Guests::default(), time)
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Row {
            name: name.to_string_lossy().into_owned(),
            row: None,
            about: survey.words(),
            pace: self.pace,
            by,
            promise: None,
            bears: None,
            learned: self.calm,
        })
    }
}

/// The frames of a capture, as they are needed.
#[derive(Debug)]
pub struct Replayed {
    path: PathBuf,
    capture: Capture,
    ports: Ports,
    again: bool,
    /// Whether all of it was given in one piece.
    fits: bool,
}

impl Replayed {
    /// From its beginning.
    pub fn new(path: &Path, ports: Ports, again: bool) -> Result<Self> {
        let fits = Survey::of(path)?.packets <= ALBUM as u64;
        Ok(Self {
            path: path.to_owned(),
            capture: Capture::open(path)?,
            ports,
            again,
            fits,
        })
    }
}

impl Feed for Replayed {
    fn next(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        while frames.len() < ALBUM {
            match self.capture.next_packet()? {
                Some(packet) => frames.extend(frame(&packet, self.ports)),
                None if self.again && frames.is_empty() => {
                    self.capture = Capture::open(&self.path)?;
                }
                None => break,
            }
        }
        Ok(frames)
    }

    fn goes_round(&self) -> bool {
        self.again && self.fits
    }
}
