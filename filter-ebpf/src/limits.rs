//! Limits per source, in classes.

use core::ops::ControlFlow;

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{
        reason::Reason,
        settings::{Class, PACKET_CLASSES},
    },
    logic::{
        bucket::Write,
        packet::{Packet, Transport},
        source::{self, Charge, LINE_WORDS, Line, Slot, WAYS},
    },
};

use crate::{atomic, judge::Judge, lists::MMAPABLE, shape};

#[map]
static SOURCES: Array<Line> = Array::with_max_entries(1 << 17, MMAPABLE);

/// Drops what exceeds its source's limit. A packet is charged to its class and to all, or, if
/// either refuses it, to neither.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    let active = judge.settings.source.always
        | if judge.pressure {
            judge.settings.source.pressed
        } else {
            0
        };
    if active == 0 {
        return ControlFlow::Continue(());
    }
    let slot = Slot::of(&packet.source, &judge.settings.key, shape::source_shift());
    let Some(line) = SOURCES.get_ptr_mut(slot.line) else {
        return ControlFlow::Continue(());
    };
    let all = charge(line, slot, Class::All, active, judge);
    let own = match class(packet) {
        Some((class, reason)) => {
            let own = charge(line, slot, class, active, judge);
            if own == Charge::Refused {
                judge.found(reason)?;
            }
            Some((class, own))
        }
        None => None,
    };
    if all == Charge::Refused {
        judge.found(Reason::LimitAll)?;
    }
    if all == Charge::Refused || matches!(own, Some((_, Charge::Refused))) {
        return ControlFlow::Continue(());
    }
    write(line, Class::All, all);
    if let Some((class, own)) = own {
        write(line, class, own);
    }
    ControlFlow::Continue(())
}

/// The class of a packet beside "all", and the reason of its refusal.
#[inline(always)]
fn class(packet: &Packet) -> Option<(Class, Reason)> {
    match packet.transport {
        Transport::Tcp { flags, .. } if flags.opens() => Some((Class::Syn, Reason::LimitSyn)),
        Transport::Udp { .. } => Some((Class::Udp, Reason::LimitUdp)),
        Transport::Icmp { .. } => Some((Class::Icmp, Reason::LimitIcmp)),
        Transport::Tcp { .. } | Transport::Opaque => None,
    }
}

/// What the class says to a packet from the source in this slot.
#[inline(always)]
fn charge(line: *const Line, slot: Slot, class: Class, active: u32, judge: &Judge) -> Charge {
    if active & class.bit() == 0 {
        return Charge::Untracked;
    }
    let first = first_way(class);
    // SAFETY: the line lives as long as the map, and `first_way` leaves room for the second way.
    // Other CPUs write whole words; an outdated one costs or spares a source one packet.
    let ways: [u64; WAYS] = unsafe {
        let words = line.cast::<u64>();
        [
            words.add(first).read_volatile(),
            words.add(first | 1).read_volatile(),
        ]
    };
    let limit = &judge.settings.source.limits[class as usize & (PACKET_CLASSES - 1)];
    source::charge(ways, slot.tag, judge.now.moment(), limit, limit.interval)
}

/// Writes what was granted.
#[inline(always)]
fn write(line: *mut Line, class: Class, charge: Charge) {
    if let Charge::Granted(way, write) = charge {
        // SAFETY: as in `charge`; the way is 0 or 1.
        let word = unsafe { line.cast::<u64>().add(first_way(class) | (way & 1)) };
        match write {
            Write::Add(amount) => atomic::add(word, amount),
            // SAFETY: aligned and in bounds, as above.
            Write::Store(value) => unsafe { word.write_volatile(value) },
        }
    }
}

/// Index of a class's first way in the line.
#[inline(always)]
const fn first_way(class: Class) -> usize {
    (class as usize).wrapping_mul(WAYS) & (LINE_WORDS - WAYS)
}
