//! What operators change, in an order that nobody planned.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{super::random::Random, Course, Site, site::feed};

/// Files in turn: they ask for other features, so that the program is another each time.
const FILES: [&str; 5] = [
    "",
    "[limits.source]\nsyn = \"100/s\"\n",
    "[defences]\ncookies = \"on\"\nprotocols = \"on\"\n",
    "[limits.icmp]\necho = \"50/s\"\n",
    "[defences]\nsockets = \"off\"\nicmp = \"on\"\n",
];

/// One after the other; each has to be carried out.
pub fn at_random(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let mut random = Random::new(course.seed);
    let lists = (0..4)
        .map(|version| site.write(&format!("feed-{version}.txt"), &feed(version)))
        .collect::<Result<Vec<PathBuf>>>()?;
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    let mut programs = 0;
    let mut program = site.program()?;
    for round in 0..course.rounds {
        // Each kind once, before chance decides.
        let kind = if round < 7 { round } else { random.below(7) };
        let is_even = random.below(2) == 0;
        let (name, words): (_, &[&str]) = match kind {
            0 => {
                if let Some(list) = lists.get(random.below(4) as usize) {
                    site.import(list)?;
                }
                ("lists", &[])
            }
            1 => {
                site.configure(random.pick(&FILES).unwrap_or_default())?;
                ("reloads", &["reload"])
            }
            2 if is_even => ("modes", &["mode", "enforce", "blocked", "listed"]),
            2 => ("modes", &["mode", "enforce"]),
            3 if is_even => ("limits", &["limit", "set", "source.udp", "19k/s"]),
            3 => ("limits", &["limit", "auto", "source.udp"]),
            4 if is_even => ("defences", &["defence", "set", "protocols", "on"]),
            4 => ("defences", &["defence", "auto", "protocols"]),
            5 => {
                site.say(&["rule", "add", "drop", "udp", "dport", "7777"])?;
                let rules: Value = site.floodwall.json(&["rule", "list"])?;
                let id = &rules["rules"][0]["id"];
                let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                site.say(&["rule", "del", &id])?;
                ("rules", &[])
            }
            _ if is_even => ("entries", &["block", "add", "10.9.9.9"]),
            _ => ("entries", &["block", "del", "10.9.9.9"]),
        };
        // An entry that is not there cannot be taken away, and that is told.
        if words.contains(&"del") {
            site.floodwall.output(words)?;
        } else if !words.is_empty() {
            site.say(words)?;
        }
        *done.entry(name).or_default() += 1;
        let now = site.program()?;
        programs += u32::from(now != program);
        program = now;
    }
    ensure!(program.is_some(), "nothing is attached");
    let done: Vec<String> = done.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    Ok(vec![format!(
        "{}; the program was swapped {programs} times",
        done.join(", ")
    )])
}
