//! A big set of IPv6 prefixes: one search for the /64, and one more where less than a /64 is listed.
//!
//! The listed space is cut into spans: neighbouring /64s that one list owns, or none, or a single
//! /64 of which a part is listed. A [tree](super::tree) of the spans' starts gives the span of an
//! address in the same number of reads for any mixture of prefix lengths, so that nobody can
//! choose addresses that cost more.
//!
//! | lines | what they hold |
//! | --- | --- |
//! | 0 | two [trees](Tree): of the starts below 2⁶³, and of the others without their top bit |
//! | 1 | word 0: index of the word of the first tree's first [span](Span); word 1: the same of the second tree |
//! | others | the trees' nodes; spans, a word each, of rank 0 and up; parts, two words each: the first low half of a stretch of a /64, and its owner |

use super::{
    lines::{self, Lines},
    tree::{KEY_LIMIT, Tree},
};

/// Owner of what is not listed.
pub const NOBODY: u8 = 0xff;
/// Stretches that a /64 can be cut into, as a power of two.
pub const MOST_PARTS_LOG2: u32 = 20;

/// A span: `owner:8 | parts:24 | first:32`. With no parts, all of it is the owner's; else `parts`
/// stretches begin at pair `first`, the first of them at low half 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64);

impl Span {
    /// All of it one owner's.
    pub const fn whole(owner: u8) -> Self {
        Self((owner as u64) << 56)
    }

    /// Cut into stretches.
    pub const fn cut(parts: u32, first: u32) -> Self {
        Self((NOBODY as u64) << 56 | (parts as u64 & 0xff_ffff) << 32 | first as u64)
    }

    #[inline(always)]
    const fn owner(self) -> u8 {
        (self.0 >> 56) as u8
    }

    #[inline(always)]
    const fn parts(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }

    #[inline(always)]
    const fn first(self) -> u32 {
        self.0 as u32
    }
}

/// The list that an address is in, given as the numbers of its two halves. `None` if it is in
/// none.
#[inline(always)]
pub fn find(lines: &(impl Lines + ?Sized), high: u64, low: u64) -> Option<u8> {
    let side = (high >> 63) as u32;
    let tree = Tree::read(lines, 0, side)?;
    let spans = lines::word(lines, 8_u32.wrapping_add(side))? as u32;
    // A table of zeros is an empty set.
    if spans == 0 {
        return None;
    }
    let rank = tree.rank(lines, high & (KEY_LIMIT - 1))?;
    let span = Span(lines::word(lines, spans.wrapping_add(rank))?);
    let owner = match span.parts() {
        0 => span.owner(),
        parts => stretch(lines, span.first(), parts, low)?,
    };
    if owner == NOBODY { None } else { Some(owner) }
}

/// The owner of the last of `parts` stretches, from pair `first` on, that does not begin above
/// `low`.
#[inline(always)]
fn stretch(lines: &(impl Lines + ?Sized), first: u32, parts: u32, low: u64) -> Option<u8> {
    // The stretch lies at or above `at`, and below `at + room`.
    let mut at = first;
    let mut room = parts;
    for _ in 0..MOST_PARTS_LOG2 {
        if room <= 1 {
            break;
        }
        let half = room >> 1;
        let middle = at.wrapping_add(half);
        if lines::word(lines, middle.wrapping_mul(2))? <= low {
            at = middle;
        }
        room = room.wrapping_sub(half);
    }
    let owner = lines::word(lines, at.wrapping_mul(2).wrapping_add(1))?;
    Some(owner as u8)
}
