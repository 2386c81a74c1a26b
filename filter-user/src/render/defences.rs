//! `floodwall defence list`.

use std::io::{self, Write};

use super::{Columns, Style, Tone, number, safe, table, time, until};
use crate::api::types::{DefenceState, DefenceStatus, Defences};

/// Defences, when they hold, and what they did.
pub fn render(out: &mut impl Write, defences: &Defences, style: &Style) -> io::Result<()> {
    let rows = defences.defences.iter().map(|defence| {
        let mut row = cells(defence);
        row.extend([safe(&defence.by), until(defence.until)]);
        row
    });
    let columns = Columns {
        names: &[
            "defence",
            "mode",
            "now",
            "dropped",
            "answered",
            "accepted",
            "would drop",
            "by",
            "until",
        ],
        numbers: &[3, 4, 5, 6],
    };
    table(out, style, &columns, rows)?;
    writeln!(
        out,
        "Those in mode `pressure` hold while one CPU gets more than {}. The controller may hold these, and \
         those in mode `auto`.",
        safe(&defences.pressure)
    )?;
    for defence in &defences.defences {
        if let Some(held) = &defence.held {
            let name = safe(&defence.name);
            writeln!(
                out,
                "  - {name}: the controller holds it until {}: {}; `floodwall defence auto {name}` ends \
                 it",
                time(held.until),
                safe(&held.reason)
            )?;
        }
    }
    notes(out, &defences.defences, style)
}

/// The same in short, for `status`.
pub fn brief(out: &mut impl Write, defences: &[DefenceStatus], style: &Style) -> io::Result<()> {
    let columns = Columns {
        names: &[
            "defence",
            "mode",
            "now",
            "dropped",
            "answered",
            "accepted",
            "would drop",
        ],
        numbers: &[3, 4, 5, 6],
    };
    table(out, style, &columns, defences.iter().map(cells))?;
    notes(out, defences, style)
}

fn cells(defence: &DefenceStatus) -> Vec<String> {
    let now = match defence.state {
        DefenceState::Off => "off",
        DefenceState::Waiting => "waits",
        DefenceState::Holding => "HOLDS",
        DefenceState::Unable => "CANNOT",
    };
    vec![
        safe(&defence.name),
        safe(&defence.mode),
        now.to_owned(),
        number::grouped(defence.dropped),
        number::grouped(defence.answered),
        number::grouped(defence.accepted),
        number::grouped(defence.would_drop),
    ]
}

/// What is left out, and why. What two defences say alike is said once.
fn notes(out: &mut impl Write, defences: &[DefenceStatus], style: &Style) -> io::Result<()> {
    let mut said: Vec<(&str, Vec<&DefenceStatus>)> = Vec::new();
    for defence in defences {
        for note in &defence.notes {
            match said.iter_mut().find(|(text, _)| text == note) {
                Some((_, who)) => who.push(defence),
                None => said.push((note, vec![defence])),
            }
        }
    }
    for (note, who) in said {
        let names: Vec<String> = who.iter().map(|defence| safe(&defence.name)).collect();
        let names = names.join(", ");
        let cannot = who.iter().any(|it| it.state == DefenceState::Unable);
        let names = if cannot {
            style.paint(Tone::Warning, &names)
        } else {
            names
        };
        writeln!(out, "  - {names}: {}", safe(note))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::SCHEMA, render::tests::plain};

    fn defence(name: &str, state: DefenceState) -> DefenceStatus {
        DefenceStatus {
            name: name.to_owned(),
            mode: "pressure".to_owned(),
            state,
            by: "default".to_owned(),
            until: None,
            held: None,
            dropped: 0,
            answered: 0,
            accepted: 0,
            would_drop: 0,
            ports: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn defences_say_when_they_hold_and_what_they_leave_out() {
        let left_out = "TCP 8080 is left out: translated to 172.17.0.2".to_owned();
        let cookies = DefenceStatus {
            mode: "on".to_owned(),
            answered: 1_234,
            accepted: 56,
            ports: vec![443],
            notes: vec!["ports 443".to_owned()],
            ..defence("cookies", DefenceState::Holding)
        };
        let sockets = DefenceStatus {
            dropped: 99_000,
            notes: vec![left_out.clone()],
            ..defence("sockets", DefenceState::Waiting)
        };
        let closed = DefenceStatus {
            notes: vec![left_out],
            ..defence("closed_ports", DefenceState::Unable)
        };
        let defences = Defences {
            schema: SCHEMA,
            pressure: "20k/s".to_owned(),
            defences: vec![cookies, sockets, closed],
        };
        let expected = "\
DEFENCE       MODE      NOW     DROPPED  ANSWERED  ACCEPTED  WOULD DROP  BY       UNTIL
cookies       on        HOLDS         0     1,234        56           0  default  for ever
sockets       pressure  waits    99,000         0         0           0  default  for ever
closed_ports  pressure  CANNOT        0         0         0           0  default  for ever
Those in mode `pressure` hold while one CPU gets more than 20k/s. The controller may hold these, and \
those in mode `auto`.
  - cookies: ports 443
  - sockets, closed_ports: TCP 8080 is left out: translated to 172.17.0.2
";
        assert_eq!(plain(|out, style| render(out, &defences, style)), expected);
    }
}
