//! Counts what reached the host's own stack, whatever a filter says of itself.

use aya_ebpf::{
    bindings::TC_ACT_UNSPEC,
    btf_maps::PerCpuArray,
    macros::{btf_map, classifier},
    programs::TcContext,
};

use crate::floor::{ATTACKER, GATEWAY, SOURCE_MAC_END};

/// Packets of floods.
const FLOOD: u32 = 0;
/// Packets of people.
const PEOPLE: u32 = 1;

#[btf_map]
static WITNESSED: PerCpuArray<u64, 2> = PerCpuArray::new();

/// Counts a packet by the hardware address that it bears, and lets it go on.
#[classifier]
pub fn witness(ctx: TcContext) -> i32 {
    let end = ctx.data().wrapping_add(SOURCE_MAC_END);
    if end.wrapping_add(2) <= ctx.data_end() {
        // SAFETY: the bounds were checked; hardware addresses begin on two bytes.
        let whose = match u16::from_be(unsafe { *(end as *const u16) }) {
            GATEWAY | ATTACKER => FLOOD,
            _ => PEOPLE,
        };
        if let Some(count) = WITNESSED.get_ptr_mut(whose) {
            // SAFETY: the entry is this CPU's own.
            unsafe { *count = (*count).wrapping_add(1) };
        }
    }
    TC_ACT_UNSPEC
}
