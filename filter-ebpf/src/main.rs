//! The programs of floodwall. Here is that of XDP: the packet's way, in order.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "what #[xdp] expands to has none")]

mod atomic;
mod bound;
mod clock;
mod control;
mod count;
mod cpu;
mod egress;
mod fragments;
mod frame;
mod hops;
mod judge;
mod known;
mod license;
mod lifeline;
mod limits;
mod lists;
mod log;
mod lookup;
mod proven;
mod random;
mod rules;
mod sample;
mod sanity;
mod scratch;
mod services;
mod sets;
mod settings;
mod shape;
mod skb;
mod sockets;
mod state;
mod traffic;

use core::ops::ControlFlow;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use filter_common::{
    abi::{feature::Feature, reason::Reason},
    logic::packet::Packet,
};

use crate::{frame::XdpFrame, judge::Judge};

/// Entry point. Native or generic, any number of interfaces over one set of maps. Inlined into what
/// the macro makes the program of, for a call and its return cost every packet some nanoseconds.
#[xdp(frags)]
#[inline(always)]
pub fn floodwall(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(ctx);
    // Both look-ups are of entry 0 of a map of one entry; the verifier wants to hear it.
    let Some(mut judge) = Judge::new() else {
        return xdp_action::XDP_PASS;
    };
    let packet = match judge.parse(&frame) {
        ControlFlow::Continue(packet) => packet,
        ControlFlow::Break(reason) => return judge.conclude(&frame, reason),
    };
    traffic::count(&frame, packet, judge.length());
    match way(&frame, packet, &mut judge) {
        ControlFlow::Break(reason) => {
            fragments::remember(packet, reason, &judge);
            judge.conclude(&frame, reason)
        }
        ControlFlow::Continue(()) => {
            fragments::remember(packet, judge.clean(), &judge);
            judge.conclude_clean(&frame)
        }
    }
}

/// The packet's way: each stage goes on, or breaks with the reason of the verdict.
#[inline(always)]
fn way(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    control::pass(packet, judge)?;
    sanity::check(packet, judge)?;
    lifeline::pass(packet, judge)?;
    lists::check(packet, judge)?;
    if shape::has_any(CLASSIFIED) {
        fragments::check(packet, judge)?;
        rules::check(frame, packet, judge)?;
    }
    state::check(frame, packet, judge)?;
    limits::check(packet, judge)?;
    services::check(frame, judge)
}

/// What is off unless somebody asks for it: skipped at one go.
const CLASSIFIED: u64 = Feature::Fragments.bit() | Feature::Rules.bit() | Feature::Services.bit();

/// The kernel runs this crate, not the host; there it is only checked.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
