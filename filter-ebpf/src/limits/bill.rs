//! What a packet owes to a line of a table, between being looked at and being written.

use core::ptr::NonNull;

use aya_ebpf::maps::Array;
use filter_common::{
    abi::settings::{Class, Metering, PACKET_CLASSES},
    logic::{
        bucket::{Limit, Write},
        source::{self, Charge, LINE_WORDS, Line, Slot, WAYS},
    },
};

use crate::{atomic, bound, clock::Tick};

/// The line of a table that holds the state of a sender.
#[derive(Clone, Copy)]
pub struct Place {
    /// The first word of a line in a live map.
    line: NonNull<u64>,
    slot: Slot,
}

impl Place {
    /// Of a slot, in its table.
    #[inline(always)]
    pub fn of(table: &Array<Line>, slot: Slot) -> Option<Self> {
        let line = NonNull::new(table.get_ptr_mut(slot.line)?.cast())?;
        Some(Self { line, slot })
    }

    /// Charges a packet to all and to its class.
    #[inline(always)]
    pub fn draft(self, metering: &Metering, active: u32, class: Option<Class>, now: Tick) -> Draft {
        Draft {
            all: self.packet(metering, active, Class::All, now),
            own: match class {
                Some(class) => self.packet(metering, active, class, now),
                None => Due::NOTHING,
            },
            place: self,
        }
    }

    /// What a class of packets says.
    #[inline(always)]
    fn packet(&self, metering: &Metering, active: u32, class: Class, now: Tick) -> Due {
        if active & class.bit() == 0 {
            return Due::NOTHING;
        }
        // The class may have come from a byte of the scratch, of which the verifier knows nothing.
        let set = bound::low::<{ PACKET_CLASSES as u32 - 1 }>(class as u64) as usize;
        // SAFETY: it was masked above, out of the compiler's sight.
        unsafe { core::hint::assert_unchecked(set < PACKET_CLASSES) };
        let limit = &metering.limits[set];
        self.due(set, limit, limit.interval, now)
    }

    /// Charges so many units of time to a set of two ways.
    #[inline(always)]
    pub fn due(&self, set: usize, limit: &Limit, cost: u64, now: Tick) -> Due {
        let first = set.wrapping_mul(WAYS) & (LINE_WORDS - WAYS);
        let line = self.line.as_ptr();
        // SAFETY: both ways lie in the line. Other CPUs write whole words; an outdated one costs
        // or spares a sender one packet.
        let ways = unsafe {
            [
                line.add(first).read_volatile(),
                line.add(first | 1).read_volatile(),
            ]
        };
        Due {
            first,
            charge: source::charge(ways, self.slot.tag, now.moment(), limit, cost),
            cost,
        }
    }

    /// A draft of this alone.
    #[inline(always)]
    pub fn of_all(self, all: Due) -> Draft {
        Draft {
            all,
            own: Due::NOTHING,
            place: self,
        }
    }
}

/// What a packet owes to a set of two ways.
#[derive(Clone, Copy)]
pub struct Due {
    /// Index of the first way in the line.
    first: usize,
    charge: Charge,
    cost: u64,
}

impl Due {
    const NOTHING: Self = Self {
        first: 0,
        charge: Charge::NONE,
        cost: 0,
    };

    /// Index of the word in the line.
    #[inline(always)]
    fn word(&self) -> usize {
        let word = self.first | (self.charge.way & 1) as usize;
        bound::low::<{ LINE_WORDS as u32 - 1 }>(word as u64) as usize
    }

    #[inline(always)]
    fn write(&self, tag: u64, now: Tick) -> Write {
        self.charge.write(tag, now.moment(), self.cost)
    }

    /// For the scratch.
    #[inline(always)]
    fn item(&self, tag: u64, now: Tick) -> Item {
        let (value, write) = match self.write(tag, now) {
            Write::Add(amount) => (amount, 1),
            Write::Store(value) => (value, 2),
        };
        Item {
            value,
            word: self.word() as u32,
            write: if self.charge.is_kept() { 0 } else { write },
        }
    }
}

/// What a packet owes to one line of a table.
#[derive(Clone, Copy)]
pub struct Draft {
    all: Due,
    own: Due,
    place: Place,
}

/// Refused as one of all.
pub const ALL: u32 = 1;
/// Refused as one of its class.
pub const OWN: u32 = 2;

impl Draft {
    /// Whether anything refuses the packet.
    #[inline(always)]
    pub fn is_refused(&self) -> bool {
        self.all.charge.refused | self.own.charge.refused != 0
    }

    /// [`ALL`], [`OWN`], both, or zero.
    #[inline(always)]
    pub fn refused(&self) -> u32 {
        self.all.charge.refused as u32 & ALL | self.own.charge.refused as u32 & OWN
    }

    /// Writes what was granted.
    #[inline(always)]
    pub fn settle(&self, now: Tick) {
        for due in [&self.all, &self.own] {
            if !due.charge.is_kept() {
                let line = self.place.line.as_ptr();
                // SAFETY: one of the words of the line, which lives as long as the map.
                let word = unsafe { line.add(due.word()) };
                atomic::apply(word, due.write(self.place.slot.tag, now));
            }
        }
    }

    /// For the scratch.
    #[inline(always)]
    pub fn bill(&self, now: Tick) -> Bill {
        let tag = self.place.slot.tag;
        Bill {
            items: [self.all.item(tag, now), self.own.item(tag, now)],
            line: self.place.slot.line,
            refused: self.refused(),
        }
    }
}

/// A [`Draft`] in words that the scratch can hold: pointers cannot be kept there.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bill {
    items: [Item; 2],
    line: u32,
    /// [`ALL`], [`OWN`], both, or zero.
    pub refused: u32,
}

/// What is owed to one set of two ways.
#[derive(Clone, Copy)]
#[repr(C)]
struct Item {
    /// What to add to the word, or to store there.
    value: u64,
    /// Index of the word in the line.
    word: u32,
    /// 0: nothing is written; 1: added; 2: stored.
    write: u32,
}

impl Item {
    const NONE: Self = Self {
        value: 0,
        word: 0,
        write: 0,
    };
}

impl Bill {
    /// Nothing is owed.
    pub const EMPTY: Self = Self {
        items: [Item::NONE; 2],
        line: 0,
        refused: 0,
    };

    /// Writes what was granted.
    #[inline(always)]
    pub fn settle(&self, table: &Array<Line>) {
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
                    .add(bound::low::<{ LINE_WORDS as u32 - 1 }>(item.word.into()) as usize)
            };
            atomic::apply(word, write);
        }
    }
}
