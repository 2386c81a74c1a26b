//! The gate's bits, and how many entries want each.

use std::collections::BTreeSet;

use filter_common::logic::{
    gate::{Bit, LINE_WORDS, LINES, SHORTEST_V6},
    hash::HashKey,
};
use ipnet::IpNet;

/// The gate as userspace keeps it: a count for each bit.
#[derive(Debug)]
pub struct Gate {
    key: HashKey,
    /// Entries that want a bit. A count of 255 stays: the bit then costs time, nothing else.
    counts: Vec<u8>,
    dirty: BTreeSet<u32>,
    open_v6: u32,
}

const BITS_PER_LINE: usize = LINE_WORDS * 64;

impl Gate {
    /// A closed gate. Every line is dirty, so that flushing it overwrites what was there.
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            counts: vec![0; LINES as usize * BITS_PER_LINE],
            dirty: (0..LINES).collect(),
            open_v6: 0,
        }
    }

    /// Wants the bits of a prefix.
    pub fn add(&mut self, prefix: &IpNet) {
        self.each(prefix, |count| count.saturating_add(1));
        if is_short_v6(prefix) {
            self.open_v6 += 1;
        }
    }

    /// No longer wants the bits of a prefix that was added.
    pub fn remove(&mut self, prefix: &IpNet) {
        self.each(prefix, |count| match count {
            u8::MAX => count,
            _ => count.saturating_sub(1),
        });
        if is_short_v6(prefix) {
            self.open_v6 = self.open_v6.saturating_sub(1);
        }
    }

    /// Whether IPv6 entries exist that are too short for bits.
    pub fn is_open_v6(&self) -> bool {
        self.open_v6 > 0
    }

    /// The lines that changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<(u32, [u64; LINE_WORDS])> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|line| (line, self.line(line)))
            .collect()
    }

    /// Says that a line has changed after all.
    pub fn mark(&mut self, line: u32) {
        self.dirty.insert(line);
    }

    fn line(&self, line: u32) -> [u64; LINE_WORDS] {
        let start = line as usize * BITS_PER_LINE;
        let counts = self
            .counts
            .get(start..start + BITS_PER_LINE)
            .unwrap_or_default();
        let mut words = [0; LINE_WORDS];
        for (word, counts) in words.iter_mut().zip(counts.chunks(64)) {
            for (bit, count) in counts.iter().enumerate() {
                *word |= u64::from(*count > 0) << bit;
            }
        }
        words
    }

    fn each(&mut self, prefix: &IpNet, change: impl Fn(u8) -> u8) {
        match prefix {
            IpNet::V4(net) => {
                // Neighbouring blocks have neighbouring bits, and there may be millions.
                let first = index(Bit::of_v4_block(u32::from(net.network()) >> 8));
                let blocks = 1_usize << 24_u8.saturating_sub(net.prefix_len());
                self.change(first, blocks, change);
            }
            IpNet::V6(net) if net.prefix_len() >= SHORTEST_V6 => {
                let first = (u128::from(net.network()) >> 80) as u64;
                let blocks = 1_u64 << 48_u8.saturating_sub(net.prefix_len());
                for block in first..first + blocks {
                    self.change(index(Bit::of_v6_block(block, &self.key)), 1, &change);
                }
            }
            IpNet::V6(_) => {}
        }
    }

    /// Changes the counts of neighbouring bits: some of one line, or all of several.
    fn change(&mut self, first: usize, bits: usize, change: impl Fn(u8) -> u8) {
        let counts = self.counts.get_mut(first..first + bits).unwrap_or_default();
        for (line, counts) in (first / BITS_PER_LINE..).zip(counts.chunks_mut(BITS_PER_LINE)) {
            let mut has_moved = false;
            for count in counts {
                let before = std::mem::replace(count, change(*count));
                has_moved |= (before == 0) != (*count == 0);
            }
            if has_moved {
                self.dirty.insert(line as u32);
            }
        }
    }
}

/// Where the count of a bit is.
fn index(bit: Bit) -> usize {
    bit.line() as usize * BITS_PER_LINE + bit.word() * 64 + bit.mask().trailing_zeros() as usize
}

fn is_short_v6(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V6(net) if net.prefix_len() < SHORTEST_V6)
}

#[cfg(test)]
mod properties {
    use std::{cell::RefCell, collections::BTreeMap, net::IpAddr};

