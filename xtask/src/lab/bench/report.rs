//! The benchmark's result, as tables for people.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use super::{
    live::Absorbed,
    load::Load,
    machine::Machine,
    parallel::Growth,
    section::{Cost, Effort, Measured},
    targets::{self, Goal, Target},
};

/// Everything that was measured, and where.
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How much.
    pub effort: Effort,
    /// Costs of packets.
    pub sections: Vec<Measured>,
    /// Two processors against one.
    pub growths: Vec<Growth>,
    /// Floods on the wire.
    pub live: Vec<Absorbed>,
    /// Floods on the wire that are answered.
    pub answers: Vec<Absorbed>,
    /// A million prefixes.
    pub load: Option<Load>,
}

impl Report {
    /// What a program costs above the floor of its section, in nanoseconds: by the best rounds,
    /// and by the median ones.
    pub fn above(&self, section: &str, subject: &str, traffic: &str) -> Option<(f64, f64)> {
        let section = self.sections.iter().find(|it| it.id == section)?;
        let (cost, floor) = (section.cost(subject, traffic)?, section.floor(traffic)?);
        Some((
            cost.min_above(floor) as f64,
            cost.median_above(floor) as f64,
        ))
    }

    /// How a program grows with a second processor: in the best round, and in the median one.
    pub fn growth(&self, subject: &str, traffic: &str) -> Option<(f64, f64)> {
        let found = self
            .growths
            .iter()
            .find(|it| it.subject == subject && it.traffic == traffic)?;
        Some((found.best(), found.median()))
    }

    /// What a program absorbs of a live flood, in percent of what the first one does: in the best
    /// rounds, and in the median ones.
    pub fn share_of_bare(&self, subject: &str) -> Option<(f64, f64)> {
        let floods = [&self.live, &self.answers];
        let flood = floods
            .into_iter()
            .find(|flood| flood.iter().any(|it| it.subject == subject))?;
        let bare = flood.first()?;
        let found = flood.iter().find(|it| it.subject == subject)?;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64 * 100.0;
        Some((
            share(found.best(), bare.best()),
            share(found.median(), bare.median()),
        ))
    }

    /// Prints all of it.
    pub fn print(&self) -> Result<()> {
        println!("{}", self.machine);
        println!(
            "ns per packet, min/median of {} rounds of {} packets, programs taking turns;\n\
             + above the floor (median of the rounds' differences), × the floor's median; making the\n\
             packets is part of every figure",
            self.effort.rounds, self.effort.packets
        );
        for section in &self.sections {
            println!("\n{}\n{}", section.title, cost_table(section));
        }
        if !self.growths.is_empty() {
            println!("\ntwo processors against one, packets a second, median (best)");
            println!("{}", self.growth_table());
        }
        if !self.live.is_empty() {
            println!(
                "\nSYN flood at full speed over a veth, each packet from another forged source, which \
                 floodwall\nblocks by one entry for all; it is made and met on CPU {}",
                self.machine.cpu
            );
            println!("{}", self.live_table(&self.live, "of a bare drop"));
        }
        if !self.answers.is_empty() {
            println!("\nthe same flood, answered; what is sent back is dropped at the other end");
            println!("{}", self.live_table(&self.answers, "of a bare XDP_TX"));
        }
        if let Some(load) = &self.load {
            println!("\na million IPv4 prefixes by `block import`, under a flood");
            println!("{}", load_table(load));
        }
        println!("\ntargets\n{}", target_table(&targets::all(self)));
        Ok(())
    }

    fn growth_table(&self) -> Table {
        let mut traffics: Vec<&str> = self.growths.iter().map(|it| it.traffic).collect();
        traffics.dedup();
        let mut table = table(&["program"], &traffics);
        let per_traffic = self.growths.len() / traffics.len().max(1);
        for subject in self.growths.iter().take(per_traffic) {
            let mut row = vec![subject.subject.clone()];
            for traffic in &traffics {
                let growth = self.growth(&subject.subject, traffic);
                row.push(growth.map_or_else(String::new, |(best, median)| {
                    format!("×{median:.2} (×{best:.2})")
                }));
            }
            table.add_row(row);
        }
        align(&mut table);
        table
    }

    fn live_table(&self, flood: &[Absorbed], of_what: &str) -> Table {
        let mut table = table(&["program"], &["packets/s absorbed", of_what]);
        for absorbed in flood {
            let share = self.share_of_bare(absorbed.subject);
            table.add_row([
                absorbed.subject.to_owned(),
                format!("{:.2} M", absorbed.median() as f64 / 1e6),
                share.map_or_else(String::new, |(_, median)| format!("{median:.0} %")),
            ]);
        }
        align(&mut table);
        table
    }
}

fn cost_table(section: &Measured) -> Table {
    let traffics = section.traffics();
    let mut table = table(&["program"], &traffics);
    for subject in section.subjects() {
        let mut row = vec![subject.to_owned()];
        for traffic in &traffics {
            let cell = section
                .cost(subject, traffic)
                .zip(section.floor(traffic))
                .map(|(cost, floor)| cell(cost, floor));
            row.push(cell.unwrap_or_default());
        }
        table.add_row(row);
    }
    align(&mut table);
    table
}

fn cell(cost: &Cost, floor: &Cost) -> String {
    let above = cost.median_above(floor);
    let ratio = cost.median() as f64 / floor.median().max(1) as f64;
    format!("{}/{} {above:+} ×{ratio:.1}", cost.min(), cost.median())
}

fn load_table(load: &Load) -> Table {
    let mut table = table(&["what"], &["best", "median"]);
    let time = |at: usize| {
        let time = load.times.get(at);
        time.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()))
    };
    table.add_row([
        "from file to enforced".to_owned(),
        time(0),
        time(load.times.len() / 2),
    ]);
    table.add_row([
        "memory of all maps".to_owned(),
        String::new(),
        format!("{} MiB", load.map_memory >> 20),
    ]);
    align(&mut table);
    table
}

fn target_table(targets: &[Target]) -> Table {
    let mut table = table(&["target"], &["goal", "best", "median", ""]);
    for target in targets {
        let number = |value: f64| {
            let digits = if value.abs() < 10.0 && target.unit != "ns" {
                2
            } else {
                0
            };
            format!("{value:.digits$} {}", target.unit)
        };
        let goal = match target.goal {
            Goal::AtMost(most) => format!("≤ {}", number(most)),
            Goal::AtLeast(least) => format!("≥ {}", number(least)),
        };
        table.add_row([
            target.about.to_owned(),
            goal,
            target.best.map_or_else(String::new, number),
            target.median.map_or_else(String::new, number),
            target.verdict().to_owned(),
        ]);
    }
    align(&mut table);
    table
}

/// A table without lines, so that five columns fit into a terminal.
fn table(first: &[&str], rest: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(first.iter().chain(rest).copied());
    table
}

fn align(table: &mut Table) {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
