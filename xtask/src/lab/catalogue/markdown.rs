//! The catalogue as a page of the documentation.

use super::{
    Report, Row, Setup, Subject,
    table::{HEADS, calm, cells, notes, verdict},
};
use crate::document::grouped;

/// The page.
pub fn of(report: &Report) -> String {
    let mut page = head(report);
    page += &line(&HEADS.map(str::to_owned));
    page += &line(&["---"; HEADS.len()].map(str::to_owned));
    page += &line(&calm(report));
    for row in &report.rows {
        page += &line(&cells(row));
    }
    page += "\n## Notes\n\n";
    for note in report.rows.iter().flat_map(notes).chain(verdict(report)) {
        page += &format!("* {note}\n");
    }
    page += "\n## The attacks\n\n";
    let mut told: Vec<&str> = Vec::new();
    for Row { name, about, .. } in &report.rows {
        // The same over IPv6 or in tags is the same.
        if !told.contains(&about.as_str()) {
            told.push(about);
            page += &format!("* `{name}`: {about}\n");
        }
    }
    page
}

fn head(report: &Report) -> String {
    let Report {
        machine,
        setup,
        time,
        pace,
        ..
    } = report;
    let setup = match setup {
        Setup::Default => {
            "floodwall has its default configuration in `enforce` mode: no rule, no limit and no defence is set by hand. Each attack meets a daemon that was started a moment before and has seen no other, but for those whose note says that it had seen two minutes of calm (what meets them has to be told from calm traffic, and one daemon meets them all). So what meets an attack has to be found out: **ms to stop** is the time from the flood's first packet until 95 % of it are stopped (`-`: not within two seconds), and all other figures are counted behind these two seconds. What people noticed meanwhile stands in the notes."
        }
        Setup::Defended => {
            "All defences are on, and no rule is written by hand. The configuration says what an operator knows of this server: no visitor opens twenty connections a second (`source.connections`), pings and tunnels are few (`icmp.echo`, `icmp.errors` and `protocols` at 200 packets a second), and a game and a DNS server take 5,000 packets a second each."
        }
    };
    let [floodwall, nothing, bare] = Subject::ALL;
    format!(
        "# The attack catalogue, measured

Written by `cargo xtask catalogue`; what it prints is this table. Measured on {machine}.

Everything happens in network namespaces of its own. **Web server, people and flood are pinned to one processor (CPU {cpu})**, as they share one on a host whose card interrupts the cores that also serve; the flood's thread goes first, as interrupts do. floodwall's daemon runs where it likes. Floods come at {pace} packets a second where the column does not say otherwise, in slices of a tenth of a second; each measurement lasts {seconds} s.

{setup}

People are: visitors of the web over IPv4 and IPv6, each request following the last; people asking the server's DNS, and the server asking a resolver and a time server; players of a game over UDP; pings both ways; a stream that must not stall; and people behind a path of 1,280 bytes, which the server has to learn anew for each of them.

* **stopped**: the share of the flood that did not reach the host's stack, counted by a program behind the filter, not by the filter. **passed**: what did reach it.
* Three figures are: behind {floodwall} / behind {nothing} / behind a {bare} of that same flood, which knows it by a hardware address and is the best that is possible. The three stand side by side and take turns.
* **answered**: of all requests of all these people. **p99**: latency of a web page. **pages/s**: completed. **gap**: the longest in the stream.
* **bears/s**: the fastest flood during which 95 % of the calm rate is still completed, with floodwall / without, tried once for each row; visitors come at half the rate that the server can serve. `<` is less than the slowest flood tried, `>` as fast as the generator is.

",
        cpu = machine.cpu,
        pace = grouped(*pace),
        seconds = time.as_secs(),
    )
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_line_of_the_table_has_as_many_cells_as_the_head() {
        let mut report = Report::new(
            0,
            Setup::Default,
            Duration::from_secs(3),
            200_000,
            Default::default(),
        );
        for name in ["syn-random", "a|b"] {
            report.rows.push(Row {
                name: name.to_owned(),
                row: Some(1),
                about: "about it".to_owned(),
                pace: 7,
                by: Default::default(),
                promise: None,
                bears: None,
                learned: None,
            });
        }
        let page = of(&report);
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 5, "{page}");
        for line in &lines {
            let bars = line.replace("\\|", "").matches('|').count();
            assert_eq!(bars, HEADS.len() + 1, "{line}");
        }
        assert_eq!(page.matches("about it").count(), 1, "told once");
        assert!(page.contains("pinned to one processor (CPU 0)"));
        assert!(page.contains("200,000 packets a second"));
    }
}
