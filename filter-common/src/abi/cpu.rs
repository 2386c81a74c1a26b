//! What one CPU keeps for itself.

use super::{lifeline::RULES, map_value};
use crate::logic::sampling::Sampler;

/// The state of one CPU. Words are buckets as in [`crate::logic::bucket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CpuState {
    /// All packets of this CPU, against the pressure floor.
    pub pressure: u64,
    /// The tick until which this CPU is under pressure.
    pub pressure_until: u64,
    /// Samples: of passed packets, and of dropped ones.
    pub samplers: [Sampler; 2],
    /// Ceilings of what always passes: discovery, multicast membership, DHCP.
    pub control: [u64; CONTROLS],
    /// Ceilings of the lifeline's rules.
    pub lifeline: [u64; RULES],
    /// The ceiling of packets in administrators' sessions.
    pub sessions: u64,
    /// The rate at which sources are noted as seen in calm.
    pub seen: u64,
    /// Answers with cookies.
    pub cookies: u64,
    /// SYNs of known good sources that went to the stack.
    pub cookies_known: u64,
}

/// Kinds of [`CpuState::control`].
pub const CONTROLS: usize = 3;

map_value!(CpuState: 264);
