//! The kernel's own maps doing a filter's jobs in the obvious way, as the benchmark's yardstick.

use aya_ebpf::{
    bindings::{
        BPF_ANY,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    btf_maps::{HashMap, LpmTrie, LruHashMap, lpm_trie::Key},
    helpers::bpf_ktime_get_ns,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::floor::source_of;

const ENTRIES: usize = 1 << 20;
/// A million IPv4 prefixes and a quarter of a million of IPv6.
const TRIE_ENTRIES: usize = 1 << 21;

#[btf_map]
static BANS: HashMap<u64, u64, ENTRIES> = HashMap::new();

#[btf_map]
static PREFIXES: LpmTrie<u64, u32, TRIE_ENTRIES> = LpmTrie::new();

#[btf_map]
static SEEN: LruHashMap<u64, u64, ENTRIES> = LruHashMap::new();

/// One look-up of the source in a `HASH`.
#[xdp(frags)]
pub fn ref_hash(ctx: XdpContext) -> u32 {
    let source = source_of(&ctx);
    if source.bits == 0 {
        return XDP_PASS;
    }
    match BANS.get_ptr(source.address) {
        Some(_) => XDP_DROP,
        None => XDP_PASS,
    }
}

/// One longest match of the source in an `LPM_TRIE`.
#[xdp(frags)]
pub fn ref_lpm(ctx: XdpContext) -> u32 {
    let source = source_of(&ctx);
    if source.bits == 0 {
        return XDP_PASS;
    }
    match PREFIXES.get(&Key::new(source.bits, source.address)) {
        Some(_) => XDP_DROP,
        None => XDP_PASS,
    }
}

/// When the source was last seen, in an `LRU_HASH`: look-up, else insert.
#[xdp(frags)]
pub fn ref_lru(ctx: XdpContext) -> u32 {
    let source = source_of(&ctx);
    if source.bits == 0 {
        return XDP_PASS;
    }
    // SAFETY: the helper takes nothing and returns a number.
    let now = unsafe { bpf_ktime_get_ns() };
    match SEEN.get_ptr_mut(source.address) {
        Some(seen) => {
            // SAFETY: the pointer is valid for this run; a race loses one timestamp.
            unsafe { *seen = now };
            XDP_DROP
        }
        None => match SEEN.insert(source.address, now, u64::from(BPF_ANY)) {
            Ok(()) => XDP_PASS,
            Err(_) => XDP_DROP,
        },
    }
}
