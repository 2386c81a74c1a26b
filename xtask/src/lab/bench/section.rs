//! A part of the benchmark: programs that take turns with the same packets.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};

use super::{
    super::{interrupt, programs::Lab},
    traffic::{Traffic, Varying},
};

/// `XDP_ABORTED`: the wrapper could not hand the packet on.
const ABORTED: u32 = 0;

/// One program, a row of the result.
pub struct Subject {
    /// What it is called in the result.
    pub name: String,
    /// The loaded program; it must be `xdp.frags`, as the wrapper is.
    pub program: ProgramFd,
}

/// What is measured together. The first subject is the floor.
pub struct Section {
    /// By which targets and machines find it.
    pub id: &'static str,
    /// What it is about.
    pub title: String,
    /// The rows.
    pub subjects: Vec<Subject>,
    /// The columns.
    pub traffics: Vec<Traffic>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds in which all programs take turns.
    pub rounds: u32,
    /// Packets of a turn.
    pub packets: u32,
}

/// What a section came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// As in [`Section::id`].
    pub id: &'static str,
    /// As in [`Section::title`].
    pub title: String,
    /// Every row's costs, by traffic.
    pub costs: Vec<Cost>,
}

/// What one program cost with one kind of traffic.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The program.
    pub subject: String,
    /// The traffic.
    pub traffic: &'static str,
    /// Nanoseconds per packet, one figure a round, in order; the wrapper is part of each.
    pub rounds: Vec<u64>,
    /// The kernel's number for the last packet's verdict.
    pub verdict: u32,
}

impl Cost {
    /// The best round.
    pub fn min(&self) -> u64 {
        self.rounds.iter().copied().min().unwrap_or_default()
    }

    /// The round in the middle.
    pub fn median(&self) -> u64 {
        middle(self.rounds.clone()).unwrap_or_default()
    }

    /// What it costs above the floor, by the best rounds of both.
    pub fn min_above(&self, floor: &Self) -> i64 {
        self.min() as i64 - floor.min() as i64
    }

    /// What it costs above the floor in the round in the middle. Rounds are compared with
    /// themselves, for a machine that others work on is fast in some and slow in others.
    pub fn median_above(&self, floor: &Self) -> i64 {
        let rounds = self.rounds.iter().zip(&floor.rounds);
        let above = rounds.map(|(own, floor)| *own as i64 - *floor as i64);
        middle(above.collect()).unwrap_or_default()
    }
}

fn middle<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

impl Measured {
    /// What a program cost with a kind of traffic.
    pub fn cost(&self, subject: &str, traffic: &str) -> Option<&Cost> {
        self.costs
            .iter()
            .find(|cost| cost.subject == subject && cost.traffic == traffic)
    }

    /// What the floor cost with it.
    pub fn floor(&self, traffic: &str) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.traffic == traffic)
    }

    /// The programs, in order.
    pub fn subjects(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for cost in &self.costs {
            if !names.contains(&cost.subject.as_str()) {
                names.push(cost.subject.as_str());
            }
        }
        names
    }

    /// The kinds of traffic, in order.
    pub fn traffics(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.costs.iter().map(|cost| cost.traffic).collect();
        names.dedup();
        names
    }
}

impl Section {
    /// Measures every program with every kind of traffic, on the processor of the calling thread.
    pub fn measure(&self, lab: &mut Lab, effort: Effort) -> Result<Measured> {
        eprintln!("measuring: {} …", self.title);
        let mut costs = Vec::new();
        for traffic in &self.traffics {
            let mut column: Vec<Cost> = self
                .subjects
                .iter()
                .map(|subject| Cost {
                    subject: subject.name.clone(),
                    traffic: traffic.name,
                    rounds: Vec::new(),
                    verdict: ABORTED,
                })
                .collect();
            // The first round warms tables up and is not counted.
            for round in 0..=effort.rounds {
                for (subject, cost) in self.subjects.iter().zip(&mut column) {
                    interrupt::check()?;
                    let (time, verdict) = turn(lab, subject, traffic, round, effort.packets)?;
                    if round > 0 {
                        cost.rounds.push(time);
                    }
                    cost.verdict = verdict;
                }
            }
            costs.append(&mut column);
        }
        Ok(Measured {
            id: self.id,
            title: self.title.clone(),
            costs,
        })
    }
}

/// One turn: nanoseconds a packet, and the last verdict. In the same round, every program sees the
/// same packets.
pub fn turn(
    lab: &mut Lab,
    subject: &Subject,
    traffic: &Traffic,
    round: u32,
    packets: u32,
) -> Result<(u64, u32)> {
    let seed = u64::from(round) << 32 | 0x5eed;
    let wrapper = match traffic.varying {
        Varying::Source(course) => {
            lab.set_course(course, seed)?;
            "vary"
        }
        Varying::Packet(shape) => {
            lab.set_shape(shape, seed)?;
            "renew"
        }
    };
    lab.set_subject(&subject.program)?;
    let result = lab
        .program(wrapper)?
        .test_run(TestRunOptions {
            data_in: Some(&traffic.frame),
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
