//! The benchmark's result, as tables and as JSON.

use std::fs;

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{live::Absorbed, rounds::Cost};

/// Everything that was measured, and where.
pub struct Report {
    cpu: usize,
    rounds: u32,
    packets: u32,
    costs: Vec<Cost>,
    live: Vec<Absorbed>,
}

impl Report {
    /// Puts the parts together.
    pub fn new(
        cpu: usize,
        rounds: u32,
        packets: u32,
        costs: Vec<Cost>,
        live: Vec<Absorbed>,
    ) -> Self {
        Self {
            cpu,
            rounds,
            packets,
            costs,
            live,
        }
    }

    /// Tables for people.
    pub fn print(&self) -> Result<()> {
        println!("{}, Linux {}, CPU {}", model(), kernel(), self.cpu);
        println!(
            "ns per packet, min/median of {} rounds of {} packets, programs taking turns;\n\
             × the floor's median; making the packets is part of every figure",
            self.rounds, self.packets
        );
        println!("\n{}", self.cost_table());
        if !self.live.is_empty() {
            println!(
                "\nSYN flood of 16 sources at full speed over a veth; it is made and met on CPU {}",
                self.cpu
            );
            println!("{}", self.live_table());
        }
        Ok(())
    }

    /// The same for machines.
    pub fn print_json(&self) -> Result<()> {
        let costs: Vec<Value> = self
            .costs
            .iter()
            .map(|cost| {
                json!({
                    "program": cost.subject,
                    "traffic": cost.traffic,
                    "min_ns": cost.min(),
                    "median_ns": cost.median(),
                    "ratio_to_floor": self.ratio(cost),
                    "above_floor_ns": cost.min().saturating_sub(self.floor(cost.traffic).map_or(0, Cost::min)),
                    "last_verdict": verdict(cost.verdict),
                })
            })
            .collect();
        let live: Vec<Value> = self
            .live
            .iter()
            .map(|absorbed| {
                json!({
                    "program": absorbed.subject,
                    "median_packets_per_second": absorbed.median(),
                    "packets_per_second": absorbed.rates,
                    "ratio_to_bare_drop": self.share_of_bare(absorbed),
                })
            })
            .collect();
        let whole = json!({
            "schema": 1,
            "machine": { "cpu_model": model(), "kernel": kernel(), "cpu": self.cpu },
            "rounds": self.rounds,
            "packets_per_round": self.packets,
            "costs": costs,
            "live": live,
        });
        let text =
            serde_json::to_string_pretty(&whole).context("cannot write the result as JSON")?;
        println!("{text}");
        Ok(())
    }

    fn cost_table(&self) -> Table {
        let mut traffics: Vec<&str> = self.costs.iter().map(|cost| cost.traffic).collect();
        traffics.dedup();
        let mut subjects: Vec<&str> = self.costs.iter().map(|cost| cost.subject).collect();
        subjects.truncate(self.costs.len() / traffics.len().max(1));

        let mut table = table(&["program"], &traffics);
        for subject in subjects {
            let mut row = vec![subject.to_owned()];
            for traffic in &traffics {
                let cost = self
                    .costs
                    .iter()
                    .find(|c| c.subject == subject && c.traffic == *traffic);
                row.push(cost.map_or_else(String::new, |cost| {
                    format!("{}/{} ×{:.1}", cost.min(), cost.median(), self.ratio(cost))
                }));
            }
            table.add_row(row);
        }
        align(&mut table);
        table
    }

    fn live_table(&self) -> Table {
        let mut table = table(&["program"], &["packets/s absorbed", "of a bare drop"]);
        for absorbed in &self.live {
            table.add_row([
                absorbed.subject.to_owned(),
                format!("{:.2} M", absorbed.median() as f64 / 1e6),
                format!("{:.0} %", self.share_of_bare(absorbed) * 100.0),
            ]);
        }
        align(&mut table);
        table
    }

    /// The first program measured is the floor.
    fn floor(&self, traffic: &str) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.traffic == traffic)
    }

    fn ratio(&self, cost: &Cost) -> f64 {
        let floor = self.floor(cost.traffic).map_or(0, Cost::median).max(1);
        cost.median() as f64 / floor as f64
    }

    fn share_of_bare(&self, absorbed: &Absorbed) -> f64 {
        let bare = self.live.first().map_or(0, Absorbed::median).max(1);
        absorbed.median() as f64 / bare as f64
    }
}

/// A table without lines, so that five columns fit into 80 characters.
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

fn verdict(number: u32) -> &'static str {
    match number {
        1 => "drop",
        2 => "pass",
        3 => "tx",
        4 => "redirect",
        _ => "aborted",
    }
}

fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(
            || "unknown processor".to_owned(),
            |(_, name)| name.trim().to_owned(),
        )
}

fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}
