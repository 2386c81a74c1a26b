//! Who is known good: sources whose connections got data acknowledged on two days.
//!
//! A line has 32 masks of days, 16 bits each, bit `day % 16`. A source has two masks in its line;
//! the days that both have are its days. The daemon clears the column of the next day before it
//! comes, so that what is marked is at most 15 days old. IPv6 goes by /48, and each /32 has room for
//! so many new marks a day: whoever owns a /32 has 65,536 of them.
//!
//! In front of the table is a gate, a bit for each quarter of a line, set where any mask has two
//! days. It fits into a processor's cache: those who are not known good, as of a forged flood nearly
//! all, do not wait for a line of the table.

use super::{
    address::{Address, Family},
    hash::HashKey,
    lines,
};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 17;
pub use super::lines::{Line, WORDS};
/// Words of the gate, as a power of two.
pub const GATE_LOG2: u32 = LINES_LOG2 + QUARTERS_LOG2 - u64::BITS.ilog2();
/// Quarters of a line.
const QUARTERS_LOG2: u32 = 2;
/// Words of one.
const QUARTER_LOG2: u32 = WORDS.ilog2() - QUARTERS_LOG2;
/// Lines that a word of the gate has bits for.
pub const GATE_LINES: usize = 1 << (LINES_LOG2 - GATE_LOG2);
/// Days that a mask has room for.
pub const DAYS: u32 = 16;
/// Words of the table of quotas, as a power of two.
pub const QUOTAS_LOG2: u32 = 12;
/// New marks of one IPv6 /32 in a day.
pub const QUOTA: u64 = 4096;

const MASK: u64 = (1 << DAYS) - 1;

/// One of a source's masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the word in the line, below [`WORDS`].
    pub word: u32,
    shift: u32,
}

/// Where a source's masks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Index of the line.
    pub line: u32,
    /// The masks.
    pub masks: [Place; 2],
}

impl Places {
    /// Of an IPv4 address, or of an IPv6 /48.
    #[inline(always)]
    pub const fn of(source: &Address, key: &HashKey) -> Self {
        let family = source.family();
        let number = match family {
            Family::V4 => source.high32() as u64,
            Family::V6 => source.high64() >> 16,
        };
        let hash = key.tag(family, key.set(family, number).rotate_left(37));
        let first = (hash >> 42) as u32 & 31;
        // Another than the first, whatever the hash.
        let step = ((hash >> 34) as u32 & 0xff).wrapping_mul(31) >> 8;
        let second = first.wrapping_add(step).wrapping_add(1) & 31;
        Self {
            line: (hash >> (u64::BITS - LINES_LOG2)) as u32,
            masks: [Place::of(first), Place::of(second)],
        }
    }

    /// Where the gate has the bit that is set if the source may be known good: index of the word,
    /// and the bit in it.
    #[inline(always)]
    pub const fn gate(&self) -> (u32, u64) {
        let quarter = self.masks[0].word >> QUARTER_LOG2;
        let bit = self.line << QUARTERS_LOG2 | quarter;
        (
            bit >> u64::BITS.ilog2(),
            1_u64.wrapping_shl(bit & (u64::BITS - 1)),
        )
    }

    /// The days of the source, whose line this is.
    pub fn days(&self, line: &Line) -> u64 {
        let days = |it: &Place| it.days(lines::at(line, it.word));
        let [first, second] = &self.masks;
        days(first) & days(second)
    }
}

impl Place {
    #[inline(always)]
    const fn of(index: u32) -> Self {
        Self {
            word: index >> 2,
            shift: (index & 3) << 4,
        }
    }

    /// The days in the word.
    #[inline(always)]
    pub const fn days(&self, word: u64) -> u64 {
        word.wrapping_shr(self.shift) & MASK
    }

    /// The bit of a day in the word.
    #[inline(always)]
    pub const fn bit(&self, day: u32) -> u64 {
        column(day).wrapping_shl(self.shift)
    }
}

/// The bit of a day in a mask.
#[inline(always)]
pub const fn column(day: u32) -> u64 {
    1_u64.wrapping_shl(day & (DAYS - 1))
}

/// Whether somebody with these days is known good.
#[inline(always)]
pub const fn is_good(days: u64) -> bool {
    days & days.wrapping_sub(1) != 0
}

/// The word of the gate in front of these lines.
pub fn gate<'a>(lines: impl IntoIterator<Item = &'a Line>) -> u64 {
    let mut bits = 0;
    let quarters = lines
        .into_iter()
        .flat_map(|line| line.chunks(1 << QUARTER_LOG2));
    for (at, quarter) in (0..u64::BITS).zip(quarters) {
        if quarter.iter().any(|word| has_good(*word)) {
            bits |= 1_u64.wrapping_shl(at);
        }
    }
    bits
}

/// Whether any mask of a word has two days.
fn has_good(word: u64) -> bool {
    (0..u64::BITS)
        .step_by(DAYS as usize)
        .any(|shift| is_good(word.wrapping_shr(shift) & MASK))
}

