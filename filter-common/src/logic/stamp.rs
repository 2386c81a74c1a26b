//! Words that say of something that it was there a moment ago.
//!
//! A word is `tag:32 | tick:32`. The table that it lies in is small, and what is newer takes the
//! place of what is older: whoever asks must be able to do without.

/// Where a stamp lies, and the tag that it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    index: u32,
    tag: u32,
}

impl Stamp {
    /// Of what has this keyed hash, in a table of `2^log2` words.
    #[inline(always)]
    pub const fn of(hash: u64, log2: u32) -> Self {
        Self {
            index: hash.wrapping_shr(u64::BITS.wrapping_sub(log2)) as u32,
            // Never zero, for a word of zero is one that nobody wrote.
            tag: (hash >> 16) as u32 | 1,
        }
    }

    /// Index of the word.
    #[inline(always)]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Whether the word was written for this, less than so many ticks ago.
    #[inline(always)]
    pub const fn is_fresh(&self, word: u64, tick: u64, hold: u64) -> bool {
        let age = (tick as u32).wrapping_sub(word as u32);
        word >> 32 == self.tag as u64 && (age as u64) < hold
    }

    /// The word that says so of this tick.
    #[inline(always)]
    pub const fn word(&self, tick: u64) -> u64 {
        (self.tag as u64) << 32 | tick as u32 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_fresh_for_its_own_and_for_its_time_alone() {
        let stamp = Stamp::of(0x9e37_79b9_7f4a_7c15, 12);
        let other = Stamp::of(0x9e37_79b9_7f4a_7c15 ^ 1 << 40, 12);
        assert_eq!(stamp.index(), 0x9e3);
        for tick in [0, 7, u64::from(u32::MAX), u64::MAX] {
            let word = stamp.word(tick);
            assert!(stamp.is_fresh(word, tick, 1));
            assert!(stamp.is_fresh(word, tick.wrapping_add(9), 10));
            assert!(!stamp.is_fresh(word, tick.wrapping_add(10), 10));
            assert!(!other.is_fresh(word, tick, 10), "another's");
        }
        assert!(!stamp.is_fresh(0, 0, u64::MAX), "nobody wrote it");
    }
}
