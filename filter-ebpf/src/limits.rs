//! Limits per source and per prefix, in classes of packets and in bytes.

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
        bucket::{Limit, Write},
        hash::{HashKey, source_number},
        packet::{Packet, Transport},
        source::{self, LINE_WORDS, Line, SETS_LOG2, Slot, WAYS},
    },
};

use crate::{atomic, clock::Tick, cpu, judge::Judge, lists::MMAPABLE, settings, shape};

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
    let settings = judge.settings;
    let by_source = active(&settings.source, judge.pressure());
    let mut by_prefix = 0;
    if shape::has_any(OTHERS) {
        by_prefix = active(&settings.prefix, judge.pressure());
    }
    if by_source | by_prefix == 0 {
        return ControlFlow::Continue(());
    }
    let class = class(packet);
    let mut bill = Bill::EMPTY;
    if shape::has(Feature::SourcePackets) {
        let sender = Sender::source(packet, settings, by_source);
        bill = sender.packets(&SOURCES, shape::source_shift(), class, judge.now);
        refuse(bill.refused, class, &SOURCE_REASONS, judge)?;
    }
    let mut others = 0;
    if shape::has_any(OTHERS) {
        others = check_others(class, by_source, by_prefix, judge)?;
    }
    if bill.refused | others == 0 {
        if shape::has(Feature::SourcePackets) {
            bill.settle(&SOURCES);
        }
        if shape::has_any(OTHERS) {
            limits_settle();
        }
    }
    ControlFlow::Continue(())
}

/// What the limits say that are off unless somebody sets them.
#[inline(always)]
fn check_others(
    class: Option<Class>,
    by_source: u32,
    by_prefix: u32,
    judge: &mut Judge,
) -> ControlFlow<Reason, u32> {
    let mut others = 0;
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
    let (Some(scratch), Some(settings)) = (cpu::notes(), settings::current()) else {
        return 0;
    };
    let packet = scratch.packet();
    let sender = Sender::prefix(packet, settings, active);
    let bill = sender.packets(&PREFIXES, shape::prefix_shift(), class(packet), Tick::now());
    scratch.bills[PREFIX_PACKETS] = bill;
    bill.refused
}

/// Makes out the bill of the noted packet's source in bytes.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_source_bytes(active: u32, length: u32) -> u32 {
    let (Some(scratch), Some(settings)) = (cpu::notes(), settings::current()) else {
        return 0;
    };
    let sender = Sender::source(scratch.packet(), settings, active);
    let bill = sender.bytes(&SOURCE_BYTES, shape::source_bytes_shift(), length);
    scratch.bills[SOURCE_BYTES_BILL] = bill;
    bill.refused
}

/// Makes out the bill of the noted packet's prefix in bytes.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn limits_prefix_bytes(active: u32, length: u32) -> u32 {
    let (Some(scratch), Some(settings)) = (cpu::notes(), settings::current()) else {
        return 0;
    };
    let sender = Sender::prefix(scratch.packet(), settings, active);
    let bill = sender.bytes(&PREFIX_BYTES, shape::prefix_bytes_shift(), length);
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

/// Who is charged: a source, or a prefix.
struct Sender<'a> {
    family: Family,
    number: u64,
    metering: &'a Metering,
    active: u32,
    key: &'a HashKey,
}

impl<'a> Sender<'a> {
    #[inline(always)]
    fn source(packet: &Packet, settings: &'a Settings, active: u32) -> Self {
        Self {
            family: packet.source.family(),
            number: source_number(&packet.source),
            metering: &settings.source,
            active,
            key: &settings.key,
        }
    }

    #[inline(always)]
    fn prefix(packet: &Packet, settings: &'a Settings, active: u32) -> Self {
        let mask = match packet.source.family() {
            Family::V4 => settings.prefix_mask_v4,
            Family::V6 => settings.prefix_mask_v6,
        };
        Self {
            family: packet.source.family(),
            number: source_number(&packet.source) & mask,
            metering: &settings.prefix,
            active,
            key: &settings.key,
        }
    }

