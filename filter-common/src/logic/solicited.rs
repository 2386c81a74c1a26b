//! What this host asked for over UDP: bits of flows, in two generations.
//!
//! A word of a line is `generation:16 | before:24 | current:24` and ages by itself, when somebody
//! looks: nobody has to clear it. It is replaced by compare-and-exchange, so that CPUs that note at
//! one time lose no bit, even where a generation begins; for a lost bit is a lost answer. A flow
//! has one bit in each of three words of its line (a Bloom filter of one line, as in
//! [`seen`](super::seen)).

use super::{
    address::Address,
    branchless::{choose, equal},
    hash::HashKey,
    lines,
};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 15;
pub use super::lines::{Line, WORDS};
/// Bits of a flow.
pub const BITS: usize = 3;

/// Bits of a generation in a word.
const WIDTH: u32 = 24;
const CURRENT: u64 = (1 << WIDTH) - 1;
const STAMP: u32 = 2 * WIDTH;

/// One of a flow's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// Index of the word in the line, below [`WORDS`].
    pub word: u32,
    mask: u64,
}

/// Where a flow's bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Index of the line.
    pub line: u32,
    /// The bits, each in another word.
    pub bits: [Bit; BITS],
}

impl Flow {
    /// Between a port of this host and a port of another.
    #[inline(always)]
    pub fn of(remote: &Address, remote_port: u16, local_port: u16, key: &HashKey) -> Self {
        let family = remote.family();
        let [a, b] = remote.numbers();
        let ports = (remote_port as u64) << 16 | local_port as u64;
        let hash = key.chain(family, &[a, b, ports]);
        // Multiplication mixes upwards: the lowest bits of a product are not used.
        let first = (hash >> 46) as u32;
        let step = (hash >> 43) as u32 | 1;
        Self {
            line: (hash >> (u64::BITS - LINES_LOG2)) as u32,
            bits: [
                Bit::of(first, (hash >> 35) as u32),
                Bit::of(first.wrapping_add(step), (hash >> 27) as u32),
                Bit::of(first.wrapping_add(step << 1), (hash >> 19) as u32),
            ],
        }
    }
}

impl Flow {
    /// Whether the flow is noted in its line, in this generation or in the one before.
    pub fn is_noted(&self, line: &Line, generation: u64) -> bool {
        let is_noted = |bit: &Bit| bit.is_noted(lines::at(line, bit.word), generation);
        self.bits.iter().all(|bit| is_noted(bit) != 0)
    }

    /// Notes it there.
    pub fn note(&self, line: &mut Line, generation: u64) {
        for bit in &self.bits {
            if let Some(word) = line.get_mut(bit.word as usize) {
                *word = bit.noted(*word, generation);
            }
        }
    }
}

impl Bit {
    /// The place comes from eight random bits.
    #[inline(always)]
    const fn of(word: u32, random: u32) -> Self {
        Self {
            word: word & 7,
            mask: 1_u64.wrapping_shl((random & 0xff).wrapping_mul(WIDTH) >> 8),
        }
    }

    /// The word with the bit set in this generation; the same word if nothing is to be written.
    #[inline(always)]
    pub fn noted(&self, word: u64, generation: u64) -> u64 {
        aged(word, generation) | self.mask
    }

    /// Whether the bit is set in this generation or in the one before: all ones, or zero.
    #[inline(always)]
    pub fn is_noted(&self, word: u64, generation: u64) -> u64 {
        let word = aged(word, generation);
        !equal((word | word >> WIDTH) & self.mask, 0)
    }
}

/// The word as it is in a generation. One of the next generation stays: another CPU's clock was read
/// a moment later. Without a branch, for the verifier follows each, and a flow has three words.
#[inline(always)]
fn aged(word: u64, generation: u64) -> u64 {
    let stamp = (generation & 0xffff) << STAMP;
    let age = generation.wrapping_sub(word >> STAMP) & 0xffff;
    let older = stamp | ((word & CURRENT) << WIDTH) & equal(age, 1);
    choose(equal(age, 0) | equal(age, 0xffff), word, older)
}

/// Bits that are set in a word in this generation, of [`WORD_BITS`].
#[inline(always)]
pub fn set_bits(word: u64, generation: u64) -> u32 {
    (aged(word, generation) & CURRENT).count_ones()
}

/// Bits of a generation in a word.
pub const WORD_BITS: u32 = WIDTH;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::hash::KEY;

    fn flow(number: u32) -> Flow {
        let remote = Address::v4(number.wrapping_mul(0x9e37_79b1).to_be());
        Flow::of(&remote, 53, number as u16, &KEY)
    }

    #[test]
    fn a_flow_is_known_for_its_generation_and_the_next_whatever_the_number() {
        for start in [0, 1, 0xfffe, 0x1_0000, 0x1_2345_6789] {
            let mut table = Line::default();
            let asked = flow(7);
            asked.note(&mut table, start);
            assert!(asked.is_noted(&table, start), "{start}");
            assert!(asked.is_noted(&table, start + 1), "{start}");
            assert!(!asked.is_noted(&table, start + 2), "{start}");
        }
    }

    #[test]
    fn a_clock_that_is_a_generation_behind_neither_forgets_nor_loses_what_it_notes() {
        let mut table = Line::default();
        let (one, other) = (flow(1), flow(2));
        one.note(&mut table, 9);
        other.note(&mut table, 8);
        assert!(one.is_noted(&table, 8) && one.is_noted(&table, 9));
        assert!(other.is_noted(&table, 9) && other.is_noted(&table, 8));
    }

    #[test]
    fn the_bits_of_a_flow_lie_in_three_words() {
        for number in 0..10_000 {
            let [a, b, c] = flow(number).bits.map(|bit| bit.word);
            assert!(a != b && b != c && a != c, "{number}");
        }
    }
}