    use filter_common::logic::address::Address;
    use proptest::{prelude::*, test_runner::TestRunner};

    use super::*;

    /// The gate, and the lines that the kernel would have.
    struct Pair {
        gate: Gate,
        lines: BTreeMap<u32, [u64; LINE_WORDS]>,
    }

    impl Pair {
        fn flush(&mut self) {
            self.lines.extend(self.gate.take_dirty());
        }

        fn is_set(&self, address: IpAddr) -> bool {
            let address = Address::from(address);
            let bit = Bit::of(&address, &self.gate.key);
            self.lines[&bit.line()][bit.word()] & bit.mask() != 0
                || address.family() == filter_common::logic::address::Family::V6
                    && self.gate.is_open_v6()
        }

        fn is_closed(&self) -> bool {
            self.lines.values().flatten().all(|word| *word == 0) && !self.gate.is_open_v6()
        }
    }

    /// A prefix, and addresses in it.
    fn prefixes() -> impl Strategy<Value = (IpNet, Vec<IpAddr>)> {
        let v4 = (
            any::<u32>(),
            6..=32_u8,
            prop::collection::vec(any::<u32>(), 4),
        )
            .prop_map(|(bits, length, inside)| {
                let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let address = |low: u32| IpAddr::V4((bits & !host | low & host).into());
                let net = IpNet::new(address(0), length).expect("a length that fits");
                (
                    net,
                    inside.into_iter().chain([0, host]).map(address).collect(),
                )
            });
        let v6 = (
            any::<u128>(),
            1..=128_u8,
            prop::collection::vec(any::<u128>(), 4),
        )
            .prop_map(|(bits, length, inside)| {
                let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let address = |low: u128| IpAddr::V6((bits & !host | low & host).into());
                let net = IpNet::new(address(0), length).expect("a length that fits");
                (
                    net,
                    inside.into_iter().chain([0, host]).map(address).collect(),
                )
            });
        prop_oneof![v4, v6]
    }

    #[test]
    fn no_ipv6_entry_costs_more_than_256_bits() {
        let key = HashKey::from_random([0x9e37_79b9_7f4a_7c15, 2, 3, 0x27d4_eb2f_1656_67c5]);
        let mut gate = Gate::new(key);
        gate.take_dirty();
        let set = |gate: &Gate| {
            gate.counts
                .iter()
                .map(|count| u64::from(*count))
                .sum::<u64>()
        };
        for (text, bits, open) in [
            ("2001:db8::/32", 0, true),
            ("2001:db8::/39", 0, true),
            ("2001:db8::/40", 256, false),
            ("2001:db8::/48", 1, false),
            ("2001:db8::/64", 1, false),
        ] {
            let prefix = text.parse().expect("a prefix");
            gate.add(&prefix);
            assert_eq!(set(&gate), bits, "{text}");
            assert_eq!(gate.is_open_v6(), open, "{text}");
            gate.remove(&prefix);
            assert_eq!(set(&gate), 0, "{text}");
            assert!(!gate.is_open_v6(), "{text}");
        }
    }

    #[test]
    fn every_address_in_a_prefix_has_its_bit_until_the_last_entry_goes() {
        let key = HashKey::from_random([0x9e37_79b9_7f4a_7c15, 2, 3, 0x27d4_eb2f_1656_67c5]);
        let pair = RefCell::new(Pair {
            gate: Gate::new(key),
            lines: BTreeMap::new(),
        });
        pair.borrow_mut().flush();
        assert_eq!(
            pair.borrow().lines.len(),
            LINES as usize,
            "a new gate writes every line"
        );
        let sets = prop::collection::vec(prefixes(), 1..12);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
        runner
            .run(&sets, |set| {
                let mut pair = pair.borrow_mut();
                for (prefix, _) in &set {
                    pair.gate.add(prefix);
                }
                pair.flush();
                // One goes after the other; those that stay keep their bits.
                for gone in 0..set.len() {
                    for (prefix, inside) in &set[gone..] {
                        for address in inside {
                            prop_assert!(prefix.contains(address));
                            prop_assert!(pair.is_set(*address), "{} of {}", address, prefix);
                        }
                    }
                    pair.gate.remove(&set[gone].0);
                    pair.flush();
                }
                prop_assert!(pair.is_closed());
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
