//! `floodwall incident`: a story that can be handed on.

pub mod words;

use std::{
    io::{self, Write},
    time::Duration,
};

use jiff::Timestamp;

use super::{Columns, Style, Tone, number, safe, table, time};
use crate::{
    api::types::{IncidentDetail, IncidentPage, SecondStatus},
    config::units::format_duration,
    detect::output::{HitReport, Report, SourceReport},
};

/// Rows of the course of an incident.
const ROWS: usize = 20;

/// All incidents of a page, newest first.
pub fn render_list(out: &mut impl Write, page: &IncidentPage, style: &Style) -> io::Result<()> {
    if page.incidents.is_empty() && page.damaged.is_empty() {
        return writeln!(out, "No incident.");
    }
    let names = [
        "id",
        "began",
        "lasted",
        "what",
        "target",
        "peak",
        "peak bits",
        "stopped",
        "passed",
    ];
    let columns = Columns {
        names: &names,
        numbers: &[0, 5, 6, 7, 8],
    };
    let rows = page.incidents.iter().map(|incident| {
        vec![
            incident.id.to_string(),
            time(incident.first),
            incident
                .end
                .map_or_else(|| "open".to_owned(), |end| lasted(incident.first, end)),
            safe(&incident.vectors.join(" ")),
            safe(&incident.targets.join(" ")),
            number::rate(incident.peak_packets),
            number::bits(incident.peak_bits),
            number::grouped(incident.stopped),
            number::grouped(incident.passed),
        ]
    });
    table(out, style, &columns, rows)?;
    for id in &page.damaged {
        let line = format!("The report of incident {id} is damaged, or of another version.");
        writeln!(out, "{}", style.paint(Tone::Warning, &line))?;
    }
    if let Some(next) = page.next {
        writeln!(out, "Older ones: floodwall incident list --before {next}")?;
    }
    Ok(())
}

/// One incident, all of it.
pub fn render(out: &mut impl Write, detail: &IncidentDetail, style: &Style) -> io::Result<()> {
    let report = &detail.incident;
    let (state, tone) = if report.end.is_some() {
        ("over", Tone::Good)
    } else {
        ("OPEN", Tone::Bad)
    };
    let title = safe(&words::title(report));
    let state = style.paint(tone, state);
    writeln!(out, "Incident {}: {title} ({state})", report.id)?;
    writeln!(out)?;
    when(out, report)?;
    what_came(out, report, style)?;
    from_whom(out, report, style)?;
    what_was_done(out, detail, style)?;
    what_passed(out, report, style)?;
    course(out, &detail.seconds, style)?;
    heading(out, "What clients and this host lost besides")?;
    sentences(out, &report.losses, "Nothing that could be measured.")?;
    heading(out, "What was not measured")?;
    sentences(out, &report.unmeasured, "Nothing is known to be missing.")?;
    if detail.damaged > 0 {
        let line = format!("{} minutes of the history were damaged.", detail.damaged);
        writeln!(out, "  {}", style.paint(Tone::Warning, &line))?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "{}", text.to_uppercase())
}

fn sentences(out: &mut impl Write, all: &[String], none: &str) -> io::Result<()> {
    if all.is_empty() {
        return writeln!(out, "  {none}");
    }
    all.iter()
        .try_for_each(|text| writeln!(out, "  - {}", safe(text)))
}

fn when(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let later = |at: Timestamp| {
        let after = report.first.duration_until(at).as_secs_f64().max(0.0);
        format!("{after:.1} s after it")
    };
    line(
        out,
        "First packet",
        report.first,
        "as far as it can be told",
    )?;
    line(out, "Noticed", report.detected, &later(report.detected))?;
    match report.mitigated {
        Some(at) => line(
            out,
            "Mitigated",
            at,
            &format!("{}: 95 % of it was stopped from here on", later(at)),
        )?,
        None => writeln!(
            out,
            "  {:<13} never: less than 95 % of it was stopped",
            "Mitigated"
        )?,
    }
    line(out, "Strongest", report.peak, "")?;
    match report.end {
        Some(end) => line(
            out,
            "Ended",
            end,
            &format!("it lasted {}", lasted(report.first, end)),
        ),
        None => writeln!(out, "  {:<13} not yet", "Ended"),
    }
}

fn line(out: &mut impl Write, name: &str, at: Timestamp, note: &str) -> io::Result<()> {
    let gap = if note.is_empty() { "" } else { "  " };
    writeln!(out, "  {name:<13} {}{gap}{note}", time(at))
}

fn what_came(out: &mut impl Write, report: &Report, style: &Style) -> io::Result<()> {
    heading(out, "What came")?;
    let names = [
        "vector",
        "target",
        "state",
        "peak",
        "peak bits",
        "mean",
        "mean bits",
        "usual",
    ];
    let columns = Columns {
        names: &names,
        numbers: &[3, 4, 5, 6, 7],
    };
    let rows = report.vectors.iter().map(|vector| {
        vec![
            vector.vector.name().to_owned(),
            vector.target.to_string(),
            vector.phase.to_string(),
            number::rate(vector.peak_packets),
            number::bits(vector.peak_bits),
            number::rate(vector.mean_packets),
            number::bits(vector.mean_bits),
            number::rate(vector.usual),
        ]
    });
    table(out, style, &columns, rows)?;
    for vector in &report.vectors {
        let (name, target) = (vector.vector.text(), &vector.target);
        let sources = words::sources(vector.spoofed);
        let evidence = safe(&vector.evidence);
        writeln!(
            out,
            "  - {name} at {target}: its sources {sources}. {evidence}"
        )?;
    }
    Ok(())
}

