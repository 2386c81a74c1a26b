//! The rows of each pane, and all that is known of one.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    app::{Pane, Scene},
    texts::{self, safe},
};
use crate::{
    api::types::{Action, DefenceState, DefenceStatus, HeldOverride},
    detect::{
        Phase,
        output::{self, SourceReport, VectorReport},
    },
    render::{self, Tone, incidents::words, number},
};

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// By which it is found again wherever it moves.
    pub key: String,
    pub tone: Option<Tone>,
    /// As many as the pane has columns.
    pub cells: Vec<String>,
    /// All of it, for whoever asks: names and texts.
    pub details: Vec<(&'static str, String)>,
    pub what: What,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A source, and whether it may be forged.
    Source(IpNet, bool),
    Other,
}

/// A column: its heading, which cell stands in it, and how.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub cell: usize,
    /// How wide; the one without a width takes what is left.
    pub width: Option<usize>,
    pub is_number: bool,
}

const fn text(name: &'static str, cell: usize, width: usize) -> Column {
    Column {
        name,
        cell,
        width: Some(width),
        is_number: false,
    }
}

const fn rate(name: &'static str, cell: usize, width: usize) -> Column {
    Column {
        is_number: true,
        ..text(name, cell, width)
    }
}

const fn rest(name: &'static str, cell: usize) -> Column {
    Column {
        width: None,
        ..text(name, cell, 0)
    }
}

/// The columns of a pane; where the screen is wide, with more room for each.
pub fn columns(pane: Pane, is_wide: bool) -> Vec<Column> {
    match (pane, is_wide) {
        (Pane::Vectors, false) => vec![
            rest("vector", 0),
            text("target", 1, 15),
            text("phase", 2, 12),
            rate("now", 3, 7),
            rate("usual", 4, 7),
            rate("times", 5, 6),
            text("sources", 6, 9),
        ],
        (Pane::Vectors, true) => vec![
            text("vector", 0, 28),
            text("target", 1, 22),
            text("phase", 2, 12),
            rate("now", 3, 7),
            rate("usual", 4, 7),
            rate("times", 5, 6),
            text("sources", 6, 9),
            rest("evidence", 7),
        ],
        (Pane::Sources, false) => vec![
            rest("source", 0),
            rate("about", 1, 8),
            text("forged", 2, 13),
        ],
        (Pane::Sources, true) => vec![
            text("source", 0, 43),
            rate("about", 1, 8),
            rest("forged", 2),
        ],
        (Pane::Reasons, false) => vec![rest("reason", 0), rate("stopped", 1, 14)],
        (Pane::Reasons, true) => vec![
            text("reason", 0, 20),
            rate("stopped", 1, 14),
            rest("means", 2),
        ],
        (Pane::Actions, false) => vec![rest("what", 0), text("until", 1, 16)],
        (Pane::Actions, true) => vec![
            text("at", 2, 10),
            text("what", 0, 32),
            rest("why", 3),
            text("until", 1, 16),
        ],
        (Pane::Defences, false) => vec![rest("what", 0), text("until", 1, 16)],
        (Pane::Defences, true) => vec![text("what", 0, 48), rest("until", 1)],
    }
}

/// The cell that says why a row is there, and stands below the rows for want of a column.
pub const fn below(pane: Pane, is_wide: bool) -> Option<usize> {
    match (pane, is_wide) {
        (Pane::Vectors, false) => Some(7),
        (Pane::Actions, false) => Some(3),
        (Pane::Vectors | Pane::Actions, true)
        | (Pane::Sources | Pane::Reasons | Pane::Defences, _) => None,
    }
}

/// What a pane is called.
pub const fn title(pane: Pane) -> &'static str {
    match pane {
        Pane::Vectors => "Vectors of attack",
        Pane::Sources => "Top sources",
        Pane::Reasons => "Stopped, a second, by reason",
        Pane::Actions => "What floodwall did",
        Pane::Defences => "Held now",
    }
}

