//! `floodwall status`: what somebody woken at 3 a.m. has to know, in the order of the questions.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    Columns, Style, Tone, bullets, defences, incidents, lists, number, safe, services, table, time,
    until,
};
use crate::{
    api::types::{Action, AttachMode, Count, Interface, Mode, OpenIncident, Status},
    config::units::format_duration,
    version,
};

/// Reasons that are shown.
const TOP: usize = 10;

/// All of it.
pub fn render(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    headline(out, status, style)?;
    writeln!(out, "{}", origin(status))?;
    if let Some(incident) = &status.incident {
        writeln!(out, "{}", style.paint(Tone::Bad, &attack(incident)))?;
    }
    pending(out, status, style)?;
    writeln!(out)?;
    interfaces(out, &status.interfaces, style)?;
    writeln!(out)?;
    totals(out, status, style)?;
    top_reasons(out, status, style)?;
    if !status.hit.is_empty() {
        writeln!(out)?;
        incidents::hits(out, &status.hit, style)?;
        writeln!(
            out,
            "Within ten minutes, estimated. Packets that are forged in the name of such a source count too."
        )?;
    }
    overrides(out, status, style)?;
    held(out, status, style)?;
    if !status.services.is_empty() {
        writeln!(out)?;
        services::render(out, &status.services, style)?;
    }
    if !status.defences.is_empty() {
        writeln!(out)?;
        defences::brief(out, &status.defences, style)?;
    }
    if !status.lists.is_empty() {
        writeln!(out)?;
        lists::brief(out, &status.lists, style)?;
    }
    tables(out, status, style)?;
    if !status.warnings.is_empty() {
        writeln!(out)?;
        writeln!(out, "{}", style.paint(Tone::Warning, "WARNINGS"))?;
        bullets(out, &status.warnings)?;
    }
    Ok(())
}

/// The mode in words, as the first line of `status` says it.
pub fn mode_in_words(status: &Status) -> String {
    let drops = || {
        status
            .reasons
            .values()
            .filter(|reason| reason.action != Action::Pass)
    };
    let enforced = drops().filter(|reason| reason.enforced).count();
    match status.mode {
        Mode::Monitor => "MONITOR: nothing is dropped".to_owned(),
        Mode::Enforce if enforced == drops().count() => {
            "ENFORCE: what floodwall finds is dropped".to_owned()
        }
        Mode::Enforce => {
            let all = drops().count();
            format!("ENFORCE in part: {enforced} of {all} reasons drop, the others are watched")
        }
    }
}

fn headline(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    let tone = match status.mode {
        Mode::Monitor => Tone::Warning,
        Mode::Enforce => Tone::Good,
    };
    writeln!(out, "{}", style.paint(tone, &mode_in_words(status)))?;
    let bare: Vec<_> = status
        .interfaces
        .iter()
        .filter(|interface| interface.attach.is_none())
        .map(|interface| safe(&interface.name))
        .collect();
    if status.interfaces.is_empty() {
        writeln!(
            out,
            "{}",
            style.paint(Tone::Bad, "NOT PROTECTED: no interface")
        )?;
    } else if !bare.is_empty() {
        let line = format!("NOT PROTECTED: {}", bare.join(", "));
        writeln!(out, "{}", style.paint(Tone::Bad, &line))?;
    }
    Ok(())
}

fn origin(status: &Status) -> String {
    let mut release = safe(&status.version);
    if let Some(object) = version::short(&status.object) {
        release = format!("{release} (eBPF object {})", safe(object));
    }
    match (status.daemon, status.since) {
        (true, Some(since)) => format!("floodwall {release}, running since {}", time(since)),
        (true, None) => format!("floodwall {release}, running"),
        (false, _) => {
            format!(
                "floodwall {release}: no daemon answers; this is what the kernel does by itself"
            )
        }
    }
}

fn attack(incident: &OpenIncident) -> String {
    format!(
        "INCIDENT {} since {}: {}; `floodwall incident show {}` tells all of it",
        incident.id,
        time(incident.since),
        safe(&incident.vectors.join(", ")),
        incident.id
    )
}

