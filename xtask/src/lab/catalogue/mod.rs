//! `catalogue`: every attack against the same server, behind floodwall, behind nothing, and behind a
//! bare drop of that same flood, with people at work beside it.
//!
//! floodwall runs with its default configuration, and each row meets a daemon that has seen nothing
//! yet: what meets it, it has to find out by itself. `--defended` measures the defences alone, all of
//! them switched on by hand.
//!
//! Server, people and flood share one processor, as they do on a host whose card interrupts the
//! cores that also serve; else a flood and its defence cost nobody anything. The three sites stand
//! side by side and take turns, so that what else happens on the machine happens to all.

mod ceiling;
mod effort;
mod json;
mod markdown;
mod measured;
mod mitigation;
mod promise;
mod site;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

pub use effort::Effort;
pub use measured::Measured;
pub use promise::Promise;
pub use site::{Load, Setup, Site, Subject};

use super::{
    attack::{self, Attack},
    bench::Machine,
    floodwall,
    people::Guests,
    thread::last_cpu,
};
use ceiling::Bears;

/// Where the table goes, from the workspace's root.
const DOCUMENT: &str = "docs/catalogue.md";
/// How long floodwall has to know calm traffic before it writes rules of its own, with some to spare.
const LEARNS: Duration = Duration::from_secs(120);
/// Floods that only what calm traffic looks like tells from it.
const LEARNED: [&str; 4] = ["udp-open", "amp-unlisted", "dns-queries", "bots-10k"];
/// Names the workspace's root in the environment; `cargo xtask` sets it.
const WORKSPACE: &str = "FLOODWALL_WORKSPACE";

/// Options of the catalogue.
#[derive(Args, Debug)]
pub struct Catalogue {
    /// Numbers of rows, or names of attacks; all if none is given
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// A second for each measurement and no search for what can be borne: for a first look
    #[arg(long)]
    quick: bool,
    /// Every defence switched on by hand, and limits that an operator of this server would set,
    /// instead of the default configuration
    #[arg(long)]
    defended: bool,
    /// Nothing but JSON on stdout
    #[arg(long)]
    json: bool,
    /// Packets of a flood a second, where the row does not ask for more or less
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..=20_000_000))]
    pace: u64,
    /// The processor that server, people and flood share; the last one if not given
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// The floodwall to measure; the one beside this program if not given
    #[arg(long, value_name = "PATH")]
    floodwall: Option<PathBuf>,
}

/// The three sites, ready to be flooded.
#[derive(Debug)]
pub struct Sites([Site; 3]);

/// All that was measured.
#[derive(Debug)]
pub struct Report {
    machine: Machine,
    setup: Setup,
    time: Duration,
    pace: u64,
    /// Of each subject, without a flood.
    calm: [Measured; 3],
    /// In the order of the catalogue.
    pub rows: Vec<Row>,
}

impl Report {
    /// Without rows yet.
    pub fn new(cpu: usize, setup: Setup, time: Duration, pace: u64, calm: [Measured; 3]) -> Self {
        Self {
            machine: Machine::this(cpu),
            setup,
            time,
            pace,
            calm,
            rows: Vec::new(),
        }
    }

    /// Prints the table, or nothing but JSON.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", json::of(self)?);
        } else {
            table::print(self);
        }
        Ok(())
    }
}

/// One attack.
#[derive(Debug)]
pub struct Row {
    /// What was sent.
    pub name: String,
    /// Its row in the catalogue; none for a capture.
    pub row: Option<u8>,
    /// What that is.
    pub about: String,
    /// Packets a second.
    pub pace: u64,
    /// What happened at each site, in the order of [`Subject::ALL`].
    pub by: [Measured; 3],
    /// What is promised; nothing of a capture, whose content nobody knows.
    pub promise: Option<Promise>,
    /// The fastest flood that can be borne, with floodwall and without.
    pub bears: Option<[Bears; 2]>,
    /// How long floodwall had seen calm traffic before, if it had.
    pub learned: Option<Duration>,
}

impl Catalogue {
    /// Measures, prints the table, and writes the document if everything was measured in full.
    pub fn run(&self) -> Result<()> {
        let attacks = self.attacks()?;
        let names: Vec<String> = attacks.iter().map(|attack| attack.name.clone()).collect();
        let binary = binary(self.floodwall.as_deref())?;
        let cpu = self.cpu.map_or_else(last_cpu, Ok)?;
        let time = Duration::from_secs(if self.quick { 1 } else { 2 });
        let setup = self.setup();
        let (ordinary, jumbo): (Vec<_>, Vec<_>) =
            attacks.into_iter().partition(|attack| attack.mtu() == 1500);

        let mut report = Report::new(cpu, setup, time, self.pace, Default::default());
        for (mtu, attacks) in [(1500, ordinary), (9000, jumbo)] {
            if attacks.is_empty() {
                continue;
            }
            eprintln!("three servers, each behind something else …");
            let mut sites = Sites::new(&binary, setup, mtu, cpu)?;
            report.calm = sites.each(|site| site.measure(None, Guests::default(), time))?;
            let (learned, others): (Vec<_>, Vec<_>) = attacks
                .into_iter()
                .partition(|attack| self.has_to_learn(attack));
            if !learned.is_empty() {
                sites.learn(LEARNS)?;
                self.rows(&mut sites, &learned, &mut report, |sites, measure| {
                    sites.each(measure)
                })?;
                sites.renew()?;
            }
            self.rows(&mut sites, &others, &mut report, |sites, measure| {
                sites.each_anew(measure)
            })?;
        }
        // Those that take calm to know were measured first.
        let place = |row: &Row| names.iter().position(|name| *name == row.name);
        report.rows.sort_by_key(|row| (row.row, place(row)));
        report.print(self.json)?;
        self.document(&report)
    }

