//! Sanity: what no real client sends.

use core::ops::ControlFlow;

use filter_common::{
    abi::reason::Reason,
    logic::{packet::Packet, sanity},
};

use crate::judge::Judge;

/// Drops what is insane.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    sanity::check(packet, |reason| judge.found(reason))
}
