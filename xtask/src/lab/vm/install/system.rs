//! In the machine: systemd, apt and floodwall, asked by their own commands.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use filter_user::{clock as wall, store::archive::Archive};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::lab::clock;

/// What systemd runs.
pub const UNIT: &str = "floodwall.service";
/// Where the daemon keeps what it learned.
pub const STATE: &str = "/var/lib/floodwall";

/// A command and its arguments, by spaces.
pub fn try_run(line: &str) -> Result<Output> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    Command::new(program)
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("`{program}` cannot be run"))
}

/// Likewise; it has to succeed.
pub fn run(line: &str) -> Result<String> {
    let output = try_run(line)?;
    ensure!(
        output.status.success(),
        "`{line}` fails: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Likewise, for what answers in JSON.
pub fn json(line: &str) -> Result<Value> {
    let text = run(line)?;
    serde_json::from_str(&text).with_context(|| format!("`{line}` says `{}`", text.trim()))
}

/// A property of a unit.
pub fn property(unit: &str, name: &str) -> Result<String> {
    Ok(run(&format!("systemctl show -P {name} {unit}"))?
        .trim()
        .to_owned())
}

/// Seconds since the boot at which a unit did something.
pub fn moment(unit: &str, name: &str) -> Result<f64> {
    let micros: f64 = property(unit, &format!("{name}TimestampMonotonic"))?.parse()?;
    ensure!(micros > 0.0, "{unit} has no {name}");
    Ok(micros / 1e6)
}

/// Seconds since the boot.
pub fn now() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context("there is no clock")?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

/// Waits until something holds.
pub fn wait(what: &str, seconds: u64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = clock::now() + Duration::from_secs(seconds);
    while !holds()? {
        if clock::now() >= end {
            let log = run("journalctl -u floodwall -n 15 -o cat --no-pager").unwrap_or_default();
            bail!("within {seconds} s it did not come that {what}; the daemon's last words: {log}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// How floodwall sits on an interface, as it says itself.
pub fn attachment(name: &str) -> Result<Option<String>> {
    let output = try_run("floodwall status --json")?;
    let Ok(status) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Ok(None);
    };
    let mut interfaces = status["interfaces"].as_array().into_iter().flatten();
    let found = interfaces.find(|it| it["name"] == name);
    Ok(found
        .and_then(|it| it["attach"].as_str())
        .map(str::to_owned))
}

/// The program on an interface, as the kernel says.
pub fn program(name: &str) -> Result<Option<u64>> {
    let links = json(&format!("ip -json -details link show dev {name}"))?;
    Ok(links[0]["xdp"]["prog"]["id"].as_u64())
}

/// What an operator would miss if an upgrade lost it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Bans and blocked prefixes with their ends, limits and the mode.
    pub choices: Vec<String>,
    /// Seconds of calm that all baselines together have learned from.
    pub learned: f64,
}

impl Kept {
    /// Asks for it.
    pub fn read() -> Result<Self> {
        wait("the daemon answers", 120, || {
            Ok(try_run("floodwall ban list")?.status.success())
        })?;
        let mut choices = Vec::new();
        for list in ["ban", "block", "allow"] {
            let page = json(&format!("floodwall {list} list --json"))?;
            for entry in page["entries"].as_array().into_iter().flatten() {
                choices.push(format!(
                    "{list} {} until {}",
                    entry["prefix"], entry["until"]
                ));
            }
            for list in page["lists"].as_array().into_iter().flatten() {
                choices.push(format!("list {} of {}", list["name"], list["entries"]));
            }
        }
        let status = json("floodwall status --json")?;
        for set in status["overrides"].as_array().into_iter().flatten() {
            choices.push(format!("{} {}", set["name"], set["value"]));
        }
        choices.push(format!("mode {}", status["mode"]));
        choices.sort();
        Ok(Self {
            choices,
            learned: learned()?,
        })
    }
}

/// Reads the database from a copy, for one that root opens is root's.
fn learned() -> Result<f64> {
    let copy = Path::new("/srv/copy");
    let _ = fs::remove_dir_all(copy);
    run(&format!("cp -r {STATE} {}", copy.display()))?;
    let (archive, _) = Archive::open(copy, wall::now())?;
    let Some(memory) = archive.memory()? else {
        return Ok(0.0);
    };
    Ok(sum(&serde_json::to_value(memory.baselines)?))
}

/// All that is called `learned`, however deep.
fn sum(value: &Value) -> f64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value.as_f64() {
                Some(seconds) if name == "learned" => seconds,
                _ => sum(value),
            })
            .sum(),
        Value::Array(values) => values.iter().map(sum).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0.0,
    }
}
