//! State per source.

use filter_common::{
    abi::settings::{Class, PACKET_CLASSES},
    logic::{
        address::Address,
        bucket::{Limit, Now},
        hash::HashKey,
        source::{Charge, LINE_WORDS, Line, Slot, WAYS, charge},
    },
};
use proptest::prelude::*;

const HZ: u64 = 250;
/// CPUs that charge a bucket together.
const CPUS: u64 = 256;

pub fn key() -> HashKey {
    HashKey::from_random([
        0x9e37_79b9_7f4a_7c15,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x27d4_eb2f_1656_67c5,
    ])
}

/// The table, and what the kernel does with it.
struct Table {
    lines: Vec<Line>,
    shift: u32,
    limits: [Limit; PACKET_CLASSES],
}

impl Table {
    fn new(bits: u32, limits: [Limit; PACKET_CLASSES]) -> Self {
        Self {
            lines: vec![[0; LINE_WORDS]; 1 << bits],
            shift: 64 - bits,
            limits,
        }
    }

    /// Charges a packet to its class and to all, or, if either refuses it, to neither.
    fn packet(&mut self, source: Address, class: Option<Class>, tick: u64) -> bool {
        let slot = Slot::of(&source, &key(), self.shift);
        let line = &mut self.lines[slot.line as usize];
        let now = Now::from_tick(tick);
        let classes = [Some(Class::All), class];
        let charges: Vec<(usize, Charge, u64)> = classes
            .into_iter()
            .flatten()
            .map(|class| {
                let first = class as usize * WAYS;
                let ways = [line[first], line[first + 1]];
                let limit = &self.limits[class as usize];
                let charge = charge(ways, slot.tag, now, limit, limit.interval);
                (first, charge, limit.interval)
            })
            .collect();
        if charges.iter().any(|(_, charge, _)| charge.is_refused()) {
            return false;
        }
        for (first, charge, cost) in charges {
            if !charge.is_kept() {
                let word = &mut line[first + charge.way as usize];
                *word = charge.write(slot.tag, now, cost).applied(*word);
            }
        }
        true
    }
}

fn limit(rate: u64) -> Limit {
    Limit::new(rate, rate, HZ, CPUS).expect("the bucket holds a second's worth")
}

pub fn v4(number: u32) -> Address {
    Address::v4(number.to_be())
}

/// Xorshift (Marsaglia), for simulations that need many numbers fast.
pub fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// At a million spoofed packets a second over 8192 lines, two ways each.
#[test]
fn a_flood_of_new_sources_does_not_push_out_a_limited_one() {
    const PER_TICK: u64 = 1_000_000 / HZ;
    const SECONDS: u64 = 12;
    const RATE: u64 = 50;
    let mut table = Table::new(13, [limit(RATE); PACKET_CLASSES]);
    let sources: Vec<Address> = (0..50).map(|number| v4(0xc000_0200 + number)).collect();
    let mut passed = vec![0_u64; sources.len()];
    let mut state = 0x2545_f491_4f6c_dd1d;
    for tick in 0..SECONDS * HZ {
        for _ in 0..PER_TICK {
            table.packet(v4(random(&mut state) as u32), None, tick);
        }
        // Each sends at twice its limit, at moments of its own.
        for (number, source) in sources.iter().enumerate() {
            let sent = |tick: u64| tick * 2 * RATE / HZ;
            let phase = number as u64;
            for _ in sent(tick + phase)..sent(tick + phase + 1) {
                // A second for the burst, and one to be noticed.
                passed[number] += u64::from(table.packet(*source, None, tick) && tick >= 3 * HZ);
            }
        }
    }
    let limit = RATE * (SECONDS - 3);
    let mean = passed.iter().sum::<u64>() / sources.len() as u64;
    assert!(
        mean <= limit * 105 / 100,
        "sources passed {mean} each, their limit is {limit}: {passed:?}"
    );
    assert!(
        passed.iter().all(|passed| *passed >= limit * 95 / 100),
        "{passed:?}"
    );
}

