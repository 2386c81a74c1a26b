//! The catalogue on a terminal.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::{Measured, Promise, Report, Row, Setup, Subject, ceiling::Bears, measured::Deed};
use crate::document::grouped;

/// A row in one line, as it is measured.
pub fn line(row: &Row) -> String {
    let [floodwall, ..] = &row.by;
    format!(
        "{:>2} {:<24} {:>9} sent, {:>7} % stopped, {:>7} % of requests answered",
        number(row),
        row.name,
        grouped(floodwall.sent),
        percent(floodwall.stopped()),
        percent(floodwall.success()),
    )
}

/// The number of a row.
pub fn number(row: &Row) -> String {
    row.row
        .map_or_else(|| "-".to_owned(), |row| row.to_string())
}

/// Prints what was measured.
pub fn print(report: &Report) {
    let [first, second, third] = Subject::ALL;
    println!("{}", report.machine);
    println!(
        "Server, people and flood share CPU {}; each measurement lasts {} s.",
        report.machine.cpu,
        report.time.as_secs()
    );
    println!(
        "Three figures are: behind {first} / behind {second} / behind a {third} of that same flood.\n"
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADS);
    table.add_row(calm(report));
    for row in &report.rows {
        table.add_row(cells(row));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index != 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    for note in report.rows.iter().flat_map(notes) {
        println!("{note}");
    }
    for line in verdict(report) {
        println!("{line}");
    }
}

/// The p99 latency of a page that is to be reached, in that behind a bare drop.
const P99: f64 = 1.3;

/// Which promises were kept, and which not.
pub fn verdict(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let promised: Vec<(&Row, Promise)> = report
        .rows
        .iter()
        .filter_map(|row| Some((row, row.promise?)))
        .collect();
    let mut kept = 0;
    for (row, promise) in &promised {
        let [floodwall, ..] = &row.by;
        let broken = promise.broken(floodwall);
        if broken.is_empty() {
            kept += 1;
        } else {
            lines.push(format!("Not kept, {}: {}.", row.name, broken.join("; ")));
        }
    }
    if !promised.is_empty() {
        lines.insert(
            0,
            format!("{kept} of {} promises were kept.", promised.len()),
        );
    }
    if report.setup == Setup::Default {
        let late: Vec<String> = report.rows.iter().filter_map(late).collect();
        if !late.is_empty() {
            lines.push(format!(
                "95 % were stopped later than {} s after the first packet in: {}.",
                IN_TIME.as_secs(),
                late.join(", ")
            ));
        }
    }
    let slower: Vec<String> = report.rows.iter().filter_map(slower).collect();
    if !slower.is_empty() {
        lines.push(format!(
            "The p99 latency of a page was more than {P99} × that behind a bare drop in: {}.",
            slower.join(", ")
        ));
    }
    lines
}

/// Until when 95 % of a flood have to be stopped.
const IN_TIME: Duration = Duration::from_secs(1);

fn late(row: &Row) -> Option<String> {
    let [floodwall, ..] = &row.by;
    if !row.promise?.is_in_time() {
        return None;
    }
    match floodwall.mitigated {
        Some(time) if time <= IN_TIME => None,
        Some(time) => Some(format!("{} ({} ms)", row.name, time.as_millis())),
        None => Some(format!("{} (not within two seconds)", row.name)),
    }
}

fn slower(row: &Row) -> Option<String> {
    let [floodwall, _, bare] = row
        .by
        .each_ref()
        .map(|it| it.web().quantile(0.99).as_secs_f64());
    let ratio = floodwall / bare;
    (ratio > P99).then(|| format!("{} ({ratio:.1} ×)", row.name))
}

/// The heads of the table's columns.
pub const HEADS: [&str; 12] = [
    "row",
    "attack",
    "pace/s",
    "sent",
    "ms to stop",
    "stopped %",
    "passed",
    "answered %",
    "p99 ms",
    "pages/s",
    "gap ms",
    "bears/s",
];

/// The line without a flood.
pub fn calm(report: &Report) -> [String; 12] {
    let dash = || "-".to_owned();
    [
        dash(),
        "calm".to_owned(),
        dash(),
        dash(),
        dash(),
        dash(),
        dash(),
        three(&report.calm, |it| percent(it.success())),
        three(&report.calm, p99),
        three(&report.calm, pages),
        three(&report.calm, gap),
        dash(),
    ]
}

/// A line for an attack.
pub fn cells(row: &Row) -> [String; 12] {
    let [floodwall, ..] = &row.by;
    let bears = match &row.bears {
        None => "-".to_owned(),
        Some([with, without]) => format!("{} / {}", borne(*with), borne(*without)),
    };
    [
        number(row),
        row.name.clone(),
        grouped(row.pace),
        grouped(floodwall.sent),
        to_stop(floodwall),
        percent(floodwall.stopped()),
        grouped(floodwall.passed),
        three(&row.by, |it| percent(it.success())),
        three(&row.by, p99),
        three(&row.by, pages),
        three(&row.by, gap),
        bears,
    ]
}

/// What does not fit into columns: a partner, connections of bots, and who suffered.
pub fn notes(row: &Row) -> Vec<String> {
    let [floodwall, stack, _] = &row.by;
    let name = &row.name;
    let mut notes = Vec::new();
    if stack.strangers > 0 {
        notes.push(format!(
            "{name}: of {} connections that bots began, {} were accepted behind floodwall; of {} behind nothing, {}.",
            grouped(floodwall.sent),
            grouped(floodwall.strangers),
            grouped(stack.sent),
            grouped(stack.strangers),
        ));
    }
    let partner = |measured: &Measured| measured.heard(|who| who == super::super::people::PARTNER);
    if partner(floodwall).asked() > 0 {
        notes.push(format!(
            "{name}: of the partner's own requests, {} % were answered.",
            percent(partner(floodwall).success())
        ));
    }
    if let Some(time) = row.learned {
        notes.push(format!(
            "{name}: floodwall had seen {} s of calm traffic before.",
            time.as_secs()
        ));
    }
    // What a row of the catalogue is met by is known; who replays a capture wants to.
    if row.row.is_none() || row.learned.is_some() {
        let told = floodwall.deeds.iter();
        notes.extend(told.map(|deed| {
            let Deed {
                after_ms,
                what,
                why,
            } = deed;
            format!("{name}: after {after_ms} ms, {what}, for {why}.")
        }));
    }
    if row.row.is_none() {
        notes.push(format!(
            "{name}: packets by reason: {}.",
            floodwall.reasons()
        ));
    }
    let meanwhile = floodwall.meanwhile_heard();
    if meanwhile.failed > 0 {
        notes.push(format!(
            "{name}: before that was counted, in the first two seconds, {} of {} requests failed.",
            meanwhile.failed,
            meanwhile.asked(),
        ));
    }
    let sufferers = floodwall.sufferers();
    if !sufferers.is_empty() {
        notes.push(format!(
            "{name}, behind floodwall: {}.",
            sufferers.join("; ")
        ));
    }
    notes
}

fn three(by: &[Measured; 3], figure: impl Fn(&Measured) -> String) -> String {
    by.each_ref().map(figure).join(" / ")
}

fn to_stop(measured: &Measured) -> String {
    measured
        .mitigated
        .map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string())
}

fn p99(measured: &Measured) -> String {
    format!("{:.1}", measured.web().quantile(0.99).as_secs_f64() * 1e3)
}

fn pages(measured: &Measured) -> String {
    format!("{:.0}", measured.pages())
}

fn gap(measured: &Measured) -> String {
    format!("{:.0}", measured.gap().as_secs_f64() * 1e3)
}

fn borne(bears: Bears) -> String {
    match bears {
        Bears::Less(pace) => format!("< {}", grouped(pace)),
        Bears::About(pace) => grouped(pace),
        Bears::All(pace) => format!("> {}", grouped(pace)),
    }
}

/// Rounded down, so that 100 means all.
pub fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0).floor() / 100.0;
    if hundredths >= 100.0 {
        "100".to_owned()
    } else {
        format!("{hundredths:.2}")
    }
}
