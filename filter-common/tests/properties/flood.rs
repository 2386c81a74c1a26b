//! Limits under spoofed floods: the default table, at rates that no test machine sends.

use filter_common::{
    abi::settings::{Class, PACKET_CLASSES},
    logic::{
        address::Address,
        bucket::{Limit, Now},
        source::{LINE_WORDS, Line, Slot, WAYS, charge},
    },
};

use crate::source::{key, random, v4};

const HZ: u64 = 250;
/// Lines of the default table, as a power of two: 262,144 sources.
const BITS: u32 = 17;
/// Sources that are measured.
const MEASURED: usize = 64;
/// Packets a second that each of them may send.
const RATE: u64 = 50;
/// Seconds until the burst is used up and everything is in motion, and after that.
const BEFORE: u64 = 2;
const SECONDS: u64 = 4;

/// The default table with one limit on all packets. Lines that no measured source is in have no
/// bearing on any, and are left out.
struct Table {
    lines: Vec<Line>,
    is_measured: Vec<bool>,
    limit: Limit,
}

impl Table {
    fn new(measured: &[Address]) -> Self {
        let mut is_measured = vec![false; 1 << BITS];
        for source in measured {
            is_measured[slot(source).line as usize] = true;
        }
        Self {
            lines: vec![[0; LINE_WORDS]; 1 << BITS],
            is_measured,
            limit: Limit::new(RATE, RATE, HZ, 1).expect("the bucket holds a second's worth"),
        }
    }

    fn packet(&mut self, source: &Address, now: Now) -> bool {
        const FIRST: usize = Class::All as usize * WAYS;
        const { assert!(FIRST + WAYS <= PACKET_CLASSES * WAYS) };
        let slot = slot(source);
        if !self.is_measured[slot.line as usize] {
            return true;
        }
        let line = &mut self.lines[slot.line as usize];
        let ways = [line[FIRST], line[FIRST + 1]];
        let charge = charge(ways, slot.tag, now, &self.limit, self.limit.interval);
        if !charge.is_kept() {
            let word = &mut line[FIRST + charge.way as usize];
            let write = charge.write(slot.tag, now, self.limit.interval);
            *word = write.applied(*word);
        }
        !charge.is_refused()
    }
}

fn slot(source: &Address) -> Slot {
    Slot::of(source, &key(), 64 - BITS)
}

/// Sources at twice their limit, in a flood in which every packet has another source; what each
/// of them got through a second, in hundredths of its limit.
fn shares(flood: u64) -> Vec<u64> {
    let sources: Vec<Address> = (0..MEASURED as u32)
        .map(|number| v4(0xc000_0200 + number))
        .collect();
    let mut table = Table::new(&sources);
    let mut passed = vec![0_u64; MEASURED];
    let mut state = 0x2545_f491_4f6c_dd1d;
    for tick in 0..(BEFORE + SECONDS) * HZ {
        let now = Now::from_tick(tick);
        // Each sends at moments of its own, half of them before the flood of a tick.
        let send = |table: &mut Table, passed: &mut [u64], parity: usize| {
            for (number, source) in sources.iter().enumerate().skip(parity).step_by(2) {
                let sent = |tick: u64| tick * 2 * RATE / HZ;
                let phase = number as u64;
                for _ in sent(tick + phase)..sent(tick + phase + 1) {
                    let is_within = table.packet(source, now);
                    passed[number] += u64::from(is_within && tick >= BEFORE * HZ);
                }
            }
        };
        send(&mut table, &mut passed, 0);
        for _ in 0..flood / HZ {
            table.packet(&v4(random(&mut state) as u32), now);
        }
        send(&mut table, &mut passed, 1);
    }
    passed
        .iter()
        .map(|passed| passed * 100 / (RATE * SECONDS))
        .collect()
}

fn holds(flood: u64) {
    let shares = shares(flood);
    assert!(
        shares.iter().all(|share| (95..=105).contains(share)),
        "at {flood} spoofed packets a second, sources at twice their limit got, in hundredths of \
         it: {shares:?}"
    );
}

#[test]
fn a_source_at_twice_its_limit_gets_its_limit_at_1_m_spoofed_sources_a_second() {
    holds(1_000_000);
}

#[test]
fn a_source_at_twice_its_limit_gets_its_limit_at_3_m_spoofed_sources_a_second() {
    holds(3_000_000);
}

#[test]
fn a_source_at_twice_its_limit_gets_its_limit_at_10_m_spoofed_sources_a_second() {
    holds(10_000_000);
}
