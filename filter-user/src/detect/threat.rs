//! What detection hands to decision.

use ipnet::IpNet;

use super::{
    output::Spoofed,
    vector::{Phase, Target, Vector},
};

/// A vector at a target that is not calm.
#[derive(Clone, Debug, PartialEq)]
pub struct Threat {
    /// How.
    pub vector: Vector,
    /// Whom.
    pub target: Target,
    /// How far it is.
    pub phase: Phase,
    /// What comes in now, packets a second.
    pub rate: f64,
    /// Of that, what goes to the stack, packets a second.
    pub passed: f64,
    /// What is usual, packets a second.
    pub usual: f64,
    /// From which rate on it is unusual, packets a second.
    pub threshold: f64,
    /// Whether sources are forged.
    pub spoofed: Spoofed,
    /// Sources that send most of it, most first.
    pub heavy: Vec<Heavy>,
    /// Why it is one, in words with figures.
    pub evidence: String,
}

/// A source, or a prefix, that sends much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heavy {
    /// Who: a host, or a prefix of many neighbours.
    pub prefix: IpNet,
    /// What it sends, packets a second, as far as samples tell.
    pub rate: f64,
    /// By how much that may be wrong, packets a second (95 %).
    pub error: f64,
}
