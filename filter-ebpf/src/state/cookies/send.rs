//! Turns a SYN into its answer.

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated as helper,
};
use filter_common::{
    abi::feature::Feature,
    logic::{
        address::Family,
        packet::Transport,
        syn::{Answer, Ends},
    },
};

use crate::{cpu, frame::XdpFrame, shape};

/// The shortest frame that a card sends without padding.
const SHORTEST: u32 = 60;

/// Makes the frame of the noted SYN its answer, on the terms that were noted; gives what the driver
/// has to do with it. Exported, because it then has a stack of its own and the verifier looks at it
/// once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn cookies_send(context: *mut xdp_md) -> u32 {
    let Some(scratch) = cpu::notes() else {
        return xdp_action::XDP_DROP;
    };
    if !shape::has(Feature::Cookies) {
        return xdp_action::XDP_DROP;
    }
    let packet = scratch.packet();
    let Transport::Tcp {
        source_port,
        destination_port,
        ..
    } = packet.transport()
    else {
        return xdp_action::XDP_DROP;
    };
    let family = packet.source.family();
    let at = packet.network_at();
    let bare = at.wrapping_add(Answer::bare(family));
    let mut options = Answer::options_of(&scratch.offer);
    if !fit(context, bare.wrapping_add(options)) {
        // A SYN is at least as long as an answer without options.
        options = 0;
        let _ = fit(context, bare);
    }
    let ends = Ends {
        from: &packet.destination,
        to: &packet.source,
        from_port: destination_port,
        to_port: source_port,
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
    if has_network && is_written && has_options && frame.turn_round() {
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_DROP
    }
}

/// Gives the frame a length, or the shortest that a card sends if it has that; false if there is no
/// room.
#[doc(alias = "bpf_xdp_adjust_tail")]
#[inline(always)]
fn fit(context: *mut xdp_md, wanted: u32) -> bool {
    let length = XdpFrame::of(context).length();
    let wanted = wanted.max(length.min(SHORTEST));
    if wanted == length {
        return true;
    }
    let more = wanted.wrapping_sub(length).cast_signed();
    // SAFETY: the context is the one this program was called with; pointers into the frame from
    // before are not used any more.
    unsafe { helper::bpf_xdp_adjust_tail(context, more) == 0 }
}

/// As [`cookies_send`].
#[inline(always)]
pub fn send(frame: &XdpFrame) -> u32 {
    cookies_send(frame.raw())
}