fn interfaces(out: &mut impl Write, interfaces: &[Interface], style: &Style) -> io::Result<()> {
    let rows = interfaces.iter().map(|interface| {
        let attached = match interface.attach {
            Some(AttachMode::Native) => "native",
            Some(AttachMode::Generic) => "generic (slower)",
            None => "NO",
        };
        let program = interface
            .program_id
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let problem = interface.problem.as_deref().map(safe).unwrap_or_default();
        vec![safe(&interface.name), attached.to_owned(), program, problem]
    });
    let names = &["interface", "attached", "program", "problem"];
    // A column that is empty in calm says nothing.
    let any = interfaces
        .iter()
        .any(|interface| interface.problem.is_some());
    let names = if any { &names[..] } else { &names[..3] };
    let rows = rows.map(|mut row| {
        row.truncate(names.len());
        row
    });
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[2],
        },
        rows,
    )
}

fn totals(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    let totals = &status.totals;
    let received = totals.received.packets;
    let row = |name: &str, count: Count| {
        vec![
            name.to_owned(),
            number::grouped(count.packets),
            number::bytes(count.bytes),
            number::share(count.packets, received),
        ]
    };
    let rows = [
        row("received", totals.received),
        row("passed", totals.passed),
        row("dropped", totals.dropped),
        row("answered", totals.answered),
        row("would drop", totals.would_drop),
    ];
    let columns = Columns {
        names: &["totals", "packets", "bytes", "share"],
        numbers: &[1, 2, 3],
    };
    table(out, style, &columns, rows)
}

fn top_reasons(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    let mut reasons: Vec<_> = status
        .reasons
        .iter()
        .filter(|(_, reason)| reason.action != Action::Pass)
        .map(|(name, reason)| {
            (
                reason.packets.saturating_add(reason.would_drop.packets),
                name,
                reason,
            )
        })
        .filter(|(weight, _, _)| *weight > 0)
        .collect();
    reasons.sort_by_key(|(weight, _, _)| std::cmp::Reverse(*weight));
    writeln!(out)?;
    if reasons.is_empty() {
        return writeln!(out, "Nothing was found that should be dropped.");
    }
    let rows = reasons.iter().take(TOP).map(|(_, name, reason)| {
        vec![
            safe(name),
            number::grouped(reason.packets),
            number::grouped(reason.would_drop.packets),
            if reason.enforced { "drops" } else { "watches" }.to_owned(),
            safe(&reason.text),
        ]
    });
    let names = &["top reasons", "dropped", "would drop", "now", "meaning"];
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[1, 2],
        },
        rows,
    )
}

fn pending(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    let Some(pending) = &status.pending else {
        return Ok(());
    };
    let changes = safe(&pending.changes.join("; "));
    let line = format!(
        "NOT CONFIRMED: taken back in {}: {changes}",
        left(pending.seconds_left)
    );
    writeln!(out, "{}", style.paint(Tone::Warning, &line))?;
    writeln!(
        out,
        "  by {}, until {}; `floodwall confirm` keeps it, `floodwall undo` takes it back now",
        safe(&pending.by),
        time(pending.until)
    )
}

/// The time that is left for something.
pub fn left(seconds: u64) -> String {
    format_duration(Duration::from_secs(seconds))
}

fn overrides(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    if status.overrides.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows = status.overrides.iter().map(|change| {
        vec![
            safe(&change.name),
            safe(&change.value),
            safe(&change.file),
            safe(&change.by),
            time(change.since),
            until(change.until),
        ]
    });
    let names = &["changed by hand", "to", "file says", "by", "since", "until"];
    table(
        out,
        style,
        &Columns {
            names,
            numbers: &[],
        },
        rows,
    )
}

fn held(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    if status.held.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows = status.held.iter().map(|it| {
        vec![
            safe(&it.name),
            safe(&it.value),
            safe(&it.otherwise),
            time(it.held.since),
            time(it.held.until),
        ]
    });
    let columns = Columns {
        names: &[
            "held by the controller",
            "to",
            "otherwise",
            "since",
            "until",
        ],
        numbers: &[],
    };
    table(out, style, &columns, rows)?;
    for it in &status.held {
        let (name, why, ends) = (safe(&it.name), safe(&it.held.reason), safe(&it.ends));
        writeln!(out, "  - {name}: {why}; `{ends}` ends it")?;
    }
    Ok(())
}