fn from_whom(out: &mut impl Write, report: &Report, style: &Style) -> io::Result<()> {
    heading(out, "From whom")?;
    if report.sources.is_empty() {
        return writeln!(out, "  No source stood out, or none could be told.");
    }
    let columns = Columns {
        names: &[
            "source",
            "packets",
            "too high by at most",
            "proof of address",
        ],
        numbers: &[1, 2],
    };
    let rows = report.sources.iter().map(|source| {
        vec![
            source.prefix.to_string(),
            number::grouped(source.packets),
            number::grouped(source.error),
            proof(source).to_owned(),
        ]
    });
    table(out, style, &columns, rows)?;
    if report.sources.iter().any(|source| source.may_be_forged) {
        writeln!(
            out,
            "  An address that can have been forged says nothing about whoever owns it: do not \
             accuse or\n  block its owner because of this list alone."
        )?;
    }
    Ok(())
}

const fn proof(source: &SourceReport) -> &'static str {
    if source.may_be_forged {
        "none: it can have been forged"
    } else {
        "it completed a handshake: it is real"
    }
}

fn what_was_done(out: &mut impl Write, detail: &IncidentDetail, style: &Style) -> io::Result<()> {
    heading(out, "What was done, by whom and why")?;
    let mut rows: Vec<(Timestamp, Vec<String>)> = Vec::new();
    for action in &detail.incident.actions {
        let row = vec![
            time(action.at),
            "controller".to_owned(),
            safe(&action.told()),
            // What is taken back has no end.
            action.until.map(time).unwrap_or_default(),
            safe(&action.why),
        ];
        rows.push((action.at, row));
    }
    for event in &detail.events {
        let row = vec![
            time(event.at),
            safe(&event.by),
            safe(&event.text),
            String::new(),
            safe(&event.kind),
        ];
        rows.push((event.at, row));
    }
    if rows.is_empty() {
        return writeln!(out, "  Nothing.");
    }
    rows.sort_by_key(|(at, _)| *at);
    let columns = Columns {
        names: &["when", "by", "what", "until", "why"],
        numbers: &[],
    };
    table(out, style, &columns, rows.into_iter().map(|(_, row)| row))
}

fn what_passed(out: &mut impl Write, report: &Report, style: &Style) -> io::Result<()> {
    heading(out, "What passed")?;
    let whole = report.stopped.saturating_add(report.passed);
    writeln!(
        out,
        "  {} packets were stopped; {} above what is usual went to the stack ({} of both).",
        number::grouped(report.stopped),
        number::grouped(report.passed),
        number::share(report.passed, whole)
    )?;
    let good = format!(
        "{} packets of sources known as good were stopped.",
        number::grouped(report.good_stopped)
    );
    let tone = if report.good_stopped == 0 {
        Tone::Good
    } else {
        Tone::Bad
    };
    writeln!(out, "  {}", style.paint(tone, &good))?;
    if !report.hit.is_empty() {
        writeln!(out)?;
        hits(out, &report.hit, style)?;
    }
    Ok(())
}

/// Who proved an address and was met all the same.
pub(super) fn hits(out: &mut impl Write, hits: &[HitReport], style: &Style) -> io::Result<()> {
    let columns = Columns {
        names: &[
            "hit, though its address is proven",
            "reason",
            "packets",
            "were",
        ],
        numbers: &[2],
    };
    let rows = hits.iter().map(|hit| {
        let were = if hit.stopped {
            "stopped"
        } else {
            "watched: would be stopped"
        };
        vec![
            hit.source.to_string(),
            safe(&hit.reason),
            number::grouped(hit.packets),
            were.to_owned(),
        ]
    });
    table(out, style, &columns, rows)
}

/// Seconds, as many together as give a table that can be read; of each its strongest second.
fn course(out: &mut impl Write, seconds: &[SecondStatus], style: &Style) -> io::Result<()> {
    if seconds.is_empty() {
        return Ok(());
    }
    let size = seconds.len().div_ceil(ROWS);
    heading(out, "Its course, strongest seconds")?;
    let columns = Columns {
        names: &[
            "from",
            "received",
            "bits",
            "stopped",
            "would stop",
            "passed",
            "most of",
        ],
        numbers: &[1, 2, 3, 4, 5],
    };
    let rows = seconds.chunks(size).map(|part| {
        let most = |of: fn(&SecondStatus) -> u64| part.iter().map(of).max().unwrap_or(0);
        let per_second = |packets: u64| format!("{}/s", number::grouped(packets));
        let strongest = part.iter().max_by_key(|second| second.received.packets);
        let class = strongest.and_then(|second| {
            let classes = second.classes.iter();
            classes.max_by_key(|(_, count)| count.packets)
        });
        vec![
            part.first()
                .map_or_else(String::new, |first| time(first.at)),
            per_second(most(|it| it.received.packets)),
            number::bits(most(|it| it.received.bytes) as f64 * 8.0),
            per_second(most(|it| it.stopped.packets)),
            per_second(most(|it| it.would_stop.packets)),
            per_second(most(|it| it.passed.packets)),
            class.map_or_else(String::new, |(name, _)| safe(name)),
        ]
    });
    table(out, style, &columns, rows)
}

fn lasted(from: Timestamp, to: Timestamp) -> String {
    let seconds = from.duration_until(to).as_secs().max(0);
    format_duration(Duration::from_secs(seconds.cast_unsigned()))
}

#[cfg(test)]
mod tests;
