//! The catalogue for programs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Measured, Report, Row, ceiling::Bears, measured::Deed};

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    machine: String,
    cpu: usize,
    seconds: u64,
    calm: Sites<'a>,
    rows: Vec<Attack<'a>>,
}

#[derive(Serialize)]
struct Attack<'a> {
    row: Option<u8>,
    name: &'a str,
    about: &'a str,
    pace: u64,
    #[serde(flatten)]
    by: Sites<'a>,
    bears: Option<Borne>,
}

#[derive(Serialize)]
struct Sites<'a> {
    floodwall: Site<'a>,
    nothing: Site<'a>,
    bare_drop: Site<'a>,
}

/// Packets a second; `at_least` where the generator is not faster, null where not even the slowest
/// flood is borne.
#[derive(Serialize)]
struct Borne {
    floodwall: Option<u64>,
    floodwall_at_least: bool,
    nothing: Option<u64>,
    nothing_at_least: bool,
}

#[derive(Serialize)]
struct Site<'a> {
    sent: u64,
    arrived: u64,
    passed: u64,
    stopped: f64,
    /// From the first packet to when 95 % were stopped, where that had to be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    mitigated_ms: Option<f64>,
    answered: f64,
    p99_ms: f64,
    pages_per_second: f64,
    longest_gap_ms: f64,
    bots_accepted: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reasons: BTreeMap<String, u64>,
    /// What the controller did, in order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    deeds: &'a [Deed],
    people: BTreeMap<&'static str, Person>,
}

#[derive(Serialize)]
struct Person {
    answered: u64,
    failed: u64,
    p99_ms: f64,
}

/// The whole report.
pub fn of(report: &Report) -> Result<String> {
    let document = Document {
        schema: 1,
        machine: report.machine.to_string(),
        cpu: report.machine.cpu,
        seconds: report.time.as_secs(),
        calm: sites(&report.calm),
        rows: report.rows.iter().map(attack).collect(),
    };
    serde_json::to_string_pretty(&document).context("cannot write the report as JSON")
}

fn attack(row: &Row) -> Attack<'_> {
    Attack {
        row: row.row,
        name: &row.name,
        about: &row.about,
        pace: row.pace,
        by: sites(&row.by),
        bears: row.bears.map(|[with, without]| Borne {
            floodwall: rate(with),
            floodwall_at_least: matches!(with, Bears::All(_)),
            nothing: rate(without),
            nothing_at_least: matches!(without, Bears::All(_)),
        }),
    }
}

fn rate(bears: Bears) -> Option<u64> {
    match bears {
        Bears::Less(_) => None,
        Bears::About(rate) | Bears::All(rate) => Some(rate),
    }
}

fn sites(by: &[Measured; 3]) -> Sites<'_> {
    let [floodwall, nothing, bare_drop] = by.each_ref().map(site);
    Sites {
        floodwall,
        nothing,
        bare_drop,
    }
}

fn site(measured: &Measured) -> Site<'_> {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let people = measured.reports.iter().map(|report| {
        let person = Person {
            answered: report.heard.answered,
            failed: report.heard.failed,
            p99_ms: millis(report.heard.quantile(0.99)),
        };
        (report.who, person)
    });
    Site {
        sent: measured.sent,
        arrived: measured.arrived,
        passed: measured.passed,
        stopped: measured.stopped(),
        mitigated_ms: measured.mitigated.map(millis),
        answered: measured.success(),
        p99_ms: millis(measured.web().quantile(0.99)),
        pages_per_second: measured.pages(),
        longest_gap_ms: millis(measured.gap()),
        bots_accepted: measured.strangers,
        reasons: measured.reasons.clone(),
        deeds: &measured.deeds,
        people: people.collect(),
    }
}