fn tables(out: &mut impl Write, status: &Status, style: &Style) -> io::Result<()> {
    if !status.tables.is_empty() {
        writeln!(out)?;
        let rows = status.tables.iter().map(|(name, table)| {
            vec![
                safe(name),
                number::grouped(table.entries),
                number::grouped(table.capacity),
                number::share(table.entries, table.capacity),
            ]
        });
        let names = &["table", "entries", "room for", "full"];
        table(
            out,
            style,
            &Columns {
                names,
                numbers: &[1, 2, 3],
            },
            rows,
        )?;
    }
    if let Some(program) = &status.program {
        let size = program.instructions.map_or_else(String::new, |count| {
            format!(" of {} instructions", number::grouped(count.into()))
        });
        let features = program.features.join(", ");
        writeln!(out, "The program{size} has: {}.", safe(&features))?;
    }
    if status.map_memory == 0 {
        // Nobody measured it.
        return Ok(());
    }
    let memory = number::bytes(status.map_memory);
    writeln!(out, "Maps take {memory} of memory.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::types::{Override, PendingStatus, Program, ReasonStatus, SCHEMA, TableStatus, Totals},
        detect::output::HitReport,
        render::tests::{at, plain},
    };

    fn count(packets: u64) -> Count {
        Count {
            packets,
            bytes: packets.saturating_mul(100),
        }
    }

    fn reason(action: Action, packets: u64, would_drop: u64, enforced: bool) -> ReasonStatus {
        ReasonStatus {
            packets,
            bytes: 0,
            action,
            enforced,
            would_drop: count(would_drop),
            text: "source is on the blocklist".to_owned(),
        }
    }

    fn status() -> Status {
        Status {
            schema: SCHEMA,
            version: "0.1.0".to_owned(),
            object: "0123456789abcdef".repeat(4),
            daemon: true,
            since: Some(at("2026-01-02T03:04:05Z")),
            mode: Mode::Monitor,
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                attach: Some(AttachMode::Native),
                program_id: Some(42),
                problem: None,
            }],
            totals: Totals {
                received: count(1_000_000),
                passed: count(1_000_000),
                dropped: count(0),
                answered: count(0),
                would_drop: count(990_000),
            },
            reasons: BTreeMap::from([
                (
                    "blocked".to_owned(),
                    reason(Action::Drop, 0, 990_000, false),
                ),
                ("clean".to_owned(), reason(Action::Pass, 10_000, 0, true)),
                ("land".to_owned(), reason(Action::Drop, 0, 0, false)),
            ]),
            overrides: Vec::new(),
            pending: None,
            held: Vec::new(),
            services: Vec::new(),
            defences: Vec::new(),
            program: Some(Program {
                features: vec!["block".to_owned(), "samples".to_owned()],
                instructions_verified: Some(100_000),
                instructions: Some(2_345),
                jited_bytes: 13_000,
            }),
            maps: Vec::new(),
            incident: None,
            hit: Vec::new(),
            tables: BTreeMap::from([(
                "block".to_owned(),
                TableStatus {
                    entries: 1,
                    capacity: 1_048_576,
                },
            )]),
            lists: Vec::new(),
            map_memory: 50_000_000,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn whom_it_would_hit_is_told_where_nothing_is_enforced() {
        let status = Status {
            hit: vec![HitReport {
                source: "198.51.100.9/32".parse().unwrap(),
                reason: "limit_syn".to_owned(),
                packets: 1_234,
                stopped: false,
            }],
            ..status()
        };
        let shown = plain(|out, style| render(out, &status, style));
        let expected = "
HIT, THOUGH ITS ADDRESS IS PROVEN  REASON     PACKETS  WERE
198.51.100.9/32                    limit_syn    1,234  watched: would be stopped
Within ten minutes, estimated.";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn an_attack_that_goes_on_is_named_at_once() {
        let status = Status {
            incident: Some(OpenIncident {
                id: 7,
                since: at("2026-01-02T03:04:06Z"),
                vectors: vec![
                    "SYN flood at tcp/443".to_owned(),
                    "UDP flood at udp/53\x1b[2J".to_owned(),
                ],
            }),
            ..status()
        };
        let shown = plain(|out, style| render(out, &status, style));
        let lines: Vec<&str> = shown.lines().take(3).collect();
        assert_eq!(
            lines[2],
            "INCIDENT 7 since 2026-01-02 03:04:06Z: SYN flood at tcp/443, UDP flood at \
             udp/53\\u{1b}[2J; `floodwall incident show 7` tells all of it"
        );
    }

    #[test]
    fn calm_in_monitor_mode() {
        let expected = "\
MONITOR: nothing is dropped
floodwall 0.1.0 (eBPF object 0123456789ab), running since 2026-01-02 03:04:05Z

INTERFACE  ATTACHED  PROGRAM
eth0       native         42

TOTALS        PACKETS     BYTES    SHARE
received    1,000,000  100.0 MB  100.0 %
passed      1,000,000  100.0 MB  100.0 %
dropped             0       0 B    0.0 %
answered            0       0 B    0.0 %
would drop    990,000   99.0 MB   99.0 %

TOP REASONS  DROPPED  WOULD DROP  NOW      MEANING
blocked            0     990,000  watches  source is on the blocklist

TABLE  ENTRIES   ROOM FOR   FULL
block        1  1,048,576  0.0 %
The program of 2,345 instructions has: block, samples.
Maps take 50.0 MB of memory.
";
        assert_eq!(plain(|out, style| render(out, &status(), style)), expected);
    }

    #[test]
    fn what_waits_for_confirmation_is_said_early() {
        let mut status = status();
        status.pending = Some(PendingStatus {
            changes: vec!["mode is enforce".to_owned(), "limit x is 1/s".to_owned()],
            by: "uid 0 (ro\x1bot)".to_owned(),
            since: at("2026-01-02T03:04:05Z"),
            until: at("2026-01-02T03:06:05Z"),
            seconds_left: 113,
        });
        let text = plain(|out, style| render(out, &status, style));
        let expected = "\
NOT CONFIRMED: taken back in 1m53s: mode is enforce; limit x is 1/s
  by uid 0 (ro\\u{1b}ot), until 2026-01-02 03:06:05Z; `floodwall confirm` keeps it, `floodwall undo` \
                        takes it back now
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn trouble_is_said_first_and_hostile_text_is_escaped() {
        let mut status = status();
        status.mode = Mode::Enforce;
        status.daemon = false;
        status.interfaces.push(Interface {
            name: "eth1".to_owned(),
            attach: None,
            program_id: None,
            problem: Some("it is gone".to_owned()),
        });
        status.overrides.push(Override {
            name: "mode".to_owned(),
            value: "enforce".to_owned(),
            file: "monitor".to_owned(),
            by: "uid 0 (ro\x1bot)".to_owned(),
            since: at("2026-01-02T03:04:05Z"),
            until: None,
        });
        status
            .warnings
            .push("MTU of eth0 is \u{202e}9000".to_owned());
        let text = plain(|out, style| render(out, &status, style));
        let head = "\
ENFORCE in part: 0 of 2 reasons drop, the others are watched
NOT PROTECTED: eth1
floodwall 0.1.0 (eBPF object 0123456789ab): no daemon answers; this is what the kernel does by itself

INTERFACE  ATTACHED  PROGRAM  PROBLEM
eth0       native         42
eth1       NO              -  it is gone
";
        assert!(text.starts_with(head), "{text}");
        let changes = "
CHANGED BY HAND  TO       FILE SAYS  BY                  SINCE                 UNTIL
mode             enforce  monitor    uid 0 (ro\\u{1b}ot)  2026-01-02 03:04:05Z  for ever
";
        assert!(text.contains(changes), "{text}");
        assert!(
            text.ends_with("\nWARNINGS\n  - MTU of eth0 is \\u{202e}9000\n"),
            "{text}"
        );
    }

    #[test]
    fn full_enforcement_is_said_so() {
        let mut status = status();
        status.mode = Mode::Enforce;
        for reason in status.reasons.values_mut() {
            reason.enforced = true;
        }
        assert_eq!(
            mode_in_words(&status),
            "ENFORCE: what floodwall finds is dropped"
        );
    }
}
