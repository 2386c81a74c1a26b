//! Two processors against one: packets a second of the same program over the same maps.

use std::{sync::Barrier, thread};

use anyhow::Result;
use aya::programs::ProgramFd;

use super::{
    super::{
        programs::{Lab, Tables},
        thread::pin_to,
    },
    section::{Effort, Subject, turn},
    traffic::Traffic,
};

/// Packets of a turn, in those of other sections: turns on two processors have to overlap.
const LONGER: u32 = 4;

/// How one program grows with one kind of traffic.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The program.
    pub subject: String,
    /// The traffic.
    pub traffic: &'static str,
    /// Nanoseconds a packet on one processor alone, one figure a round, ascending.
    pub alone: Vec<u64>,
    /// Packets a second of both together, over those of one alone; one figure a round, ascending.
    pub factors: Vec<f64>,
}

impl Growth {
    /// The round in the middle.
    pub fn median(&self) -> f64 {
        self.factors
            .get(self.factors.len() / 2)
            .copied()
            .unwrap_or_default()
    }

    /// The best round.
    pub fn best(&self) -> f64 {
        self.factors.last().copied().unwrap_or_default()
    }
}

/// Measures each program with each traffic on two processors.
pub fn measure(
    subjects: &[Subject],
    traffics: &[Traffic],
    cpus: [usize; 2],
    effort: Effort,
) -> Result<Vec<Growth>> {
    eprintln!("measuring: two processors …");
    let mut growths = Vec::new();
    for traffic in traffics {
        for subject in subjects {
            growths.push(growth(subject, traffic, cpus, effort)?);
        }
    }
    Ok(growths)
}

fn growth(
    subject: &Subject,
    traffic: &Traffic,
    cpus: [usize; 2],
    effort: Effort,
) -> Result<Growth> {
    let packets = effort.packets.saturating_mul(LONGER);
    let mut alone = Vec::new();
    let mut factors = Vec::new();
    for round in 0..=effort.rounds {
        let [one, _] = together(subject, traffic, [Some(cpus[0]), None], round, packets)?;
        let [_, other] = together(subject, traffic, [None, Some(cpus[1])], round, packets)?;
        let both = together(
            subject,
            traffic,
            [Some(cpus[0]), Some(cpus[1])],
            round,
            packets,
        )?;
        if round > 0 {
            alone.extend([one, other]);
            factors.push(2.0 * (rate(both[0]) + rate(both[1])) / (rate(one) + rate(other)));
        }
    }
    alone.sort_unstable();
    factors.sort_by(f64::total_cmp);
    Ok(Growth {
        subject: subject.name.clone(),
        traffic: traffic.name,
        alone,
        factors,
    })
}

fn rate(nanoseconds: u64) -> f64 {
    1e9 / nanoseconds.max(1) as f64
}

/// Runs the program on each of these processors at once; nanoseconds a packet on each, zero
/// where it did not run.
fn together(
    subject: &Subject,
    traffic: &Traffic,
    cpus: [Option<usize>; 2],
    round: u32,
    packets: u32,
) -> Result<[u64; 2]> {
    let ready = Barrier::new(cpus.iter().flatten().count());
    let mut times = [0; 2];
    thread::scope(|scope| {
        let threads = cpus.map(|cpu| {
            cpu.map(|cpu| {
                let ready = &ready;
                scope.spawn(move || on(cpu, subject, traffic, round, packets, ready))
            })
        });
        for (time, thread) in times.iter_mut().zip(threads) {
            if let Some(thread) = thread {
                let joined = thread.join();
                *time = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
        }
        Ok(times)
    })
}

/// A generator of its own for each processor, so that only the program under test is shared.
fn on(
    cpu: usize,
    subject: &Subject,
    traffic: &Traffic,
    round: u32,
    packets: u32,
    ready: &Barrier,
) -> Result<u64> {
    let prepared = prepare(cpu, &subject.program);
    ready.wait();
    let (mut lab, subject) = prepared?;
    Ok(turn(&mut lab, &subject, traffic, round, packets)?.0)
}

fn prepare(cpu: usize, program: &ProgramFd) -> Result<(Lab, Subject)> {
    pin_to(cpu)?;
    let mut lab = Lab::load(Tables::Tiny)?;
    lab.program("vary")?;
    let subject = Subject {
        name: String::new(),
        program: program.try_clone()?,
    };
    Ok((lab, subject))
}
