//! Random frames in random situations: the kernel's verdicts and counters equal the model's.
//!
//! 100,000 frames; `FLOODWALL_MODEL_CASES` asks for more. A mismatch names the situation's seed,
//! and `FLOODWALL_MODEL_SEED` runs that situation alone.

mod asked;
mod bed;
mod frames;
mod fuzz;
mod oracle;
mod situation;
mod state;

use std::{fmt::Write as _, ops::ControlFlow};

use filter_common::{
    abi::{
        feature::Feature,
        reason::{Action, Reason},
    },
    logic::parse,
};
use proptest::{
    prelude::Strategy as _,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::{
    bed::{Bed, REFILL_TICKS, has_room},
    oracle::{Crowds, Oracle, Verdict},
    situation::{FRAMES, Situation, situation},
};
pub use self::{frames::frames, oracle::way};
use crate::bench;

const CASES: usize = 100_000;
/// How often a situation is run that takes so long that buckets refill.
const SLOW_RUNS: usize = 5;

#[test]
fn the_kernel_says_of_random_frames_in_random_situations_what_the_model_says() {
    bench::pin_to_one_cpu();
    bench::leave_sockets_behind();
    let mut beds = [
        Bed::new(&[]),
        Bed::new(&[Feature::Rules, Feature::Services, Feature::Lifelines]),
    ];
    let mut met = [0_u32; 64];
    let mut frames = 0;
    let seeds: Vec<u64> = match number("FLOODWALL_MODEL_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FLOODWALL_MODEL_CASES")
            .map_or(CASES, |cases| cases as usize)
            .div_ceil(FRAMES) as u64)
            .collect(),
    };
    let is_whole = seeds.len() * FRAMES >= CASES;
    for seed in seeds {
        let mut situation = made(seed);
        let bed = &mut beds[(seed % 2) as usize];
        if seed % 2 == 1 {
            // This program has neither lifelines nor rules.
            situation.lifelines.clear();
            situation.sessions.clear();
            situation.rules.clear();
        }
        frames += judged(bed, &situation, &mut met)
            .unwrap_or_else(|mismatch| panic!("FLOODWALL_MODEL_SEED={seed}: {mismatch}"));
    }
    println!("model packets: {frames}");

    // A generator that meets few reasons proves little.
    for reason in Reason::ALL {
        let is_modelled = !matches!(
            reason,
            Reason::HeaderSpan
                | Reason::CeilingNew
                | Reason::CeilingHeavy
                | Reason::CeilingFull
                | Reason::Established
                | Reason::CookieAccepted
                | Reason::CookieAnswered
                | Reason::CookieCeiling
                | Reason::CookieRefused
        );
        let count = met[usize::from(reason.code())];
        assert!(
            !is_whole || !is_modelled || count > 0,
            "no frame met {reason:?}: {met:?}"
        );
    }
}

/// The situation of this seed, always the same.
fn made(seed: u64) -> Situation {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    situation()
        .new_tree(&mut runner)
        .expect("situations can be made")
        .current()
}

/// Puts a situation in force and runs it. The model's buckets never refill: a mismatch counts
/// unless the kernel's clock tells that the kernel's could have, and then the situation is run again.
fn judged(bed: &mut Bed, situation: &Situation, met: &mut [u32; 64]) -> Result<usize, String> {
    for _ in 0..SLOW_RUNS {
        bed.put(situation);
        let begun = bed.tick();
        let result = run(bed, situation, met);
        let took = bed.tick() - begun;
        if result.is_ok() || took < REFILL_TICKS {
            return result;
        }
        println!("{took} ticks for one situation, which is run again");
    }
    Err(format!(
        "{SLOW_RUNS} runs took {REFILL_TICKS} ticks or more each, so that buckets refilled; run \
         the test on a machine with less to do"
    ))
}

/// Runs a situation in force through kernel and model; gives how many frames were compared.
fn run(bed: &mut Bed, situation: &Situation, met: &mut [u32; 64]) -> Result<usize, String> {
    let mut pair = Pair::new(situation);
    let mut ran = 0;
    for (index, frame) in situation.frames.iter().enumerate() {
        if let Some(reason) = pair.judge(bed, index, frame)? {
            met[usize::from(reason.code())] += 1;
            ran += 1;
        }
    }
    pair.settle(bed)?;
    Ok(ran)
}

/// The model of a situation beside the kernel in which it is in force.
struct Pair<'s> {
    situation: &'s Situation,
    oracle: Oracle<'s>,
    crowds: Crowds,
}

impl<'s> Pair<'s> {
    fn new(situation: &'s Situation) -> Self {
        Self {
            situation,
            oracle: Oracle::new(situation),
            crowds: Crowds::default(),
        }
    }

    /// What both say of a frame, if it is the same; `None` if there is no room for what it leaves
    /// behind.
    fn judge(
        &mut self,
        bed: &mut Bed,
        index: usize,
        frame: &[u8],
    ) -> Result<Option<Reason>, String> {
        if let ControlFlow::Continue(packet) = parse::packet(&frame)
            && !has_room(&mut self.crowds, &packet, self.situation)
        {
            return Ok(None);
        }
        let expected = self.oracle.judge(frame);
        let verdict = bed.specimen.run(frame).expect("the program runs");
        let samples = bed.samples();
        let shown: Vec<(u8, u8)> = samples.iter().map(|it| (it.reason, it.dropped)).collect();
        if (verdict, shown) != as_seen(expected) {
            let said = samples.first().map(|it| Reason::try_from(it.reason));
            return Err(told(index, frame, expected, verdict, said, self.situation));
        }
        Ok(Some(expected.reason))
    }

    /// Compares what was counted since the situation is in force.
    fn settle(&self, bed: &mut Bed) -> Result<(), String> {
        let said = (
            bed.moved(),
            bed.met(self.situation),
            bed.imported(),
            bed.rules(self.situation),
        );
        let oracle = &self.oracle;
        let expected = (
            oracle.counters,
            oracle.met,
            oracle.imported.clone(),
            oracle.rules.clone(),
        );
        if said != expected {
            return Err(format!(
                "counters, entries, lists and rules met are {said:?}, and the model's \
                 {expected:?}\n{:#?}",
                self.situation
            ));
        }
        Ok(())
    }
}

/// The XDP verdict and the one sample of a frame: its reason, and whether it was dropped.
fn as_seen(verdict: Verdict) -> (u32, Vec<(u8, u8)>) {
    let shown = verdict.observed.unwrap_or(verdict.reason).code();
    match verdict.reason.action() {
        Action::Pass => (2, vec![(shown, 0)]),
        Action::Drop => (1, vec![(shown, 1)]),
        Action::Answer => (3, vec![(shown, 1)]),
    }
}

/// A mismatch, with all that there is to know.
fn told(
    index: usize,
    frame: &[u8],
    expected: Verdict,
    verdict: u32,
    said: Option<Result<Reason, impl std::fmt::Debug>>,
    situation: &Situation,
) -> String {
    let mut text = format!("frame {index}: the kernel says {verdict}, {said:?}\n");
    let _ = writeln!(text, "the model says {expected:?}");
    let _ = writeln!(text, "the frame is {frame:02x?}");
    let _ = writeln!(text, "which is {:?}", parse::packet(&frame));
    let without_frames = Situation {
        frames: Vec::new(),
        ..situation.clone()
    };
    let _ = writeln!(text, "{without_frames:#?}");
    text
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number in the environment"))
}