/// What is free for the taking costs nobody: a source within its limit passes whole.
#[test]
fn a_source_within_its_limit_loses_nothing_in_a_flood() {
    const SECONDS: u64 = 5;
    let mut table = Table::new(10, [limit(50); PACKET_CLASSES]);
    let client = v4(0xc000_0207);
    let mut state = 0x2545_f491_4f6c_dd1d;
    for tick in 0..SECONDS * HZ {
        for _ in 0..1000 {
            table.packet(v4(random(&mut state) as u32), Some(Class::Syn), tick);
        }
        if tick % 5 == 0 {
            assert!(
                table.packet(client, Some(Class::Syn), tick),
                "lost at tick {tick}"
            );
        }
    }
}

fn classes() -> impl Strategy<Value = Option<Class>> {
    prop_oneof![Just(None), Just(Some(Class::Udp)), Just(Some(Class::Icmp)),]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Integer tokens starved such a client: 1.7 SYN/s of 200 while it sent 300 others.
    #[test]
    fn whatever_else_a_source_sends_it_gets_its_rate_of_a_class(
        rate in 1..400_u64,
        asked in 1..800_u64,
        others in prop::collection::vec((classes(), 0..4_u64), 1..50),
    ) {
        const SECONDS: u64 = 20;
        let open = limit(100_000);
        let mut limits = [open; PACKET_CLASSES];
        limits[Class::Syn as usize] = limit(rate);
        limits[Class::Udp as usize] = limit(10);
        let mut table = Table::new(4, limits);
        let client = v4(0xc000_0207);
        let mut passed = 0;
        for tick in 0..SECONDS * HZ {
            let (class, count) = others[tick as usize % others.len()];
            for _ in 0..count {
                table.packet(client, class, tick);
            }
            for _ in tick * asked / HZ..(tick + 1) * asked / HZ {
                passed += u64::from(table.packet(client, Some(Class::Syn), tick));
            }
        }
        let due = (asked * SECONDS).min(rate * SECONDS + rate);
        prop_assert!(passed * 100 >= due * 99 - 100, "{passed} passed of {due} due");
        prop_assert!(passed <= due * 101 / 100 + rate / HZ + 2, "{passed} passed of {due} due");
    }

    #[test]
    fn charging_never_panics_and_writes_only_its_own(
        ways: [u64; WAYS], tag in 1..1_u64 << 20, tick: u64,
        interval: u64, depth: u64, horizon: u64,
    ) {
        let limit = Limit { interval, depth, horizon };
        let now = Now::from_tick(tick);
        let charge = charge(ways, tag, now, &limit, limit.interval);
        prop_assert!((charge.way as usize) < WAYS);
        if !charge.is_kept() {
            let write = charge.write(tag, now, limit.interval);
            prop_assert_eq!(write.applied(ways[charge.way as usize]) & 0xf_ffff, tag);
        }
    }

    #[test]
    fn an_ipv4_address_and_an_ipv6_prefix_of_the_same_bits_are_two_sources(number: u32, rest: [u32; 2]) {
        let four = v4(number);
        let six = Address::v6([0, number.to_be(), rest[0], rest[1]]);
        let slot = |source| Slot::of(source, &key(), 64 - 16);
        prop_assert_ne!(slot(&four), slot(&six));
    }

    #[test]
    fn every_address_of_a_64_is_one_source(high: [u32; 2], one: [u32; 2], other: [u32; 2], shift in 40..62_u32) {
        let slot = |low: [u32; 2]| {
            Slot::of(&Address::v6([high[0], high[1], low[0], low[1]]), &key(), shift)
        };
        prop_assert_eq!(slot(one), slot(other));
        prop_assert!(u64::from(slot(one).line) < 1 << (64 - shift));
    }
}
