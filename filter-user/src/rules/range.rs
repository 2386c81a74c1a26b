//! Ranges of numbers, both ends included.

use std::{fmt, ops::RangeInclusive};

/// A number that ranges are made of.
pub trait Number: Copy + Ord + fmt::Display + Into<u32> + TryFrom<u32> {
    /// The greatest; the least is zero.
    const MOST: Self;
}

impl Number for u8 {
    const MOST: Self = Self::MAX;
}

impl Number for u16 {
    const MOST: Self = Self::MAX;
}

/// From the first number to the last, which is not below the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span<N> {
    first: N,
    last: N,
}

impl<N: Number> Span<N> {
    /// `None` if it would be empty.
    pub fn new(first: N, last: N) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// One number.
    pub const fn one(number: N) -> Self {
        Self {
            first: number,
            last: number,
        }
    }

    /// Every number, which is no condition at all.
    pub fn all() -> Self {
        Self {
            first: zero(),
            last: N::MOST,
        }
    }

    /// The first number in it.
    pub const fn first(self) -> N {
        self.first
    }

    /// The last number in it.
    pub const fn last(self) -> N {
        self.last
    }

    /// Whether it is every number.
    pub fn is_all(self) -> bool {
        self == Self::all()
    }

    /// Whether a number is in it.
    pub fn contains(self, number: N) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// Whether every number of the other is in this.
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether some number is in both.
    pub fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Its numbers, from 0 on, as indexes.
    pub fn indexes(self) -> RangeInclusive<u32> {
        self.first.into()..=self.last.into()
    }
}

fn zero<N: Number>() -> N {
    // Every unsigned type holds zero; `MOST` stands in for what cannot happen.
    N::try_from(0).unwrap_or(N::MOST)
}

/// `53`, `> 1023`, `< 1024` or `1024-2047`, as [`super::parse`] reads it back.
impl<N: Number> fmt::Display for Span<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last): (u32, u32) = (self.first.into(), self.last.into());
        if first == last {
            write!(formatter, "{first}")
        } else if last == N::MOST.into() && first > 0 {
            write!(formatter, "> {}", first.saturating_sub(1))
        } else if first == 0 && last < N::MOST.into() {
            write!(formatter, "< {}", last.saturating_add(1))
        } else {
            write!(formatter, "{first}-{last}")
        }
    }
}
