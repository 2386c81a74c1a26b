//! The hop limits that known good sources arrive with.
//!
//! Who forges in somebody's name sends from elsewhere, and mostly over another number of routers; he
//! does not see with which hop limit the other arrives here. A source has a word, `tag:32`, and below it
//! the last four hop limits with which it completed handshakes, a byte each: paths change, and behind one
//! address there may be several systems. The newest source takes the word of another.

use super::{
    address::{Address, Family},
    branchless::many::equal,
    hash::HashKey,
};

/// Words of the table, as a power of two.
pub const WORDS_LOG2: u32 = 17;
/// Hop limits in a word.
const KEPT: u32 = 4;
/// The part of a word that they take.
const HOPS: u64 = (1 << (KEPT * u8::BITS)) - 1;

/// Where a source's hop limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the word.
    pub index: u32,
    /// The tag, where a word has it; never zero.
    tag: u64,
}

impl Place {
    /// Of an IPv4 address, or of an IPv6 /48, as for [known good](super::known) sources.
    #[inline(always)]
    pub fn of(source: &Address, key: &HashKey) -> Self {
        let family = source.family();
        let number = match family {
            Family::V4 => source.high32() as u64,
            Family::V6 => source.high64() >> 16,
        };
        let hash = key.chain(family, &[number]);
        Self {
            index: (hash >> (u64::BITS - WORDS_LOG2)) as u32,
            tag: (hash << 16 | 1 << 32) & !HOPS,
        }
    }

    /// Whether the source, whose word this is, arrived with that hop limit.
    #[inline(always)]
    pub fn expects(&self, word: u64, hops: u8) -> bool {
        if word & !HOPS != self.tag {
            return false;
        }
        let hops = u64::from(hops);
        let is_at = |kept: u32| equal(word.wrapping_shr(kept.wrapping_mul(u8::BITS)) & 0xff, hops);
        (0..KEPT).fold(0, |found, kept| found | is_at(kept)) != 0
    }

    /// The word with one more hop limit, in the place of the one that was learned first.
    #[inline(always)]
    pub fn with(&self, word: u64, hops: u8) -> u64 {
        let hops = u64::from(hops);
        if word & !HOPS != self.tag {
            // All four, for nothing else was seen.
            return self.tag | hops.wrapping_mul(0x0101_0101);
        }
        if self.expects(word, hops as u8) {
            return word;
        }
        self.tag | (word << u8::BITS | hops) & HOPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::hash::KEY;

    fn place(number: u32) -> Place {
        Place::of(&Address::v4(number.to_be()), &KEY)
    }

    #[test]
    fn the_last_four_are_expected_and_no_other() {
        let place = place(7);
        let expected =
            |word| -> usize { (0..=255).filter(|hops| place.expects(word, *hops)).count() };
        assert_eq!(expected(0), 0, "a word that nobody wrote");
        let mut word = 0;
        for (kept, hops) in [
            (1, 52),
            (1, 52),
            (2, 116),
            (3, 0),
            (3, 116),
            (4, 255),
            (4, 64),
        ] {
            word = place.with(word, hops);
            assert!(place.expects(word, hops));
            assert_eq!(expected(word), kept, "after {hops}");
        }
        assert!(!place.expects(word, 52), "the first is gone");
        assert!(
            [116, 0, 255, 64]
                .iter()
                .all(|hops| place.expects(word, *hops))
        );
    }

    #[test]
    fn a_source_takes_the_word_of_another() {
        let (one, other) = (place(7), place(8));
        let word = other.with(one.with(0, 52), 60);
        assert!(other.expects(word, 60) && !other.expects(word, 52));
        assert!(!one.expects(word, 52) && !one.expects(word, 60));
    }

    #[test]
    fn sources_differ_by_place_or_tag_and_a_48_is_one() {
        let v6 = |text: &str| {
            let ip = text.parse::<core::net::IpAddr>().expect("an address");
            Place::of(&Address::from(ip), &KEY)
        };
        assert_eq!(v6("2001:db8:1:2::3"), v6("2001:db8:1:ffff::"));
        assert_ne!(v6("2001:db8:1::"), v6("2001:db8:2::"));
        for number in 0..10_000 {
            assert!(place(number).index < 1 << WORDS_LOG2);
            assert_ne!(place(number), place(number + 1), "{number}");
        }
    }
}
