//! Fair shares of a service that is sent more than its ceiling.
//!
//! The fair share is an interval between packets, as of a [bucket](super::bucket), that lengthens
//! while the service's bucket is more than three quarters used and shortens while it is less than
//! half used; after Pan, Breslau, Prabhakar and Shenker, "Approximate fairness through differential
//! dropping" (2003), whose controller does the same with a queue's length.

use super::bucket::Limit;

/// Parts that a bucket's depth is told in.
const WHOLE: u64 = 1 << 8;

/// How much of a service's bucket is used: 256 is all, and 257 more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u64);

impl Level {
    /// Of a deficit, against the depth of its limit. A depth of zero is no limit.
    #[inline(always)]
    pub const fn of(deficit: u64, depth: u64) -> Self {
        match deficit.checked_div(depth >> 8) {
            None => Self(0),
            // However little it is above, for what is full must not be charged to nobody.
            Some(_) if deficit > depth => Self(WHOLE + 1),
            Some(level) if level > WHOLE => Self(WHOLE),
            Some(level) => Self(level),
        }
    }

    /// The higher of two.
    #[inline(always)]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// Less than a quarter is used: nobody is dropped.
    #[inline(always)]
    pub const fn is_calm(self) -> bool {
        self.0 < WHOLE / 4
    }

    /// More than half is used: newcomers have to wait.
    #[inline(always)]
    pub const fn is_crowded(self) -> bool {
        self.0 >= WHOLE / 2
    }

    /// No packet has room.
    #[inline(always)]
    pub const fn is_full(self) -> bool {
        self.0 > WHOLE
    }

    /// Whether a newcomer is dropped, given a random number: never below a quarter, always above a
    /// half, and in between the more often the fuller.
    #[inline(always)]
    pub const fn loses(self, random: u32) -> bool {
        let over = self.0.saturating_sub(WHOLE / 4);
        (random as u64 & (WHOLE / 4 - 1)) < over
    }
}

/// What shares are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Packets.
    Packets,
    /// Bytes, 256 at a time, where a service has no ceiling in packets.
    Bytes,
}

impl Unit {
    /// The burst within a share: 32 packets, or 256 KiB, for a frame can have 64.
    const fn burst(self) -> u64 {
        match self {
            Self::Packets => 32,
            Self::Bytes => 1024,
        }
    }
}

/// The smallest share is this part of the ceiling, as a power of two.
const SMALLEST_LOG2: u32 = 16;

/// The limit that a fair share is for one source. No limit, if the ceiling is none.
#[inline(always)]
pub fn limit(fair: u64, ceiling: &Limit, unit: Unit) -> Limit {
    let interval = bounded(fair, ceiling, unit);
    if interval == 0 {
        return Limit::default();
    }
    let depth = interval.wrapping_mul(unit.burst());
    Limit {
        interval,
        depth,
        horizon: depth.wrapping_mul(2),
    }
}

/// The share of the next tick.
#[inline(always)]
pub fn next(fair: u64, level: &Level, ceiling: &Limit, unit: Unit) -> u64 {
    let fair = bounded(fair, ceiling, unit);
    let next = if level.0 > WHOLE / 4 * 3 {
        fair.wrapping_add(fair >> 4)
    } else if level.0 < WHOLE / 2 {
        fair.wrapping_sub(fair >> 6)
    } else {
        fair
    };
    bounded(next, ceiling, unit)
}

/// A share is at most the whole ceiling, and at least a small part of it that a bucket can hold.
#[inline(always)]
const fn bounded(fair: u64, ceiling: &Limit, unit: Unit) -> u64 {
    let most = (super::bucket::HALF_RANGE / 4) >> unit.burst().ilog2();
    let smallest = ceiling.interval.wrapping_shl(SMALLEST_LOG2);
    let longest = if smallest > most { most } else { smallest };
    if fair > longest {
        longest
    } else if fair < ceiling.interval {
        ceiling.interval
    } else {
        fair
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_full_exactly_when_a_packet_has_no_room() {
        for depth in [256, 1_000, 1 << 30] {
            assert!(!Level::of(depth, depth).is_full(), "{depth}");
            assert!(Level::of(depth + 1, depth).is_full(), "{depth}");
        }
        assert!(!Level::of(u64::MAX, 0).is_full(), "no limit is never full");
    }

    #[test]
    fn newcomers_lose_never_below_a_quarter_and_always_from_a_half_on() {
        let depth = 1 << 20;
        for random in 0..64 {
            assert!(!Level::of(depth / 4, depth).loses(random));
            assert!(Level::of(depth / 2, depth).loses(random));
        }
        let lost = (0..64).filter(|random| Level::of(depth / 8 * 3, depth).loses(*random));
        assert_eq!(lost.count(), 32);
    }

    #[test]
    fn a_share_stays_between_a_part_of_the_ceiling_and_all_of_it() {
        let ceiling = Limit::new(10_000, 10_000, 250, 4).expect("a limit");
        let (full, empty) = (Level(WHOLE), Level(0));
        let mut fair = 0;
        for _ in 0..10_000 {
            fair = next(fair, &full, &ceiling, Unit::Packets);
        }
        assert!(
            fair > ceiling.interval
                && limit(fair, &ceiling, Unit::Packets).depth < super::super::bucket::HALF_RANGE
        );
        for _ in 0..10_000 {
            fair = next(fair, &empty, &ceiling, Unit::Packets);
        }
        assert_eq!(fair, ceiling.interval);
    }
}
