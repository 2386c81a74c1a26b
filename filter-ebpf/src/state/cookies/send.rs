//! Turns a SYN into its answer.

use aya_ebpf::{bindings::xdp_md, helpers::generated as helper};
use filter_common::logic::{
    address::Family,
    syn::{Answer, Ends},
};

use crate::{frame::XdpFrame, scratch::Scratch};

/// The shortest frame that a card sends without padding.
const SHORTEST: u32 = 60;

/// Makes the frame of a SYN its answer, on the terms that were noted; says whether the driver can
/// send it. Pointers into the frame from before are not to be used any more.
#[inline(always)]
pub fn send(context: *mut xdp_md, scratch: &mut Scratch, from_port: u16, to_port: u16) -> bool {
    let packet = scratch.packet();
    let family = packet.source.family();
    let at = packet.network_at();
    let bare = at.wrapping_add(Answer::bare(family));
    let mut options = Answer::options_of(&scratch.offer);
    let length = scratch.length;
    if !fit(context, length, bare.wrapping_add(options)) {
        // A SYN is at least as long as an answer without options.
        options = 0;
        let _ = fit(context, length, bare);
    }
    let ends = Ends {
        from: &packet.destination,
        to: &packet.source,
        from_port,
        to_port,
    };
    scratch
        .answer
        .write(&ends, &scratch.offer, &scratch.terms, options);
    let frame = XdpFrame::of(context);
    let answer = &scratch.answer;
    let has_network = match family {
        Family::V4 => frame.write::<20>(at, &answer.v4),
        Family::V6 => frame.write::<40>(at, &answer.v6),
    };
    let has_options = match options {
        0 => true,
        4 => frame.write::<4>(bare, &answer.options),
        16 => frame.write::<16>(bare, &answer.options),
        _ => frame.write::<20>(bare, &answer.options),
    };
    let is_written = frame.write::<20>(bare.wrapping_sub(20), &answer.tcp);
    has_network && is_written && has_options && frame.turn_round()
}

/// Gives a frame of one length another, or the shortest that a card sends if it has that; false if
/// there is no room.
#[doc(alias = "bpf_xdp_adjust_tail")]
#[inline(always)]
fn fit(context: *mut xdp_md, length: u32, wanted: u32) -> bool {
    let wanted = wanted.max(length.min(SHORTEST));
    if wanted == length {
        return true;
    }
    let more = wanted.wrapping_sub(length).cast_signed();
    // SAFETY: the context is the one this program was called with; pointers into the frame from
    // before are not used any more.
    unsafe { helper::bpf_xdp_adjust_tail(context, more) == 0 }
}
