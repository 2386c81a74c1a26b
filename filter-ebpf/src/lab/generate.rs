//! Programs that a test run drives: the flood itself, and the wrapper of the benchmark.

use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    btf_maps::ProgramArray,
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::rewrite::next_packet;

/// The one program under test.
#[btf_map]
static SUBJECT: ProgramArray<1> = ProgramArray::new();

/// Sends the next packet of the flood out of the interface that the shape names.
#[xdp]
pub fn flood(ctx: XdpContext) -> u32 {
    match next_packet(&ctx) {
        // SAFETY: the helper takes an index and flags, and looks both up itself.
        Some(shape) => unsafe { bpf_redirect(shape.ifindex, 0) as u32 },
        None => XDP_ABORTED,
    }
}

/// Hands the next packet to the program under test, whose verdict ends the run.
///
/// A test run repeats one packet; this is how the program under test sees varying sources. The
/// cost of the rewriting is the same before every program, so differences between programs hold.
#[xdp(frags)]
pub fn vary(ctx: XdpContext) -> u32 {
    if next_packet(&ctx).is_some() {
        // SAFETY: nothing that would have to be dropped is alive here.
        unsafe { SUBJECT.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}
