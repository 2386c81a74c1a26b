//! Programs that a test run drives: the flood itself, and the wrapper of the benchmark.

use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    btf_maps::{Array, ProgramArray},
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::{
    abi::Course,
    memory::{Place, SOURCE_V4, SOURCE_V6},
    rewrite::{next_packet, next_random},
};

/// How sources go.
#[btf_map]
static COURSE: Array<Course, 1> = Array::new();

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

/// Hands the frame to the program under test, whose verdict ends the run, with another source.
///
/// A test run repeats one packet; this is how the program under test sees varying sources. What
/// this costs is the same before every program, and little: checksums are nobody's business here,
/// and the rest of the frame stays as it was put in.
#[xdp(frags)]
pub fn vary(ctx: XdpContext) -> u32 {
    if next_source(&ctx).is_some() {
        // SAFETY: nothing that would have to be dropped is alive here.
        unsafe { SUBJECT.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

/// The same with the next packet of a flood, which is written anew: for programs that turn the frame
/// into another.
#[xdp(frags)]
pub fn renew(ctx: XdpContext) -> u32 {
    if next_packet(&ctx).is_some() {
        // SAFETY: nothing that would have to be dropped is alive here.
        unsafe { SUBJECT.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

#[inline(always)]
fn next_source(ctx: &XdpContext) -> Option<()> {
    let course = COURSE.get(0)?;
    let varying = (next_random()? & course.mask).wrapping_mul(course.factor) & course.spread;
    let source = course.base | varying;
    if course.family == 4 {
        Place::<4>::of(ctx, SOURCE_V4)?.set32((source as u32).to_be());
    } else {
        Place::<8>::of(ctx, SOURCE_V6)?.set64(source.to_be());
    }
    Some(())
}
