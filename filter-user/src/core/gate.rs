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
