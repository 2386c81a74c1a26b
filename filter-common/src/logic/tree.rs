//! Where a number lies among sorted keys: a static tree without pointers.
//!
//! The layout is that of an implicit B+ tree, one cache line a node: eight keys, nine children,
//! the children of node `n` being the nodes `9n` to `9n + 8` of the level below. Counting the keys
//! that are not above a number, level by level, gives the number's rank. There is no branch
//! that depends on a key, and every search of a tree costs the same, whoever chose the numbers.

use super::lines::{Line, Lines, WORDS};

/// Levels that a tree can have: 8 × 9⁶ keys, 4,251,528.
pub const LEVELS: usize = 7;
/// Children of a node.
pub const FANOUT: u32 = WORDS as u32 + 1;
/// Keys and numbers looked for are below this.
pub const KEY_LIMIT: u64 = 1 << 63;
/// What fills up a node: above every number, the largest too, which would lead beyond the last
/// node if it met an equal.
pub const PADDING: u64 = KEY_LIMIT;

/// Where the levels of a tree are: 32 bytes, two of them in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tree {
    /// The first line of each level, from the root down to the keys themselves.
    pub starts: [u32; LEVELS],
    /// How many levels there are; none, if there is no key.
    pub levels: u32,
}

impl Tree {
    /// The tree whose description is the `index`th of those that begin at line `first`.
    #[inline(always)]
    pub fn read(lines: &(impl Lines + ?Sized), first: u32, index: u32) -> Option<Self> {
        let line = lines.line(first.wrapping_add(index >> 1))?;
        let [a, b, c, d] = if index & 1 == 0 {
            [line[0], line[1], line[2], line[3]]
        } else {
            [line[4], line[5], line[6], line[7]]
        };
        let high = |word: u64| (word >> 32) as u32;
        Some(Self {
            starts: [
                a as u32,
                high(a),
                b as u32,
                high(b),
                c as u32,
                high(c),
                d as u32,
            ],
            levels: high(d),
        })
    }

    /// The same tree in a table that begins `lines` lines later.
    #[inline(always)]
    #[must_use]
    pub fn based(mut self, lines: u32) -> Self {
        for start in &mut self.starts {
            *start = start.wrapping_add(lines);
        }
        self
    }

    /// The four words that [`Tree::read`] reads.
    pub const fn words(&self) -> [u64; 4] {
        let [a, b, c, d, e, f, g] = self.starts;
        [pair(a, b), pair(c, d), pair(e, f), pair(g, self.levels)]
    }

    /// How many keys are not above `number`, which is below [`KEY_LIMIT`]. `None` if the table
    /// ends before the tree.
    #[inline(always)]
    pub fn rank(&self, lines: &(impl Lines + ?Sized), number: u64) -> Option<u32> {
        let mut node = 0_u32;
        let mut rank = 0_u32;
        for (level, start) in self.starts.into_iter().enumerate() {
            if level as u32 >= self.levels {
                break;
            }
            let line = lines.line(start.wrapping_add(node))?;
            let within = not_above(line, number);
            rank = node.wrapping_mul(WORDS as u32).wrapping_add(within);
            node = node.wrapping_mul(FANOUT).wrapping_add(within);
        }
        Some(rank)
    }
}

/// How many of a line's keys are not above `number`. The top bit of a difference says which of two
/// numbers below 2⁶³ is smaller, and costs no branch.
#[inline(always)]
fn not_above(line: &Line, number: u64) -> u32 {
    let mut above = 0_u64;
    for key in line {
        above = above.wrapping_add(number.wrapping_sub(*key) >> 63);
    }
    (WORDS as u64).wrapping_sub(above) as u32
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}
