//! What one vector of an incident came to.

use super::{
    output::{Spoofed, VectorReport},
    vector::{Phase, Target, Vector},
    watched::Watched,
};

/// What one vector at one target came to so far.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// How far it is.
    pub phase: Phase,
    told: Phase,
    spoofed: Spoofed,
    usual: f64,
    peak_packets: f64,
    peak_bits: f64,
    packets: f64,
    bits: f64,
    seconds: f64,
    evidence: String,
    is_changed: bool,
}

impl Account {
    /// Takes a step of so many seconds. Gives packets above what is usual that passed, and packets
    /// that were stopped.
    pub fn step(
        &mut self,
        watched: &Watched,
        vector: Vector,
        phase: Phase,
        seconds: f64,
    ) -> (f64, f64) {
        self.phase = phase;
        self.is_changed |= phase != self.told;
        self.told = phase;
        self.usual = watched
            .normal
            .and_then(|normal| normal.usual)
            .unwrap_or(0.0);
        if phase != Phase::Attack {
            if self.evidence.is_empty() {
                self.evidence = watched.words(vector);
            }
            return (0.0, 0.0);
        }
        let (rate, fast) = (watched.rate, watched.fast);
        self.is_changed |= rate.packets > 1.1 * self.peak_packets;
        // The words of its strongest moment say most.
        if rate.packets >= self.peak_packets || self.evidence.is_empty() {
            self.evidence = watched.words(vector);
        }
        self.peak_packets = self.peak_packets.max(rate.packets);
        self.peak_bits = self.peak_bits.max(rate.bits);
        if self.spoofed == Spoofed::Unknown || watched.evidence.spoofed != Spoofed::Unknown {
            self.spoofed = watched.evidence.spoofed;
        }
        self.packets += fast.packets * seconds;
        self.bits += fast.bits * seconds;
        self.seconds += seconds;
        let passed = (fast.passed - self.usual).max(0.0) * seconds;
        (passed, (fast.packets - fast.passed).max(0.0) * seconds)
    }

    /// Whether it changed since this was asked.
    pub const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.is_changed, false)
    }

    /// What is known.
    pub fn report(&self, vector: Vector, target: &Target) -> VectorReport {
        let mean = |sum: f64, peak: f64| {
            if self.seconds > 0.0 {
                sum / self.seconds
            } else {
                peak
            }
        };
        VectorReport {
            vector,
            target: target.clone(),
            phase: self.phase,
            spoofed: self.spoofed,
            usual: self.usual,
            peak_packets: self.peak_packets,
            peak_bits: self.peak_bits,
            mean_packets: mean(self.packets, self.peak_packets),
            mean_bits: mean(self.bits, self.peak_bits),
            evidence: self.evidence.clone(),
        }
    }
}
