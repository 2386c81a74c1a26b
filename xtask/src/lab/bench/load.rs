//! A million prefixes: how long the real command takes from file to enforced, while a flood runs,
//! and how much memory the maps take.

use std::{fmt::Write as _, fs, net::Ipv6Addr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    super::{
        attack, clock,
        flood::{Flood, Options, Pace},
        floodwall::Floodwall,
        sandbox::Sandbox,
    },
    prefixes::{self, MILLION},
};

/// Packets a second meanwhile.
const FLOOD: u64 = 100_000;

/// How long a million prefixes took, and how much memory.
#[derive(Clone, Debug)]
pub struct Load {
    /// From starting `block import` to its end, one figure a time, ascending.
    pub times: Vec<Duration>,
    /// Bytes of all maps, as `status` tells.
    pub map_memory: u64,
}

/// Imports the IPv6 list once and the IPv4 list so many times, the flood coming in at this
/// processor.
pub fn measure(sandbox: &Sandbox, floodwall: &Floodwall, cpu: usize, times: u32) -> Result<Load> {
    eprintln!("importing a million prefixes …");
    import(floodwall, "bench-v6", &write_v6(sandbox, &prefixes::v6())?)?;
    let file = write_v4(sandbox)?;
    let flood = Flood::start(
        sandbox,
        &attack::named("syn-random")?,
        Options {
            pace: Pace::PerSecond(FLOOD),
            cpu: Some(cpu),
            first: false,
        },
    )?;
    let mut took = Vec::new();
    for _ in 0..times {
        took.push(import(floodwall, "bench-v4", &file)?);
    }
    flood.finish()?;
    took.sort_unstable();
    let status: Value = floodwall.json(&["status"])?;
    Ok(Load {
        times: took,
        map_memory: status["map_memory"].as_u64().unwrap_or_default(),
    })
}

fn import(floodwall: &Floodwall, list: &str, file: &std::path::Path) -> Result<Duration> {
    let path = file
        .to_str()
        .context("the sandbox's folder has an odd name")?;
    let begun = clock::now();
    floodwall.text(&["block", "import", path, "--list", list, "--force"])?;
    Ok(begun.elapsed())
}

fn write_v4(sandbox: &Sandbox) -> Result<PathBuf> {
    let mut text = String::new();
    for address in prefixes::v4(MILLION) {
        writeln!(text, "{address}")?;
    }
    write(sandbox, "million.txt", &text)
}

fn write_v6(sandbox: &Sandbox, list: &[(Ipv6Addr, u8)]) -> Result<PathBuf> {
    let mut text = String::new();
    for (address, length) in list {
        writeln!(text, "{address}/{length}")?;
    }
    write(sandbox, "v6.txt", &text)
}

fn write(sandbox: &Sandbox, name: &str, text: &str) -> Result<PathBuf> {
    let path = sandbox.folder().join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
