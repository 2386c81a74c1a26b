//! The daemon's own document against the daemon: [schemathesis](https://schemathesis.readthedocs.io)
//! makes requests of it, one at a time and in chains, and judges the answers.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use super::report::Outcome;
use crate::{clock::Stopwatch, forward, process, setup};

pub const NAME: &str = "openapi";
pub const WHAT: &str = "the running daemon against its own OpenAPI document, by schemathesis";

/// Runs it, in a sandbox.
pub fn run(seconds: u64) -> Result<Outcome> {
    let schemathesis = setup::schemathesis()?;
    let mut lab = forward::command(NAME)?;
    lab.arg("--schemathesis").arg(schemathesis);
    lab.arg("--time").arg(seconds.to_string());
    println!("fuzz: {NAME}: {WHAT}, for {seconds} s");
    let watch = Stopwatch::start();
    let output = lab
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", process::line(&lab)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut outcome = judge(&said);
    outcome.seconds = watch.elapsed().as_secs();
    if outcome.open > 0 || !output.status.success() {
        println!("{said}");
    }
    ensure!(
        output.status.success() || outcome.open > 0,
        "{NAME} ended early ({})",
        output.status
    );
    ensure!(outcome.inputs > 0, "{NAME} executed nothing");
    Ok(outcome)
}

/// Reads the end of what schemathesis prints: `1871 generated, 30 found 30 unique failures`.
fn judge(said: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let (Some(number), Some(word)) = (words.next(), words.next()) else {
            continue;
        };
        if word.trim_end_matches(',') == "generated" {
            outcome.inputs = number.parse().unwrap_or_default();
            // Else `3377 passed`.
            outcome.open = match (words.next(), words.next()) {
                (Some(number), Some("found")) => number.parse().unwrap_or_default(),
                _ => 0,
            };
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_schemathesis_prints() {
        let figures = |text| {
            let outcome = judge(text);
            (outcome.inputs, outcome.open)
        };
        let all = "Test cases:\n  1871 generated, 30 found 30 unique failures\n\nSeed: 1\n";
        assert_eq!(figures(all), (1871, 30));
        assert_eq!(figures("Test cases:\n  12 generated, 12 passed\n"), (12, 0));
        assert_eq!(figures("nothing"), (0, 0));
    }
}