/// What is said where there is no row.
pub const fn nothing(pane: Pane) -> &'static str {
    match pane {
        Pane::Vectors => "Calm: nothing is above what is usual.",
        Pane::Sources => "None stands out.",
        Pane::Reasons => "Nothing is stopped.",
        Pane::Actions => "Nothing of late.",
        Pane::Defences => "No defence holds.",
    }
}

/// The rows of a pane.
pub fn rows(pane: Pane, scene: &Scene) -> Vec<Row> {
    match pane {
        Pane::Vectors => {
            let now = scene.view.vectors_now.iter().copied().map(Some);
            let now = now.chain(std::iter::repeat(None));
            let vectors = scene.view.vectors.iter().zip(now);
            vectors.map(|(report, now)| vector(report, now)).collect()
        }
        Pane::Sources => scene.view.sources.iter().map(source).collect(),
        Pane::Reasons => reasons(scene),
        Pane::Actions => {
            let actions = scene.view.actions.iter();
            actions.map(|did| action(did, scene)).collect()
        }
        Pane::Defences => held(scene),
    }
}

fn vector(report: &VectorReport, now: Option<f64>) -> Row {
    let tone = match report.phase {
        Phase::Attack => Some(Tone::Bad),
        Phase::Suspected => Some(Tone::Warning),
        Phase::Recovering => Some(Tone::Good),
        Phase::Calm => None,
    };
    let unknown = || "-".to_owned();
    let times = now
        .filter(|_| report.usual >= 1.0)
        .map_or_else(unknown, |now| times(now / report.usual));
    let (what, target) = (report.vector.text(), report.target.to_string());
    let details = vec![
        ("vector", format!("{what} ({})", report.vector.name())),
        ("target", target.clone()),
        ("phase", report.phase.to_string()),
        ("now", now.map_or_else(unknown, number::rate)),
        ("usual", number::rate(report.usual)),
        (
            "peak",
            format!(
                "{}, {}",
                number::rate(report.peak_packets),
                number::bits(report.peak_bits)
            ),
        ),
        ("sources", words::sources(report.spoofed).to_owned()),
        ("evidence", safe(&report.evidence)),
    ];
    Row {
        key: format!("{} {target}", report.vector.name()),
        tone,
        cells: vec![
            what.to_owned(),
            target,
            report.phase.to_string(),
            now.map_or_else(unknown, number::short_rate),
            number::short_rate(report.usual),
            times,
            texts::spoofed(report.spoofed).to_owned(),
            safe(&report.evidence),
        ],
        details,
        what: What::Other,
    }
}

/// How many times as much, in six columns.
fn times(ratio: f64) -> String {
    if ratio < 9.95 {
        format!("{ratio:.1}x")
    } else if ratio < 9_999.5 {
        format!("{ratio:.0}x")
    } else {
        ">9999x".to_owned()
    }
}

fn source(report: &SourceReport) -> Row {
    let name = texts::source(&report.prefix);
    let (forged, words) = if report.may_be_forged {
        (
            "may be forged",
            "may be forged: it completed no handshake that floodwall knows of",
        )
    } else {
        ("real", "real: it completed a handshake")
    };
    let about = format!(
        "{} packets a second, at most {} of them not its own",
        number::grouped(report.packets),
        number::grouped(report.error)
    );
    Row {
        key: name.clone(),
        tone: (!report.may_be_forged).then_some(Tone::Warning),
        cells: vec![
            name.clone(),
            format!("~{}", number::short_rate(report.packets as f64)),
            forged.to_owned(),
        ],
        details: vec![
            ("source", name),
            ("sends", format!("about {about}")),
            ("address", words.to_owned()),
        ],
        what: What::Source(report.prefix, report.may_be_forged),
    }
}

