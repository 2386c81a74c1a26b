//! The gate's bits: how many single entries want each, and which the big sets want.

use std::{collections::BTreeSet, sync::Arc};

use filter_common::logic::{
    gate::{Bit, ENTRIES, LINE_WORDS, LINES},
    hash::HashKey,
};
use ipnet::IpNet;

use crate::sets::near::{Near, bits_of_v6};

/// The gate as userspace keeps it: a count for each bit.
#[derive(Debug)]
pub struct Gate {
    key: HashKey,
    /// Single entries that want a bit. A count of 255 stays: the bit then costs time, nothing else.
    counts: Vec<u8>,
    dirty: BTreeSet<u32>,
    open_v6: u32,
    /// What the big sets want: of those in force, and while one is put in place, of the next too.
    sets: Vec<Arc<Near>>,
}

const BITS_PER_LINE: usize = LINE_WORDS * 64;

impl Gate {
    /// A closed gate. Every line is dirty, so that flushing it overwrites what was there.
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            counts: vec![0; LINES as usize * BITS_PER_LINE],
            dirty: (0..ENTRIES).collect(),
            open_v6: 0,
            sets: Vec::new(),
        }
    }

    /// Wants the bits of a prefix.
    pub fn add(&mut self, prefix: &IpNet) {
        if !self.each(prefix, |count| count.saturating_add(1)) {
            self.open_v6 += 1;
        }
    }

    /// No longer wants the bits of a prefix that was added.
    pub fn remove(&mut self, prefix: &IpNet) {
        let has_bits = self.each(prefix, |count| match count {
            u8::MAX => count,
            _ => count.saturating_sub(1),
        });
        if !has_bits {
            self.open_v6 = self.open_v6.saturating_sub(1);
        }
    }

    /// What the big sets want.
    pub fn sets(&self) -> &[Arc<Near>] {
        &self.sets
    }

    /// Wants what these big sets want, and nothing for others.
    pub fn set_sets(&mut self, sets: Vec<Arc<Near>>) {
        let before = std::mem::replace(&mut self.sets, sets);
        for line in 0..LINES {
            if wanted(&before, line) != wanted(&self.sets, line) {
                self.dirty.insert(line);
            }
        }
    }

    /// Whether IPv6 entries exist that are too short for bits.
    pub fn is_open_v6(&self) -> bool {
        self.open_v6 > 0 || self.sets.iter().any(|near| near.is_open_v6)
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
        let (mut words, outer) = match line.checked_sub(LINES) {
            Some(outer) => ([0; LINE_WORDS], outer),
            None => (wanted(&self.sets, line), line),
        };
        let start = outer as usize * BITS_PER_LINE;
        let counts = self
            .counts
            .get(start..start + BITS_PER_LINE)
            .unwrap_or_default();
        if counts.iter().all(|count| *count == 0) {
            return words;
        }
        for (word, counts) in words.iter_mut().zip(counts.chunks(64)) {
            for (bit, count) in counts.iter().enumerate() {
                *word |= u64::from(*count > 0) << bit;
            }
        }
        words
    }

    /// Changes the counts of a prefix's bits; `false` if it is too short to have any.
    fn each(&mut self, prefix: &IpNet, change: impl Fn(u8) -> u8) -> bool {
        match prefix {
            IpNet::V4(net) => {
                // Neighbouring blocks have neighbouring bits, and there may be millions.
                let first = index(Bit::of_v4_block(u32::from(net.network()) >> 8));
                let blocks = 1_usize << 24_u8.saturating_sub(net.prefix_len());
                self.change(first, blocks, change);
            }
            IpNet::V6(net) => {
                let Some(bits) = bits_of_v6(*net, &self.key) else {
                    return false;
                };
                for bit in bits {
                    self.change(index(bit), 1, &change);
                }
            }
        }
        true
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
                self.dirty.extend([line as u32, LINES | line as u32]);
            }
        }
    }
}

/// Where the count of a bit is.
fn index(bit: Bit) -> usize {
    bit.line() as usize * BITS_PER_LINE + bit.word() * 64 + bit.mask().trailing_zeros() as usize
}

/// The bits of a line that any of these sets wants.
fn wanted(sets: &[Arc<Near>], line: u32) -> [u64; LINE_WORDS] {
    let mut words = [0; LINE_WORDS];
    for near in sets {
        let (lines, _) = near.words.as_chunks::<LINE_WORDS>();
        for (word, more) in words
            .iter_mut()
            .zip(lines.get(line as usize).unwrap_or(&[0; LINE_WORDS]))
        {
            *word |= more;
        }
    }
    words
}

#[cfg(test)]
mod properties {
    use std::{cell::RefCell, collections::BTreeMap, net::IpAddr};

    use filter_common::logic::address::{Address, Family};
    use proptest::{prelude::*, test_runner::TestRunner};

    use super::*;

    const RANDOM: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xc2b2_ae3d_27d4_eb4f,
        3,
        0x27d4_eb2f_1656_67c5,
    ];

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
            let is_set = |bit: Bit| {
                [bit.line(), bit.inner_line()]
                    .iter()
                    .all(|line| self.lines[line][bit.word()] & bit.mask() != 0)
            };
            match address.family() {
                Family::V4 => is_set(Bit::of(&address, &self.gate.key)),
                Family::V6 => {
                    is_set(Bit::of(&address, &self.gate.key))
                        || is_set(Bit::wide(&address, &self.gate.key))
                        || self.gate.is_open_v6()
                }
            }
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
    fn no_ipv6_entry_costs_more_than_4096_bits() {
        let key = HashKey::from_random(RANDOM);
        let mut gate = Gate::new(key);
        gate.take_dirty();
        let set = |gate: &Gate| {
            gate.counts
                .iter()
                .map(|count| u64::from(*count))
                .sum::<u64>()
        };
        for (text, bits, open) in [
            ("2001::/19", 0, true),
            ("2001::/20", 4096, false),
            ("2001:db8::/32", 1, false),
            ("2001:db8::/39", 1, false),
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
        let key = HashKey::from_random(RANDOM);
        let pair = RefCell::new(Pair {
            gate: Gate::new(key),
            lines: BTreeMap::new(),
        });
        pair.borrow_mut().flush();
        assert_eq!(
            pair.borrow().lines.len(),
            ENTRIES as usize,
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

    #[test]
    fn the_bits_of_a_set_go_without_those_of_single_entries() {
        let mut gate = Gate::new(HashKey::default());
        gate.take_dirty();
        let near = |line: usize, word| {
            let mut words = vec![0; crate::sets::near::WORDS];
            words[line * LINE_WORDS] = word;
            Arc::new(Near {
                words,
                is_open_v6: false,
            })
        };
        let (old, new) = (near(1, 0b110), near(1, 0b1000));
        gate.add(&"0.2.0.0/24".parse().expect("a prefix"));
        gate.set_sets(vec![Arc::clone(&old)]);
        let inner = (LINES + 1, [0b1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            gate.take_dirty(),
            [(1, [0b111, 0, 0, 0, 0, 0, 0, 0]), inner]
        );
        gate.set_sets(vec![old, Arc::clone(&new)]);
        assert_eq!(gate.take_dirty(), [(1, [0b1111, 0, 0, 0, 0, 0, 0, 0])]);
        gate.set_sets(vec![new]);
        assert_eq!(gate.take_dirty(), [(1, [0b1001, 0, 0, 0, 0, 0, 0, 0])]);
        gate.set_sets(Vec::new());
        assert_eq!(gate.take_dirty(), [(1, [0b1, 0, 0, 0, 0, 0, 0, 0])]);
    }
}
