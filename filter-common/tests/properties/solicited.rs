//! What this host asked for is kept apart from what it did not.

use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
};

use filter_common::logic::{
    address::Address,
    hash::HashKey,
    solicited::{Flow, LINES_LOG2, Line, set_bits},
};

const KEY: HashKey = HashKey::from_random([
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x27d4_eb2f_1656_67c5,
]);

/// A query of a resolver: another port each time, one of a few servers.
fn query(number: u32) -> Flow {
    let server = Address::v4((0xc000_0200 + number / 65_536 % 256).to_be());
    Flow::of(&server, 53, number as u16, &KEY)
}

/// A flow of a flood: any source, any port.
fn forged(number: u32) -> Flow {
    let source = Address::v4(number.wrapping_mul(0x9e37_79b1));
    Flow::of(&source, 53, (number >> 7) as u16, &KEY)
}

#[test]
fn a_tenth_of_the_bits_lets_one_in_some_hundred_strangers_pass() {
    let mut lines = BTreeMap::<u32, Line>::new();
    for number in 0..(1 << LINES_LOG2) * 7 {
        let flow = query(number);
        flow.note(lines.entry(flow.line).or_default(), 5);
    }
    let set: u32 = lines
        .values()
        .flatten()
        .map(|word| set_bits(*word, 5))
        .sum();
    let share = f64::from(set) / f64::from(192 << LINES_LOG2);
    assert!(
        (0.095..0.11).contains(&share),
        "{share} of the bits are set"
    );
    let passes = |number: &u32| {
        let flow = forged(*number);
        let line = lines.get(&flow.line);
        line.is_some_and(|line| flow.is_noted(line, 5))
    };
    let passed = (0..1_000_000).filter(passes).count();
    assert!(passed < 3_000, "{passed} of a million strangers pass");
}

/// As `filter-ebpf` does it, by compare-and-exchange.
fn note(line: &[AtomicU64; 8], flow: &Flow, generation: u64) {
    for bit in flow.bits {
        let word = &line[bit.word as usize];
        let order = Ordering::Relaxed;
        word.fetch_update(order, order, |word| Some(bit.noted(word, generation)))
            .expect("it is tried until it succeeds");
    }
}

#[test]
fn cpus_that_begin_a_generation_at_one_time_lose_no_flow() {
    const CPUS: u32 = 4;
    const GENERATIONS: u64 = 2_000;
    let line: [AtomicU64; 8] = Default::default();
    let lost = AtomicU64::new(0);
    let (begun, ended) = (Barrier::new(CPUS as usize), Barrier::new(CPUS as usize));
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (line, begun, ended, lost) = (&line, &begun, &ended, &lost);
            scope.spawn(move || {
                for generation in 0..GENERATIONS {
                    let own = query(cpu + CPUS * generation as u32);
                    begun.wait();
                    note(line, &own, generation);
                    ended.wait();
                    let now = line.each_ref().map(|word| word.load(Ordering::Relaxed));
                    let is_lost = !own.is_noted(&now, generation);
                    lost.fetch_add(is_lost.into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(lost.into_inner(), 0);
}
