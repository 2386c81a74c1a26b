//! The benchmark's result for machines.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    live::Absorbed,
    report::Report,
    section::Measured,
    targets::{self, Goal, Target},
};

/// Prints everything as one JSON document.
pub fn print(report: &Report) -> Result<()> {
    let flood = |flood: &[Absorbed], share: &str| -> Vec<Value> {
        let programs = flood.iter().map(|absorbed| {
            json!({
                "program": absorbed.subject,
                "median_packets_per_second": absorbed.median(),
                "packets_per_second": absorbed.rates,
                share: report.share_of_bare(absorbed.subject).map(|it| it.1),
            })
        });
        programs.collect()
    };
    let growths: Vec<Value> = report
        .growths
        .iter()
        .map(|growth| {
            json!({
                "program": growth.subject,
                "traffic": growth.traffic,
                "one_cpu_min_ns": growth.alone.first(),
                "two_cpus_over_one_median": growth.median(),
                "two_cpus_over_one_best": growth.best(),
            })
        })
        .collect();
    let load = report.load.as_ref().map(|load| {
        let seconds: Vec<f64> = load.times.iter().map(|it| it.as_secs_f64()).collect();
        json!({ "import_seconds": seconds, "map_memory_bytes": load.map_memory })
    });
    let whole = json!({
        "schema": 2,
        "machine": {
            "cpu_model": report.machine.model,
            "kernel": report.machine.kernel,
            "cpu": report.machine.cpu,
        },
        "rounds": report.effort.rounds,
        "packets_per_round": report.effort.packets,
        "sections": report.sections.iter().map(section).collect::<Vec<_>>(),
        "two_cpus": growths,
        "live": flood(&report.live, "percent_of_bare_drop"),
        "answers": flood(&report.answers, "percent_of_bare_answer"),
        "load": load,
        "targets": targets::all(report).iter().map(target).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&whole).context("cannot write the result as JSON")?;
    println!("{text}");
    Ok(())
}

fn section(section: &Measured) -> Value {
    let costs: Vec<Value> = section
        .costs
        .iter()
        .map(|cost| {
            let floor = section.floor(cost.traffic).unwrap_or(cost);
            json!({
                "program": cost.subject,
                "traffic": cost.traffic,
                "min_ns": cost.min(),
                "median_ns": cost.median(),
                "above_floor_min_ns": cost.min_above(floor),
                "above_floor_median_ns": cost.median_above(floor),
                "ratio_to_floor": cost.median() as f64 / floor.median().max(1) as f64,
                "last_verdict": verdict(cost.verdict),
            })
        })
        .collect();
    json!({ "id": section.id, "title": section.title, "costs": costs })
}

fn target(target: &Target) -> Value {
    let (most, least) = match target.goal {
        Goal::AtMost(most) => (Some(most), None),
        Goal::AtLeast(least) => (None, Some(least)),
    };
    json!({
        "about": target.about,
        "at_most": most,
        "at_least": least,
        "unit": target.unit,
        "best": target.best,
        "median": target.median,
        "verdict": target.verdict(),
    })
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
