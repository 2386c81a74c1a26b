//! IP protocols that are neither TCP, UDP nor ICMP.

use core::ops::ControlFlow;

use filter_common::{abi::reason::Reason, logic::packet::Packet};

use crate::judge::Judge;

/// Nothing is asked.
#[inline(always)]
pub fn check(_packet: &Packet, _judge: &mut Judge) -> ControlFlow<Reason> {
    ControlFlow::Continue(())
}
