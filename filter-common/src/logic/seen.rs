//! Which sources were seen before: bits of a hash, in two generations.
//!
//! A line keeps a generation's number and two times 192 bits: those of the generation, and of the
//! one before (a Bloom filter of one line: Putze, Sanders and Singler, "Cache-, hash-, and
//! space-efficient Bloom filters", 2007). Lines age by themselves, when somebody looks: nobody has
//! to clear them.

use super::{address::Address, hash::HashKey, hash::source_number};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 16;
/// Words of bits in a generation.
const WORDS: usize = 3;

/// A line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Line {
    generation: u64,
    current: [u64; WORDS],
    before: [u64; WORDS],
    reserved: u64,
}

crate::abi::map_value!(Line: 64);

/// Where a source's bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    line: u32,
    bits: [u64; WORDS],
}

impl Mark {
    /// Of a source: an IPv4 address or an IPv6 /64.
    #[inline(always)]
    pub const fn of(source: &Address, key: &HashKey) -> Self {
        let family = source.family();
        let number = source_number(source);
        let hash = key.tag(family, key.set(family, number).rotate_left(31));
        Self {
            line: (hash >> (64 - LINES_LOG2)) as u32,
            // One bit in each word.
            bits: [
                1_u64.wrapping_shl((hash >> 42) as u32 & 63),
                1_u64.wrapping_shl((hash >> 36) as u32 & 63),
                1_u64.wrapping_shl((hash >> 30) as u32 & 63),
            ],
        }
    }

    /// Index of the line.
    #[inline(always)]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// Whether the mark is made in this generation.
    #[inline(always)]
    pub const fn is_fresh(&self, line: &Line, generation: u64) -> bool {
        line.generation == generation && self.within(&line.current)
    }

    /// Whether the mark was made in this generation or in the one before.
    #[inline(always)]
    pub const fn is_known(&self, line: &Line, generation: u64) -> bool {
        match generation.wrapping_sub(line.generation) {
            0 => self.within(&line.current) || self.within(&line.before),
            1 => self.within(&line.current),
            _ => false,
        }
    }

    /// Makes the mark in this generation.
    #[inline(always)]
    pub const fn make(&self, line: &mut Line, generation: u64) {
        match generation.wrapping_sub(line.generation) {
            0 => {}
            1 => {
                line.before = line.current;
                line.current = [0; WORDS];
            }
            _ => {
                line.before = [0; WORDS];
                line.current = [0; WORDS];
            }
        }
        line.generation = generation;
        line.current = [
            line.current[0] | self.bits[0],
            line.current[1] | self.bits[1],
            line.current[2] | self.bits[2],
        ];
    }

    #[inline(always)]
    const fn within(&self, words: &[u64; WORDS]) -> bool {
        words[0] & self.bits[0] != 0 && words[1] & self.bits[1] != 0 && words[2] & self.bits[2] != 0
    }
}
