//! A page for each command.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Command;
use clap_mangen::Man;

use crate::roff;

const FILES: [(&str, &str); 5] = [
    (
        "/etc/floodwall/floodwall.toml",
        "The configuration: see floodwall.toml(5).",
    ),
    (
        "/run/floodwall/control.sock",
        "The control socket: HTTP with JSON, described at /v1/openapi.json.",
    ),
    (
        "/var/lib/floodwall",
        "Entries, rules, changes by hand, incidents and baselines.",
    ),
    (
        "/sys/fs/bpf/floodwall",
        "Maps and links of the filter. What is here stays in force without a daemon.",
    ),
    (
        "/usr/share/doc/floodwall",
        "The README, the pages that it names, and the example configuration.",
    ),
];

const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGHUP",
        "The daemon reads its configuration again, as by floodwall reload.",
    ),
    ("SIGTERM, SIGINT", "It ends, and the filter stays attached."),
];

const CODES: [(&str, &str); 6] = [
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "Usage."),
    ("3", "No daemon answers."),
    ("4", "Not permitted."),
    (
        "5",
        "Refused: it would cut off this host, or what is protected.",
    ),
];

/// File names and texts.
pub fn pages(command: Command, date: &str) -> Result<Vec<(String, String)>> {
    let mut command = command
        .version(filter_user::version::RELEASE)
        .long_version(None::<&str>)
        .disable_help_subcommand(true);
    command.build();
    let mut found = Vec::new();
    collect(&command, &[], date, &mut found)?;
    Ok(found)
}

fn collect(
    command: &Command,
    above: &[&str],
    date: &str,
    found: &mut Vec<(String, String)>,
) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let text = page(command, name, above, date).with_context(|| format!("the page of {name}"))?;
    found.push((format!("{name}.8"), text));
    let above: Vec<&str> = above.iter().copied().chain([name]).collect();
    for inner in command.get_subcommands() {
        collect(inner, &above, date, found)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, above: &[&str], date: &str) -> Result<String> {
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section("8")
        .date(date)
        .source(format!("floodwall {}", filter_user::version::RELEASE))
        .manual("floodwall");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    section(&mut out, "EXIT STATUS", &CODES)?;
    if above.is_empty() {
        section(&mut out, "FILES", &FILES)?;
        section(&mut out, "SIGNALS", &SIGNALS)?;
    }
    let mut others: Vec<String> = above.iter().map(|name| reference(name, 8)).collect();
    others.extend(
        command
            .get_subcommands()
            .filter_map(|it| it.get_display_name())
            .map(|it| reference(it, 8)),
    );
    others.push(reference("floodwall.toml", 5));
    writeln!(out, ".SH SEE ALSO\n{}", others.join(",\n"))?;
    Ok(String::from_utf8(out)?)
}

fn reference(name: &str, section: u8) -> String {
    format!(".BR {} ({section})", roff::text(name))
}

fn section(out: &mut Vec<u8>, name: &str, rows: &[(&str, &str)]) -> Result<()> {
    writeln!(out, ".SH {name}")?;
    for (term, words) in rows {
        writeln!(out, ".TP\n.B {}\n{}", roff::text(term), roff::text(words))?;
    }
    Ok(())
}