    /// Charges a packet to all and to its class.
    #[inline(always)]
    fn packets(&self, table: &Array<Line>, shift: u32, class: Option<Class>, now: Tick) -> Bill {
        let slot = Slot::of_number(self.family, self.number, self.key, shift);
        let Some(line) = table.get(slot.line) else {
            return Bill::EMPTY;
        };
        let all = self.item(line, slot.tag, Class::All, now);
        let own = match class {
            Some(class) => self.item(line, slot.tag, class, now),
            None => Item::NONE,
        };
        Bill {
            items: [all, own],
            line: slot.line,
            refused: all.refused | own.refused << 1,
        }
    }

    /// What a class of packets says.
    #[inline(always)]
    fn item(&self, line: &Line, tag: u64, class: Class, now: Tick) -> Item {
        if self.active & class.bit() == 0 {
            return Item::NONE;
        }
        let class = class as usize & (PACKET_CLASSES - 1);
        let limit = &self.metering.limits[class];
        Item::new(line, class, tag, limit, limit.interval, now)
    }

    /// Charges the bytes of a frame, in a table whose lines have four sets.
    #[inline(always)]
    fn bytes(&self, table: &Array<Line>, shift: u32, length: u32) -> Bill {
        let slot = Slot::of_number(self.family, self.number, self.key, shift);
        let index = slot.line >> SETS_LOG2;
        if self.active & Class::Bytes.bit() == 0 {
            return Bill::EMPTY;
        }
        let Some(line) = table.get(index) else {
            return Bill::EMPTY;
        };
        let limit = &self.metering.limits[Class::Bytes as usize];
        let set = slot.line as usize & ((1 << SETS_LOG2) - 1);
        let item = Item::new(line, set, slot.tag, limit, limit.cost(length), Tick::now());
        Bill {
            items: [item, Item::NONE],
            line: index,
            refused: item.refused,
        }
    }
}

/// What a packet owes to one line of a table, to be written when nothing refuses it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bill {
    items: [Item; 2],
    line: u32,
    /// [`ALL`], [`OWN`], both, or zero.
    refused: u32,
}

/// Refused by the first item.
const ALL: u32 = 1;
/// Refused by the second item.
const OWN: u32 = 2;

/// What it owes to one set of two ways.
#[derive(Clone, Copy)]
#[repr(C)]
struct Item {
    /// What to add to the word, or to store there.
    value: u64,
    /// Index of the word in the line.
    word: u32,
    /// 0: nothing is written; 1: added; 2: stored.
    write: u32,
    /// 1: refused.
    refused: u32,
}

impl Item {
    const NONE: Self = Self {
        value: 0,
        word: 0,
        write: 0,
        refused: 0,
    };

    /// What a set of two ways says to a packet that costs so much.
    #[inline(always)]
    fn new(line: &Line, set: usize, tag: u64, limit: &Limit, cost: u64, now: Tick) -> Self {
        let first = set.wrapping_mul(WAYS) & (LINE_WORDS - WAYS);
        let words: *const u64 = line.as_ptr();
        // SAFETY: both ways lie in the line. Other CPUs write whole words; an outdated one costs
        // or spares a sender one packet.
        let ways = unsafe {
            [
                words.add(first).read_volatile(),
                words.add(first | 1).read_volatile(),
            ]
        };
        let charge = source::charge(ways, tag, now.moment(), limit, cost);
        let (value, write) = match charge.write {
            Write::Add(amount) => (amount, 1),
            Write::Store(value) => (value, 2),
        };
        Self {
            value,
            word: first as u32 | (charge.way & 1),
            write: if charge.kept { 0 } else { write },
            refused: u32::from(charge.refused),
        }
    }
}

impl Bill {
    const EMPTY: Self = Self {
        items: [Item::NONE; 2],
        line: 0,
        refused: 0,
    };

    /// Writes what was granted.
    #[inline(always)]
    fn settle(&self, table: &Array<Line>) {
        for item in &self.items {
            let write = match item.write {
                0 => continue,
                1 => Write::Add(item.value),
                _ => Write::Store(item.value),
            };
            let Some(line) = table.get_ptr_mut(self.line) else {
                return;
            };
            // SAFETY: masked to the words of a line, which lives as long as the map.
            let word = unsafe {
                line.cast::<u64>()
                    .add(item.word as usize & (LINE_WORDS - 1))
            };
            atomic::apply(word, write);
        }
    }
}
