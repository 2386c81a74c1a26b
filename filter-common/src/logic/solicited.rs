//! What this host asked for over UDP: bits of flows, in two generations.
//!
//! A word of a line is `generation:16 | before:24 | current:24` and ages by itself, when somebody
//! looks: nobody has to clear it. It is replaced by compare-and-exchange, so that CPUs that note at
//! one time lose no bit, even where a generation begins; for a lost bit is a lost answer. A flow
//! has one bit in each of three words of its line (a Bloom filter of one line, as in
//! [`seen`](super::seen)).

use super::{address::Address, hash::HashKey};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 15;
/// Words in a line.
pub const WORDS: usize = 8;
/// A line.
pub type Line = [u64; WORDS];
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
    pub const fn of(remote: &Address, remote_port: u16, local_port: u16, key: &HashKey) -> Self {
        let family = remote.family();
        let [a, b] = remote.numbers();
        let ports = (remote_port as u64) << 16 | local_port as u64;
        let hash = key.set(family, a);
        let hash = key.tag(family, (hash ^ b).rotate_left(29));
        let hash = key.tag(family, (hash ^ ports).rotate_left(29));
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

impl Bit {
    /// The place comes from eight random bits.
    #[inline(always)]
    const fn of(word: u32, random: u32) -> Self {
        Self {
            word: word & (WORDS as u32 - 1),
            mask: 1_u64.wrapping_shl((random & 0xff).wrapping_mul(WIDTH) >> 8),
        }
    }

    /// The word with the bit set in this generation; the same word if nothing is to be written.
    #[inline(always)]
    pub const fn noted(&self, word: u64, generation: u64) -> u64 {
        aged(word, generation) | self.mask
    }

    /// Whether the bit is set in this generation or in the one before.
    #[inline(always)]
    pub const fn is_noted(&self, word: u64, generation: u64) -> bool {
        let word = aged(word, generation);
        (word | word >> WIDTH) & self.mask != 0
    }
}

/// The word as it is in a generation. One of the next generation stays: another CPU's clock was read
/// a moment later.
#[inline(always)]
const fn aged(word: u64, generation: u64) -> u64 {
    let stamp = (generation & 0xffff) << STAMP;
    match (generation as u16).wrapping_sub((word >> STAMP) as u16) {
        0 | u16::MAX => word,
        1 => stamp | (word & CURRENT) << WIDTH,
        _ => stamp,
    }
}

/// Bits that are set in a word in this generation, of [`WORD_BITS`].
#[inline(always)]
pub const fn set_bits(word: u64, generation: u64) -> u32 {
    (aged(word, generation) & CURRENT).count_ones()
}

/// Bits of a generation in a word.
pub const WORD_BITS: u32 = WIDTH;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_random([
        0x9e37_79b9_7f4a_7c15,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x27d4_eb2f_1656_67c5,
    ]);

    fn flow(number: u32) -> Flow {
        let remote = Address::v4(number.wrapping_mul(0x9e37_79b1).to_be());
        Flow::of(&remote, 53, number as u16, &KEY)
    }

    /// A table of one line, in which every flow lies.
    #[derive(Default)]
    struct Table(Line);

    impl Table {
        fn note(&mut self, flow: &Flow, generation: u64) {
            for bit in &flow.bits {
                let word = &mut self.0[bit.word as usize];
                *word = bit.noted(*word, generation);
            }
        }

        fn knows(&self, flow: &Flow, generation: u64) -> bool {
            flow.bits
                .iter()
                .all(|bit| bit.is_noted(self.0[bit.word as usize], generation))
        }
    }

    #[test]
    fn a_flow_is_known_for_its_generation_and_the_next_whatever_the_number() {
        for start in [0, 1, 0xfffe, 0x1_0000, 0x1_2345_6789] {
            let mut table = Table::default();
            let asked = flow(7);
            table.note(&asked, start);
            assert!(table.knows(&asked, start), "{start}");
            assert!(table.knows(&asked, start + 1), "{start}");
            assert!(!table.knows(&asked, start + 2), "{start}");
        }
    }

    #[test]
    fn a_clock_that_is_a_generation_behind_neither_forgets_nor_loses_what_it_notes() {
        let mut table = Table::default();
        let (one, other) = (flow(1), flow(2));
        table.note(&one, 9);
        table.note(&other, 8);
        assert!(table.knows(&one, 8) && table.knows(&one, 9));
        assert!(table.knows(&other, 9) && table.knows(&other, 8));
    }

    #[test]
    fn the_bits_of_a_flow_lie_in_three_words() {
        for number in 0..10_000 {
            let [a, b, c] = flow(number).bits.map(|bit| bit.word);
            assert!(a != b && b != c && a != c, "{number}");
        }
    }
}