/// What is dropped or answered, and behind it what would be.
fn reasons(scene: &Scene) -> Vec<Row> {
    let mut rows: Vec<(f64, bool, Row)> = Vec::new();
    for (name, rate) in &scene.stats.reasons {
        let Some(known) = scene.status.reasons.get(name) else {
            continue;
        };
        let stopped = match known.action {
            Action::Pass => 0.0,
            Action::Drop | Action::Answer => rate.packets_per_second,
        };
        for (now, is_real) in [(stopped, true), (rate.would_drop_per_second, false)] {
            if now < 0.5 {
                continue;
            }
            let (key, shown) = if is_real {
                (name.clone(), number::rate(now))
            } else {
                (
                    format!("{name}?"),
                    format!("would {}", number::short_rate(now)),
                )
            };
            let row = Row {
                key,
                tone: None,
                cells: vec![safe(name), shown.clone(), safe(&known.text)],
                details: vec![
                    ("reason", safe(name)),
                    ("means", safe(&known.text)),
                    (
                        if is_real { "stopped" } else { "watched" },
                        number::rate(now),
                    ),
                    (
                        "so far",
                        format!("{} packets", number::grouped(known.packets)),
                    ),
                ],
                what: What::Other,
            };
            rows.push((now, is_real, row));
        }
    }
    rows.sort_by(|(one, first, _), (other, second, _)| {
        second.cmp(first).then(other.total_cmp(one))
    });
    rows.into_iter().map(|(_, _, row)| row).collect()
}

fn action(did: &output::Action, scene: &Scene) -> Row {
    let (what, why) = (safe(&did.told()), safe(&did.why));
    Row {
        key: format!("{} {what}", did.at),
        tone: None,
        cells: vec![
            what.clone(),
            did.until
                .map(|end| texts::until(Some(end), scene.stats.at))
                .unwrap_or_default(),
            texts::since(did.at, scene.stats.at),
            why.clone(),
        ],
        details: vec![
            ("at", render::time(did.at)),
            ("what", what),
            ("why", why),
            ("until", did.until.map(render::time).unwrap_or_default()),
        ],
        what: What::Other,
    }
}

/// Defences that hold, for whatever reason, and what else the controller holds.
fn held(scene: &Scene) -> Vec<Row> {
    let defences = scene.status.defences.iter();
    let holding = defences.filter(|it| it.state == DefenceState::Holding);
    let mut rows: Vec<Row> = holding.map(|it| defence(it, scene)).collect();
    let known: BTreeSet<String> = rows.iter().map(|row| row.key.clone()).collect();
    let others = scene.status.held.iter();
    let others = others.filter(|it| !known.contains(&it.name));
    rows.extend(others.map(|it| held_besides(it, scene)));
    rows
}

fn defence(status: &DefenceStatus, scene: &Scene) -> Row {
    let ports: Vec<_> = status.ports.iter().map(u16::to_string).collect();
    let at = if ports.is_empty() {
        String::new()
    } else {
        format!(" at {}", ports.join(" "))
    };
    let (end, why) = match &status.held {
        Some(held) => (
            texts::until(Some(held.until), scene.stats.at),
            format!("the controller holds it: {}", safe(&held.reason)),
        ),
        None => (
            safe(&status.mode),
            format!("mode {}, by {}", safe(&status.mode), safe(&status.by)),
        ),
    };
    let until = match &status.held {
        Some(held) => render::time(held.until),
        None => render::until(status.until),
    };
    let name = safe(&status.name);
    Row {
        key: format!("defence.{}", status.name),
        tone: status.held.is_some().then_some(Tone::Warning),
        cells: vec![format!("{name}{at}"), end],
        details: vec![
            ("defence", format!("{name}{at}")),
            ("why", why),
            ("until", until),
            ("dropped", number::grouped(status.dropped)),
            ("answered", number::grouped(status.answered)),
            ("ends by", format!("floodwall defence set {name} off")),
        ],
        what: What::Other,
    }
}

fn held_besides(it: &HeldOverride, scene: &Scene) -> Row {
    let what = format!("{} {}", safe(&it.name), safe(&it.value));
    Row {
        key: it.name.clone(),
        tone: Some(Tone::Warning),
        cells: vec![
            what.clone(),
            texts::until(Some(it.held.until), scene.stats.at),
        ],
        details: vec![
            ("held", what),
            ("else", safe(&it.otherwise)),
            ("why", safe(&it.held.reason)),
            ("until", render::time(it.held.until)),
            ("ends by", safe(&it.ends)),
        ],
        what: What::Other,
    }
}
