//! Sends frames that were made beforehand, in their order.

use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    btf_maps::Array,
    helpers::{bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_store_bytes},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::abi::{PAGE_BYTES, Page, Turn};

/// How many pages there are if userspace does not say otherwise.
const PAGES: usize = 16_384;

#[btf_map]
static ALBUM: Array<Page, PAGES> = Array::new();

#[btf_map]
static TURN: Array<Turn, 1> = Array::new();

/// Turns the frame that the kernel hands in, which is as long as the longest page, into the next
/// page, and sends it.
#[xdp]
pub fn replay(ctx: XdpContext) -> u32 {
    match next_page(&ctx) {
        // SAFETY: the helper takes an index and flags, and looks both up itself.
        Some(ifindex) => unsafe { bpf_redirect(ifindex, 0) as u32 },
        None => XDP_ABORTED,
    }
}

#[inline(always)]
fn next_page(ctx: &XdpContext) -> Option<u32> {
    let turn = TURN.get_ptr_mut(0)?;
    // SAFETY: the entry belongs to one generator, which makes one packet at a time.
    let turn = unsafe { &mut *turn };
    let page = ALBUM.get(turn.next)?;
    turn.next = turn.next.wrapping_add(1);
    if turn.next >= turn.pages {
        turn.next = 0;
    }
    let mut length = u64::from(page.length);
    if length > PAGE_BYTES as u64 {
        return None;
    }
    // One comparison with both bounds would be of another register than the verifier looks at.
    // SAFETY: there is no instruction.
    unsafe { core::arch::asm!("/* {0} */", inout(reg) length, options(nomem, nostack)) };
    if length < 14 {
        return None;
    }
    let bytes = page.frame.as_ptr().cast_mut().cast();
    // SAFETY: the context is this run's, the page has as many bytes as the length that was just
    // checked, and the last helper only reads them.
    let results = unsafe {
        let here = bpf_xdp_get_buff_len(ctx.ctx) as u32;
        let change = (length as u32).wrapping_sub(here) as i32;
        [
            bpf_xdp_adjust_tail(ctx.ctx, change),
            bpf_xdp_store_bytes(ctx.ctx, 0, bytes, length as u32),
        ]
    };
    (results == [0, 0]).then_some(turn.ifindex)
}
