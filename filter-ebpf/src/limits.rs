//! Limits per source and per prefix, in classes of packets and in bytes.

mod bill;

use core::ops::ControlFlow;

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{
        feature::Feature,
        reason::Reason,
        settings::{Class, Metering, PACKET_CLASSES, Settings},
    },
    logic::{
        address::Family,
        hash::source_number,
        packet::{Packet, Transport},
        source::{Line, SETS_LOG2, Slot},
    },
};

pub use self::bill::Bill;
use self::bill::{ALL, Draft, OWN, Place};
use crate::{clock::Tick, cpu, judge::Judge, lists::MMAPABLE, shape};

#[map]
static SOURCES: Array<Line> = Array::with_max_entries(1 << 17, MMAPABLE);

#[map]
static SOURCE_BYTES: Array<Line> = Array::with_max_entries(1, MMAPABLE);

#[map]
static PREFIXES: Array<Line> = Array::with_max_entries(1, MMAPABLE);

#[map]
static PREFIX_BYTES: Array<Line> = Array::with_max_entries(1, MMAPABLE);

/// Drops what exceeds the limit of its source or of its prefix. A packet is charged to everything
/// that counts it, or, if anything refuses it, to nothing.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if judge.is_spared() {
        return ControlFlow::Continue(());
    }
    let class = class(packet);
    let Some(draft) = by_source(packet, class, judge) else {
        if has_others(judge) && check_others(class, judge)? == 0 {
            limits_settle();
        }
        return ControlFlow::Continue(());
    };
    if draft.is_refused() {
        refuse(draft.refused(), class, &SOURCE_REASONS, judge)?;
    }
    let has_others = has_others(judge);
    let others = if has_others {
        check_others(class, judge)?
    } else {
        0
    };
    if !draft.is_refused() && others == 0 {
        draft.settle(judge.now);
        if has_others {
            limits_settle();
        }
    }
    ControlFlow::Continue(())
}

/// What the packet owes to its source, if sources are limited at the moment.
#[inline(always)]
fn by_source(packet: &Packet, class: Option<Class>, judge: &Judge) -> Option<Draft> {
    if !shape::has(Feature::SourcePackets) {
        return None;
    }
    let settings = judge.settings;
    let active = active(&settings.source, judge.pressure());
    if active == 0 {
        return None;
    }
    let slot = Slot::of(&packet.source, &settings.key, shape::source_shift());
    let place = Place::of(&SOURCES, slot)?;
    Some(place.draft(&settings.source, active, class, judge.now))
}

/// Whether any limit holds at the moment that is off unless somebody sets it, or the controller does:
/// the code for it may be there long before.
#[inline(always)]
fn has_others(judge: &Judge) -> bool {
    if !shape::has_any(OTHERS) {
        return false;
    }
    let settings = judge.settings;
    let by_source = active(&settings.source, judge.pressure()) & Class::Bytes.bit();
    by_source | active(&settings.prefix, judge.pressure()) != 0
}

/// What these limits say.
#[inline(always)]
fn check_others(class: Option<Class>, judge: &mut Judge) -> ControlFlow<Reason, u32> {
    let mut others = 0;
    let by_source = active(&judge.settings.source, judge.pressure());
    let by_prefix = active(&judge.settings.prefix, judge.pressure());
    if shape::has(Feature::PrefixPackets) {
        let refused = limits_prefix_packets(by_prefix);
        refuse(refused, class, &PREFIX_REASONS, judge)?;
        others |= refused;
    }
    if shape::has(Feature::SourceBytes) {
        let refused = limits_source_bytes(by_source, judge.length());
        if refused != 0 {
            judge.found(Reason::LimitBytes)?;
        }
        others |= refused;
    }
    if shape::has(Feature::PrefixBytes) {
        let refused = limits_prefix_bytes(by_prefix, judge.length());
        if refused != 0 {
            judge.found(Reason::PrefixBytes)?;
        }
        others |= refused;
    }
    ControlFlow::Continue(others)
}

/// The features whose bills are kept in the scratch.
const OTHERS: u64 =
    Feature::PrefixPackets.bit() | Feature::SourceBytes.bit() | Feature::PrefixBytes.bit();

/// Tells the judge what was refused, the class's own limit first.
#[inline(always)]
fn refuse(
    refused: u32,
    class: Option<Class>,
    reasons: &Reasons,
    judge: &mut Judge,
) -> ControlFlow<Reason> {
    if refused & OWN != 0 {
        match class {
            Some(Class::Syn) => judge.found(reasons[Class::Syn as usize])?,
            Some(Class::Udp) => judge.found(reasons[Class::Udp as usize])?,
            Some(Class::Icmp) => judge.found(reasons[Class::Icmp as usize])?,
            Some(Class::All | Class::Bytes) | None => {}
        }
    }
    if refused & ALL != 0 {
        judge.found(reasons[Class::All as usize])?;
    }
    ControlFlow::Continue(())
}

