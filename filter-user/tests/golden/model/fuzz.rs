//! Frames that coverage of parser and model leads to, through the loaded program:
//! `cargo xtask fuzz kernel`.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, RefUnwindSafe},
};

use bolero::check;

use super::{
    Pair,
    bed::{Bed, REFILL_TICKS},
    made,
    situation::Situation,
};
use crate::bench;

/// Situations that take turns.
const SITUATIONS: u64 = 32;
/// Frames until the next has its turn: putting one in force takes as long as some hundreds.
const TURN: usize = 10_000;
/// Most frames of an input.
const FRAMES: usize = 16;
/// Frames until the clock is asked again, which takes as long as two.
const GLANCE: usize = 64;

/// The frames of an input: each begins with its length less 14, the least that the kernel takes.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let [length, rest @ ..] = bytes
        && frames.len() < FRAMES
    {
        let length = usize::from(*length) + 14;
        let mut frame = rest.get(..length).unwrap_or(rest).to_vec();
        frame.resize(length, 0);
        frames.push(frame);
        bytes = rest.get(length..).unwrap_or_default();
    }
    frames
}

/// The kernel with one of the situations in force.
struct World<'s> {
    situations: &'s [Situation],
    bed: Bed,
    turn: usize,
    pair: Pair<'s>,
    begun: u64,
    /// Frames of this turn, and those of them after which the clock is asked again.
    judged: usize,
    glance: usize,
    /// Frames of this turn that both judged, and of all turns whose counters were compared too.
    alike: u64,
    compared: u64,
}

impl<'s> World<'s> {
    fn new(situations: &'s [Situation]) -> Self {
        let mut bed = Bed::new(&[]);
        bed.put(&situations[0]);
        Self {
            begun: bed.tick(),
            bed,
            situations,
            turn: 0,
            pair: Pair::new(&situations[0]),
            judged: 0,
            glance: GLANCE,
            alike: 0,
            compared: 0,
        }
    }

    fn begin(&mut self) {
        let situation = &self.situations[self.turn % self.situations.len()];
        self.bed.put(situation);
        self.begun = self.bed.tick();
        self.pair = Pair::new(situation);
        self.judged = 0;
        self.glance = GLANCE;
        self.alike = 0;
    }

    /// Whether so long that buckets refilled, which the model's do not.
    fn is_over(&mut self) -> bool {
        self.bed.tick() - self.begun >= REFILL_TICKS
    }

    fn judge(&mut self, frames: &[Vec<u8>]) {
        if self.judged >= self.glance {
            self.glance = self.judged + GLANCE;
            let half_over = self.bed.tick() - self.begun >= REFILL_TICKS / 2;
            if half_over || self.judged >= TURN {
                self.settle();
                self.turn += 1;
                self.begin();
            }
        }
        for frame in frames {
            match self.pair.judge(&mut self.bed, self.judged, frame) {
                Ok(reason) => self.alike += u64::from(reason.is_some()),
                Err(mismatch) => {
                    assert!(self.is_over(), "{mismatch}");
                    return self.begin();
                }
            }
            self.judged += 1;
        }
    }

    /// Compares the counters, and tells `cargo xtask fuzz` of how many frames all is the same.
    fn settle(&mut self) {
        match self.pair.settle(&mut self.bed) {
            Ok(()) => {
                self.compared += self.alike;
                eprintln!("compared: {}", self.compared);
            }
            Err(mismatch) => assert!(self.is_over(), "{mismatch}"),
        }
    }
}

/// The kernel's verdicts, reasons and counters are the model's.
#[test]
fn kernel() {
    bench::pin_to_one_cpu();
    bench::leave_sockets_behind();
    let situations: Vec<Situation> = (0..SITUATIONS).map(|seed| made(seed * 2)).collect();
    let world = AssertUnwindSafe(RefCell::new(World::new(&situations)));
    check!()
        .with_iterations(20_000)
        .with_max_len(2_048)
        .for_each(within(move |bytes: &[u8]| {
            world.borrow_mut().judge(&frames(bytes));
        }));
}

/// Says that the closure may be unwound, which bolero asks for: after a panic nothing uses it again.
fn within<F: Fn(&[u8])>(judge: F) -> impl Fn(&[u8]) + RefUnwindSafe {
    let judge = AssertUnwindSafe(judge);
    move |bytes| (*judge)(bytes)
}
