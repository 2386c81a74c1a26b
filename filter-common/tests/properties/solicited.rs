//! What this host asked for is kept apart from what it did not.

use std::collections::BTreeMap;

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
