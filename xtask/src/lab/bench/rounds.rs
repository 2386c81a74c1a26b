//! Programs take turns in short rounds, all behind the wrapper that makes packets vary.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions};

use super::{
    super::{interrupt, programs::Lab},
    subject::Subject,
    traffic::{self, Traffic},
};

/// `XDP_ABORTED`: the wrapper could not hand the packet on.
const ABORTED: u32 = 0;

/// What one program cost with one kind of traffic.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The program.
    pub subject: &'static str,
    /// The traffic.
    pub traffic: &'static str,
    /// Nanoseconds per packet, one figure a round, ascending; the wrapper is part of each.
    pub rounds: Vec<u64>,
    /// The kernel's number for the last packet's verdict.
    pub verdict: u32,
}

impl Cost {
    /// The best round.
    pub fn min(&self) -> u64 {
        self.rounds.first().copied().unwrap_or_default()
    }

    /// The round in the middle.
    pub fn median(&self) -> u64 {
        self.rounds
            .get(self.rounds.len() / 2)
            .copied()
            .unwrap_or_default()
    }
}

/// Measures every program with every kind of traffic, on the processor of the calling thread.
pub fn measure(
    lab: &mut Lab,
    subjects: &[Subject],
    rounds: u32,
    packets: u32,
) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for traffic in traffic::all()? {
        let mut row: Vec<Cost> = subjects
            .iter()
            .map(|subject| Cost {
                subject: subject.name,
                traffic: traffic.name,
                rounds: Vec::new(),
                verdict: ABORTED,
            })
            .collect();
        // The first round warms tables up and is not counted.
        for round in 0..=rounds {
            for (subject, cost) in subjects.iter().zip(&mut row) {
                interrupt::check()?;
                let (time, verdict) = turn(lab, subject, &traffic, round, packets)?;
                if round > 0 {
                    cost.rounds.push(time);
                }
                cost.verdict = verdict;
            }
        }
        for cost in &mut row {
            cost.rounds.sort_unstable();
        }
        costs.append(&mut row);
    }
    Ok(costs)
}

/// One turn; in the same round, every program sees the same packets.
fn turn(
    lab: &mut Lab,
    subject: &Subject,
    traffic: &Traffic,
    round: u32,
    packets: u32,
) -> Result<(u64, u32)> {
    lab.set_shape(traffic.attack.shape(0)?, u64::from(round) << 32 | 0x5eed)?;
    lab.set_subject(&subject.program)?;
    let frame = traffic.attack.template()?;
    let result = lab
        .program("vary")?
        .test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: packets,
            ..TestRunOptions::new()
        })
        .with_context(|| format!("cannot run {}", subject.name))?;
    ensure!(
        result.return_value != ABORTED,
        "{} did not get the packets",
        subject.name
    );
    Ok((result.duration.as_nanos() as u64, result.return_value))
}
