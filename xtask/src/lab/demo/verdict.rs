//! Whether the demonstration showed what it promises.

use anyhow::{Result, bail};

use super::{
    phase::{Measured, Phase, PhaseResult},
    screen::Screen,
};

/// The share of requests that must be answered while floodwall enforces.
const SUCCESS: f64 = 0.99;
/// The share of the flood that must not reach the stack.
const DROPPED: f64 = 0.99;
/// How many times the requests of the unprotected phase must be completed, to be "clearly above".
const GAIN: f64 = 1.25;

/// Says it in words; fails with all that was missed.
pub fn of(results: &[PhaseResult], screen: &Screen) -> Result<()> {
    let unprotected = together(results, |phase| phase == Phase::Monitored);
    let protected = together(results, Phase::is_enforced);
    let success = protected.heard.success();
    let dropped = protected.dropped_share();
    let before = unprotected.per_second(unprotected.heard.answered);
    let after = protected.per_second(protected.heard.answered);

    let mut missed = Vec::new();
    if success < SUCCESS {
        missed.push(format!(
            "only {:.2} % of the requests were answered",
            success * 100.0
        ));
    }
    if dropped < DROPPED {
        missed.push(format!(
            "only {:.2} % of the flood was dropped",
            dropped * 100.0
        ));
    }
    if after < before * GAIN {
        missed.push(format!(
            "{after:.0} requests/s are not clearly more than {before:.0}"
        ));
    }
    if !missed.is_empty() {
        bail!("while floodwall enforced, {}", missed.join("; "));
    }
    screen.conclude(&format!(
        "With floodwall, {:.2} % of the flood was dropped, {:.2} % of the requests were answered,\n\
         and the server completed {after:.0} requests/s where it completed {before:.0} without.",
        dropped * 100.0,
        success * 100.0,
    ));
    Ok(())
}

fn together(results: &[PhaseResult], belongs: impl Fn(Phase) -> bool) -> Measured {
    let mut sum = Measured::default();
    for result in results.iter().filter(|result| belongs(result.phase)) {
        sum.add(&result.measured);
    }
    sum
}