    fn attacks(&self) -> Result<Vec<Attack>> {
        if self.rows.is_empty() {
            return Ok(attack::all());
        }
        let mut chosen = Vec::new();
        for text in &self.rows {
            match text.parse::<u8>() {
                Err(_) => chosen.push(attack::named(text)?),
                Ok(number) => {
                    let row = attack::all().into_iter().filter(|it| it.row == number);
                    let before = chosen.len();
                    chosen.extend(row);
                    ensure!(
                        chosen.len() > before,
                        "there is no row {number}; rows are 1 to 25"
                    );
                }
            }
        }
        Ok(chosen)
    }

    fn setup(&self) -> Setup {
        if self.defended {
            Setup::Defended
        } else {
            Setup::Default
        }
    }

    /// Whether the attack is the first of its row.
    fn is_first(&self, attack: &Attack) -> Result<bool> {
        let mut of_row = self
            .attacks()?
            .into_iter()
            .filter(|it| it.row == attack.row);
        Ok(of_row.next().is_some_and(|first| first.name == attack.name))
    }

    /// Whether what meets the attack has to be told from calm traffic.
    fn has_to_learn(&self, attack: &Attack) -> bool {
        !self.quick && !self.defended && LEARNED.contains(&attack.base)
    }

    /// Measures attacks, one after the other.
    fn rows(
        &self,
        sites: &mut Sites,
        attacks: &[Attack],
        report: &mut Report,
        each: impl Fn(&mut Sites, &dyn Fn(&Site) -> Result<Measured>) -> Result<[Measured; 3]>,
    ) -> Result<()> {
        for attack in attacks {
            let effort = Effort::of(attack, self.pace, report.time);
            let by = each(sites, &|site| effort.at(site))?;
            // One attack of a row is enough to know what can be borne.
            let bears = if self.quick || !self.is_first(attack)? {
                None
            } else {
                let bears = ceiling::of(&sites.0, attack, &report.calm)?;
                if !self.has_to_learn(attack) {
                    sites.renew()?;
                }
                bears
            };
            let row = Row {
                name: attack.name.clone(),
                row: Some(attack.row),
                about: attack.about.to_owned(),
                pace: effort.pace,
                by,
                promise: Some(Promise::of(attack, self.setup())),
                bears,
                learned: self.has_to_learn(attack).then_some(LEARNS),
            };
            eprintln!("{}", table::line(&row));
            report.rows.push(row);
        }
        Ok(())
    }

    fn document(&self, report: &Report) -> Result<()> {
        if self.quick || self.defended || !self.rows.is_empty() {
            eprintln!(
                "{DOCUMENT} stays as it is: it is written when every row was measured in full, with the default configuration"
            );
            return Ok(());
        }
        let Some(workspace) = std::env::var_os(WORKSPACE) else {
            eprintln!("{DOCUMENT} is written by `cargo xtask catalogue` only");
            return Ok(());
        };
        let path = Path::new(&workspace).join(DOCUMENT);
        fs::write(&path, markdown::of(report))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Sites {
    /// Builds them; server, people and flood will share a processor.
    pub fn new(binary: &Path, setup: Setup, mtu: u32, cpu: usize) -> Result<Self> {
        let [first, second, third] = Subject::ALL;
        let site = |subject| Site::new(subject, setup, binary, mtu, cpu);
        Ok(Self([site(first)?, site(second)?, site(third)?]))
    }

    /// Measures at each site in turn.
    pub fn each(&self, measure: impl Fn(&Site) -> Result<Measured>) -> Result<[Measured; 3]> {
        let Self([first, second, third]) = self;
        Ok([measure(first)?, measure(second)?, measure(third)?])
    }

    /// Likewise; what floodwall learned and did of it is forgotten before the others are done.
    pub fn each_anew(
        &mut self,
        measure: impl Fn(&Site) -> Result<Measured>,
    ) -> Result<[Measured; 3]> {
        let Self([first, second, third]) = self;
        let measured = measure(first)?;
        first.renew()?;
        Ok([measured, measure(second)?, measure(third)?])
    }

    /// Has floodwall see calm traffic.
    pub fn learn(&self, time: Duration) -> Result<()> {
        let Self([first, ..]) = self;
        eprintln!("calm traffic to know, for {} s …", time.as_secs());
        first.measure(None, Guests::default(), time).map(drop)
    }

    /// Has floodwall forget what it learned and did.
    pub fn renew(&mut self) -> Result<()> {
        let Self([first, ..]) = self;
        first.renew()
    }
}

/// The floodwall of a path, else the one beside this program.
pub fn binary(path: Option<&Path>) -> Result<PathBuf> {
    let binary = path.map_or_else(floodwall::find, |path| Ok(path.to_owned()))?;
    ensure!(
        binary.is_file(),
        "there is no {}; run `cargo xtask build`",
        binary.display()
    );
    Ok(binary)
}
