//! Lists: allow before ban, block and imported lists, all behind one gate.

use core::ops::ControlFlow;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use filter_common::{
    abi::{
        entry::{self, EntryKey, EntryValue, Lengths, ListId, MOST_LENGTHS, lengths_index},
        feature::Feature,
        reason::Reason,
    },
    logic::{
        address::{Address, Family},
        gate::{self, Bit},
        packet::Packet,
    },
};

use crate::{atomic, judge::Judge, sets, shape};

#[map]
static GATE: Array<[u64; gate::LINE_WORDS]> = Array::with_max_entries(gate::ENTRIES, MMAPABLE);

#[map]
static LENGTHS: Array<Lengths> = Array::with_max_entries(entry::LENGTHS, 0);

#[map]
static ALLOW: HashMap<EntryKey, EntryValue> = HashMap::with_max_entries(1, 0);

#[map]
static BANS: HashMap<EntryKey, EntryValue> = HashMap::with_max_entries(1, 0);

#[map]
static BLOCK: HashMap<EntryKey, EntryValue> = HashMap::with_max_entries(1, 0);

/// Makes an array start on a page, so that a line of 64 bytes is one line of the cache.
#[doc(alias = "BPF_F_MMAPABLE")]
pub const MMAPABLE: u32 = 1 << 10;

/// Passes what the allowlist names, drops what is banned, blocked or on an imported list.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has_any(LISTS) || !gate_is_open(packet, judge) {
        return ControlFlow::Continue(());
    }
    let has_sets = shape::has_any(SETS);
    if shape::has_any(ENTRIES)
        && (!has_sets || inner_gate_is_open(packet, judge))
        && entries(packet, judge)?
    {
        return ControlFlow::Continue(());
    }
    if has_sets {
        sets::check(packet, judge)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether the allowlist spares the packet; else drops what is banned or blocked.
#[inline(always)]
fn entries(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason, bool> {
    let [high, low] = packet.source.halves();
    let family = packet.source.family() as u32;
    let (now, policy) = (judge.now.count(), judge.policy());
    if shape::has(Feature::Allow) && allow_meets(family, high, low, now, policy) != 0 {
        judge.spare(Reason::Allowed)?;
        return ControlFlow::Continue(true);
    }
    if shape::has(Feature::Bans) && ban_meets(family, high, low, now, policy) != 0 {
        judge.found(Reason::Banned)?;
    }
    if shape::has(Feature::Block) && block_meets(family, high, low, now, policy) != 0 {
        judge.found(Reason::Blocked)?;
    }
    ControlFlow::Continue(false)
}

/// The features that want the gate.
const LISTS: u64 = ENTRIES | SETS;
/// Those with single entries.
const ENTRIES: u64 = Feature::Allow.bit() | Feature::Bans.bit() | Feature::Block.bit();
/// Those with big sets.
const SETS: u64 = Feature::Set4.bit() | Feature::Set6.bit();

/// [`meets`] of the allowlist.
///
/// Exported, because the verifier then looks at it once and not once for each way that leads here.
/// Before Linux 6.8 it looks at exported functions that nobody calls, too: so each asks for itself
/// whether its feature is on.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn allow_meets(family: u32, high: u64, low: u64, now: u64, policy: u32) -> u32 {
    if !shape::has(Feature::Allow) {
        return 0;
    }
    u32::from(meets(
        &ALLOW,
        ListId::Allow,
        &address(family, high, low),
        now,
        policy,
    ))
}

/// [`meets`] of the blocklist.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn block_meets(family: u32, high: u64, low: u64, now: u64, policy: u32) -> u32 {
    if !shape::has(Feature::Block) {
        return 0;
    }
    u32::from(meets(
        &BLOCK,
        ListId::Block,
        &address(family, high, low),
        now,
        policy,
    ))
}

/// [`meets`] of the bans.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn ban_meets(family: u32, high: u64, low: u64, now: u64, policy: u32) -> u32 {
    if !shape::has(Feature::Bans) {
        return 0;
    }
    u32::from(meets(
        &BANS,
        ListId::Ban,
        &address(family, high, low),
        now,
        policy,
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
    let key = &judge.settings.key;
    let bit = Bit::of(&packet.source, key);
    match packet.source.family() {
        Family::V4 => is_set(bit.line(), bit),
        Family::V6 => {
            let wide = Bit::wide(&packet.source, key);
            is_set(bit.line(), bit) || is_set(wide.line(), wide) || judge.settings.open_gate_v6 != 0
        }
    }
}

/// Whether a single entry may lie near a packet to which the gate is open. For IPv6 it would take
/// two more lines to find out, and that costs what it spares.
#[inline(always)]
fn inner_gate_is_open(packet: &Packet, judge: &Judge) -> bool {
    let bit = Bit::of(&packet.source, &judge.settings.key);
    match packet.source.family() {
        Family::V4 => is_set(bit.inner_line(), bit),
        Family::V6 => true,
    }
}

#[inline(always)]
fn is_set(line: u32, bit: Bit) -> bool {
    match GATE.get(line) {
        Some(line) => line[bit.word()] & bit.mask() != 0,
        None => true,
    }
}

/// Whether an entry that is in force covers the source. Counts the packet to it.
#[inline(always)]
fn meets(
    map: &HashMap<EntryKey, EntryValue>,
    list: ListId,
    source: &Address,
    now: u64,
    policy: u32,
) -> bool {
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
        let (until, absent, packets) =
            unsafe { ((*entry).until, (*entry).absent, &raw mut (*entry).packets) };
        if EntryValue::is_in_force(until, absent, now, policy) {
            atomic::add(packets, 1);
            return true;
        }
    }
    false
}