/// Makes out the bill of the noted packet's prefix; gives what is refused. Exported, like those
/// that follow, because it then has a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_prefix_packets(active: u32) -> u32 {
    if !shape::has(Feature::PrefixPackets) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let packet = scratch.packet();
    let slot = prefix(packet, settings, shape::prefix_shift());
    let Some(place) = Place::of(&PREFIXES, slot) else {
        return 0;
    };
    let now = Tick::now();
    let draft = place.draft(&settings.prefix, active, class(packet), now);
    scratch.bills[PREFIX_PACKETS] = draft.bill(now);
    draft.refused()
}

/// Makes out the bill of the noted packet's source in bytes.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_source_bytes(active: u32, length: u32) -> u32 {
    if !shape::has(Feature::SourceBytes) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let source = &scratch.packet().source;
    let slot = Slot::of(source, &settings.key, shape::source_bytes_shift());
    let bill = bytes(&SOURCE_BYTES, slot, &settings.source, active, length);
    scratch.bills[SOURCE_BYTES_BILL] = bill;
    bill.refused
}

/// Makes out the bill of the noted packet's prefix in bytes.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_prefix_bytes(active: u32, length: u32) -> u32 {
    if !shape::has(Feature::PrefixBytes) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let slot = prefix(scratch.packet(), settings, shape::prefix_bytes_shift());
    let bill = bytes(&PREFIX_BYTES, slot, &settings.prefix, active, length);
    scratch.bills[PREFIX_BYTES_BILL] = bill;
    bill.refused
}

/// Settles the bills in the scratch.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_settle() -> u32 {
    let Some(scratch) = cpu::notes() else {
        return 0;
    };
    if shape::has(Feature::PrefixPackets) {
        scratch.bills[PREFIX_PACKETS].settle(&PREFIXES);
    }
    if shape::has(Feature::SourceBytes) {
        scratch.bills[SOURCE_BYTES_BILL].settle(&SOURCE_BYTES);
    }
    if shape::has(Feature::PrefixBytes) {
        scratch.bills[PREFIX_BYTES_BILL].settle(&PREFIX_BYTES);
    }
    0
}

const PREFIX_PACKETS: usize = 0;
const SOURCE_BYTES_BILL: usize = 1;
const PREFIX_BYTES_BILL: usize = 2;
/// Bills that are kept in the scratch.
pub const BILLS: usize = 3;

/// Reasons of refusal, by class of packets.
type Reasons = [Reason; PACKET_CLASSES];

const SOURCE_REASONS: Reasons = [
    Reason::LimitAll,
    Reason::LimitSyn,
    Reason::LimitUdp,
    Reason::LimitIcmp,
];

const PREFIX_REASONS: Reasons = [
    Reason::PrefixAll,
    Reason::PrefixSyn,
    Reason::PrefixUdp,
    Reason::PrefixIcmp,
];

/// The classes whose limit holds at the moment.
#[inline(always)]
fn active(metering: &Metering, pressure: bool) -> u32 {
    metering.always | if pressure { metering.pressed } else { 0 }
}

/// The class of a packet beside "all".
#[inline(always)]
fn class(packet: &Packet) -> Option<Class> {
    match packet.transport() {
        Transport::Tcp { flags, .. } if flags.opens() => Some(Class::Syn),
        Transport::Udp { .. } => Some(Class::Udp),
        Transport::Icmp { .. } => Some(Class::Icmp),
        Transport::Tcp { .. } | Transport::Opaque => None,
    }
}

/// The slot of a packet's prefix.
#[inline(always)]
fn prefix(packet: &Packet, settings: &Settings, shift: u32) -> Slot {
    let family = packet.source.family();
    let mask = match family {
        Family::V4 => settings.prefix_mask_v4,
        Family::V6 => settings.prefix_mask_v6,
    };
    let number = source_number(&packet.source) & mask;
    Slot::of_number(family, number, &settings.key, shift)
}

/// Charges the bytes of a frame, in a table whose lines have four sets.
#[inline(always)]
fn bytes(table: &Array<Line>, slot: Slot, metering: &Metering, active: u32, length: u32) -> Bill {
    let set = slot.line as usize & ((1 << SETS_LOG2) - 1);
    let slot = Slot {
        line: slot.line >> SETS_LOG2,
        ..slot
    };
    if active & Class::Bytes.bit() == 0 {
        return Bill::EMPTY;
    }
    let Some(place) = Place::of(table, slot) else {
        return Bill::EMPTY;
    };
    let limit = &metering.limits[Class::Bytes as usize];
    let now = Tick::now();
    let all = place.due(set, limit, limit.cost(length), now);
    place.of_all(all).bill(now)
}
