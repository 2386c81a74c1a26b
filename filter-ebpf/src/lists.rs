//! Lists: allow before block, both behind one gate.

use core::ops::ControlFlow;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use filter_common::{
    abi::{
        entry::{self, EntryKey, EntryValue, Lengths, ListId, MOST_LENGTHS, lengths_index},
        reason::Reason,
    },
    logic::{
        address::{Address, Family},
        gate::{self, Bit},
        packet::Packet,
    },
};

use crate::{atomic, judge::Judge};

#[map]
static GATE: Array<[u64; gate::LINE_WORDS]> = Array::with_max_entries(gate::LINES, MMAPABLE);

#[map]
static LENGTHS: Array<Lengths> = Array::with_max_entries(entry::LENGTHS, 0);

#[map]
static ALLOW: HashMap<EntryKey, EntryValue> = HashMap::with_max_entries(1, 0);

#[map]
static BLOCK: HashMap<EntryKey, EntryValue> = HashMap::with_max_entries(1, 0);

/// Makes an array start on a page, so that a line of 64 bytes is one line of the cache.
#[doc(alias = "BPF_F_MMAPABLE")]
pub const MMAPABLE: u32 = 1 << 10;

/// Passes what the allowlist names, drops what the blocklist names.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !gate_is_open(packet, judge) {
        return ControlFlow::Continue(());
    }
    let [high, low] = packet.source.halves();
    let family = packet.source.family() as u32;
    let now = judge.now.count();
    if allow_meets(family, high, low, now) != 0 {
        return judge.found(Reason::Allowed);
    }
    if block_meets(family, high, low, now) != 0 {
        return judge.found(Reason::Blocked);
    }
    ControlFlow::Continue(())
}

/// [`meets`] of the allowlist.
///
/// Exported, because the verifier then looks at it once and not once for each way that leads here.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn allow_meets(family: u32, high: u64, low: u64, now: u64) -> u32 {
    u32::from(meets(
        &ALLOW,
        ListId::Allow,
        &address(family, high, low),
        now,
    ))
}

/// [`meets`] of the blocklist.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn block_meets(family: u32, high: u64, low: u64, now: u64) -> u32 {
    u32::from(meets(
        &BLOCK,
        ListId::Block,
        &address(family, high, low),
        now,
    ))
}

#[inline(always)]
fn address(family: u32, high: u64, low: u64) -> Address {
    let family = if family == Family::V4 as u32 {
        Family::V4
    } else {
        Family::V6
    };
    Address::from_halves(family, [high, low])
}

#[inline(always)]
fn gate_is_open(packet: &Packet, judge: &Judge) -> bool {
    let bit = Bit::of(&packet.source, &judge.settings.key);
    let near = match GATE.get(bit.line()) {
        Some(line) => line[bit.word()] & bit.mask() != 0,
        None => true,
    };
    near || (matches!(packet.source.family(), Family::V6) && judge.settings.open_gate_v6 != 0)
}

/// Whether an entry that has not ended covers the source. Counts the packet to it.
#[inline(always)]
fn meets(map: &HashMap<EntryKey, EntryValue>, list: ListId, source: &Address, now: u64) -> bool {
    let Some(lengths) = LENGTHS.get(lengths_index(list, source.family())) else {
        return false;
    };
    for index in 0..MOST_LENGTHS {
        let Some(length) = lengths.get(index) else {
            return false;
        };
        let Some(entry) = map.get_ptr_mut(EntryKey::covering(source, length)) else {
            continue;
        };
        // SAFETY: the entry is not freed while this program runs (RCU), and its fields are read
        // and written as whole words.
        let (until, packets) = unsafe { ((*entry).until, &raw mut (*entry).packets) };
        if until > now {
            atomic::add(packets, 1);
            return true;
        }
    }
    false
}