/// Where the quota of an IPv6 address's /32 is; none for IPv4.
#[inline(always)]
pub const fn quota(source: &Address, key: &HashKey) -> Option<u32> {
    match source.family() {
        Family::V4 => None,
        Family::V6 => {
            let hash = key.tag(Family::V6, source.high32() as u64);
            Some((hash >> (u64::BITS - QUOTAS_LOG2)) as u32)
        }
    }
}

/// A quota's word, `day:32 | used:32`, as it is on a day.
#[inline(always)]
pub const fn quota_on(word: u64, day: u32) -> u64 {
    let today = (day as u64) << 32;
    if word & !0xffff_ffff == today {
        word
    } else {
        today
    }
}

/// Whether a quota has room for a mark.
#[inline(always)]
pub const fn has_room(word: u64) -> bool {
    word & 0xffff_ffff < QUOTA
}

/// The columns to clear when days have passed from `from` to `to`: those of the days between, and of
/// the day after, in every mask of a word. All of them, if the calendar was set back: whoever believes
/// that does not know what passed.
pub const fn outdated(from: u32, to: u32) -> u64 {
    let mut columns = 0;
    let mut day = match to.checked_sub(from) {
        Some(passed) if passed < DAYS => from.wrapping_add(1),
        Some(_) | None => return u64::MAX,
    };
    while day <= to.wrapping_add(1) {
        columns |= column(day);
        day = day.wrapping_add(1);
    }
    columns | columns << 16 | columns << 32 | columns << 48
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::logic::hash::KEY;

    fn mark(line: &mut Line, places: &Places, day: u32) {
        for it in &places.masks {
            if let Some(word) = line.get_mut(it.word as usize) {
                *word |= it.bit(day);
            }
        }
    }

    #[test]
    fn two_days_make_somebody_known_good_and_fifteen_days_forget() {
        let places = Places::of(&Address::v4(7), &KEY);
        let mut line = Line::default();
        for day in [20_000, 20_000, 20_003] {
            assert!(!is_good(places.days(&line)), "day {day}");
            mark(&mut line, &places, day);
        }
        assert!(is_good(places.days(&line)));
        for day in 20_003..20_014 {
            let cleared = outdated(day, day + 1);
            line = line.map(|word| word & !cleared);
            assert!(is_good(places.days(&line)), "after day {day}");
        }
        line = line.map(|word| word & !outdated(20_014, 20_015));
        assert!(!is_good(places.days(&line)), "the first day is over");
    }

    #[test]
    fn the_gate_lets_all_by_who_are_known_good_and_few_others() {
        let mut lines = vec![Line::default(); 1 << LINES_LOG2];
        let places = |number: u32| Places::of(&Address::v4(number.to_be()), &KEY);
        for number in 0..2_000 {
            let places = places(number);
            let line = lines.get_mut(places.line as usize).expect("a line");
            mark(line, &places, 20_000);
            if number % 2 == 0 {
                mark(line, &places, 20_001);
            }
        }
        let words: Vec<u64> = lines.chunks(GATE_LINES).map(gate).collect();
        assert_eq!(words.len(), 1 << GATE_LOG2);
        let is_open = |number| {
            let (word, bit) = places(number).gate();
            words.get(word as usize).is_some_and(|it| it & bit != 0)
        };
        let good = |number: &u32| {
            let places = places(*number);
            let line = lines.get(places.line as usize);
            line.is_some_and(|line| is_good(places.days(line)))
        };
        assert!((0..2_000).filter(good).all(is_open));
        let strangers = (2_000..102_000).filter(|number| is_open(*number)).count();
        assert!(strangers < 1_000, "{strangers} of 100,000");
    }

    #[test]
    fn an_absence_clears_what_would_be_mistaken() {
        assert_eq!(outdated(100, 100), outdated(100, 100) & outdated(99, 100));
        for passed in 0..20 {
            let cleared = outdated(100, 100 + passed) as u16;
            for day in 101..=100 + passed + 1 {
                assert_ne!(u64::from(cleared) & column(day), 0, "{passed}: {day}");
            }
            let kept = u16::MAX.count_ones() - cleared.count_ones();
            assert_eq!(kept, if passed < 16 { 15 - passed } else { 0 }, "{passed}");
        }
        assert_eq!(outdated(100, 99), u64::MAX, "nobody knows what passed");
    }

    #[test]
    fn the_masks_of_a_source_are_two_and_a_48_is_one_source() {
        for number in 0..10_000_u32 {
            let places = Places::of(&Address::v4(number.to_be()), &KEY);
            let [first, second] = places.masks;
            assert_ne!(first, second, "{number}");
        }
        let v6 = |text: &str| Address::from(text.parse::<core::net::IpAddr>().expect("an address"));
        let of = |text| Places::of(&v6(text), &KEY);
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1::"), of("2001:db8:2::"));
    }

    #[test]
    fn a_quota_begins_anew_each_day() {
        let mut word = 0;
        for _ in 0..QUOTA {
            assert!(has_room(quota_on(word, 5)));
            word = quota_on(word, 5) + 1;
        }
        assert!(!has_room(quota_on(word, 5)));
        assert!(has_room(quota_on(word, 6)));
    }
}
