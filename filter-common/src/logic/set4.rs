//! A big set of IPv4 prefixes: membership and owner in one read or two.
//!
//! The table begins with a directory: four words for each run of 64 neighbouring /24s.
//!
//! | word | what it says |
//! | --- | --- |
//! | 0 | a bit for each /24 that is listed whole |
//! | 1 | a bit for each /24 that is listed in part |
//! | 2 | low half: the line of the leaf of the run's first /24 listed in part; high half: the [owner](Owner) of the whole ones |
//! | 3 | zero |
//!
//! Leaves follow, a line each: 256 bits in four words, the owner in the fifth. Exact for every
//! prefix length; a million scattered addresses take 72 MiB.

use super::lines::{self, Line, Lines};

/// Lines of the directory.
pub const DIRECTORY: u32 = 1 << 17;
/// Words of a run in the directory.
pub const RUN_WORDS: u32 = 4;
/// The word of a leaf that says whose it is.
pub const LEAF_OWNER: usize = 4;

/// Lists that can be told apart; more cannot be loaded at once.
pub const LISTS: u32 = 64;

/// Whose the members of a run or a leaf are: the number of a list, below [`LISTS`], if all are of
/// one list, else the line at which their owners begin, a byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u32);

impl Owner {
    /// The list of the member at `position`.
    #[inline(always)]
    pub fn of(self, lines: &(impl Lines + ?Sized), position: u32) -> Option<u8> {
        if self.0 < LISTS {
            return Some(self.0 as u8);
        }
        let line = lines.line(self.0.wrapping_add(position >> 6))?;
        let word = lines::at(line, position >> 3);
        Some(word.wrapping_shr((position & 7).wrapping_mul(8)) as u8)
    }
}

/// The list that an address, as a number, is in. `None` if it is in none.
#[inline(always)]
pub fn find(lines: &(impl Lines + ?Sized), address: u32) -> Option<u8> {
    let run = address >> 14;
    let words = lines.line(run >> 1)?;
    // Computed, for half of all addresses would make a branch go wrong.
    let first = (run & 1).wrapping_mul(RUN_WORDS);
    let [whole, part, refer] = [0, 1, 2].map(|word| lines::at(words, first | word));
    let block = address >> 8 & 63;
    let bit = 1_u64.wrapping_shl(block);
    if whole & bit != 0 {
        return Owner((refer >> 32) as u32).of(lines, block);
    }
    if part & bit == 0 {
        return None;
    }
    let before = (part & bit.wrapping_sub(1)).count_ones();
    let leaf: &Line = lines.line((refer as u32).wrapping_add(before))?;
    let host = address & 0xff;
    let listed = lines::at(leaf, host >> 6).wrapping_shr(host & 63) & 1;
    if listed == 0 {
        return None;
    }
    Owner(leaf[LEAF_OWNER] as u32).of(lines, host)
}
