//! Completed handshakes of each source and of each prefix, as token buckets.
//!
//! Handshakes charge the buckets, and SYNs are only compared with them: whoever forges SYNs charges
//! nobody. A handshake cannot be refused any more when it is charged, so that a bucket can be
//! overdrawn, up to a bounded debt: who overshot stays refused until it is paid.

use super::{
    address::{Address, Family},
    bucket::{self, FRACTION_BITS, HALF_RANGE, Limit, Now},
    hash::{HashKey, source_number},
    source::{self, SETS_LOG2, Slot, WAYS},
};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 15;
const SHIFT: u32 = u64::BITS - LINES_LOG2 - SETS_LOG2;
/// Bursts that a bucket can be overdrawn by.
const DEBT: u64 = 3;
/// The purpose of [`source::salt`] that tells prefixes from sources.
const PREFIXES: u32 = 0;

/// Where the bucket of a source is: an IPv4 address or an IPv6 /64.
#[inline(always)]
pub const fn source(address: &Address, key: &HashKey) -> Slot {
    Slot::of_number(address.family(), source_number(address), key, SHIFT)
}

/// Where the bucket of a prefix is, given the masks of both families.
#[inline(always)]
pub const fn prefix(address: &Address, masks: [u64; 2], key: &HashKey) -> Slot {
    let mask = match address.family() {
        Family::V4 => masks[0],
        Family::V6 => masks[1],
    };
    let number = (source_number(address) & mask).wrapping_add(source::salt(PREFIXES));
    Slot::of_number(address.family(), number, key, SHIFT)
}

/// The limit that handshakes are charged under: the same, with room for a debt.
#[inline(always)]
pub const fn with_debt(limit: &Limit) -> Limit {
    let slack = limit.horizon.saturating_sub(limit.depth);
    let most = HALF_RANGE.saturating_sub(slack);
    let wanted = limit.depth.saturating_mul(1 + DEBT);
    let depth = if wanted > most { most } else { wanted };
    Limit {
        interval: limit.interval,
        depth,
        horizon: depth.saturating_add(slack),
    }
}

/// Ticks after which nobody is over a limit any more whose last handshake was charged before.
#[inline(always)]
pub const fn longest(limit: &Limit) -> u64 {
    (with_debt(limit).horizon >> FRACTION_BITS).saturating_add(1)
}

/// Whether a sender's bucket, in a set of two ways, has no room for a handshake.
#[inline(always)]
pub fn is_over(ways: [u64; WAYS], tag: u64, now: Now, limit: &Limit) -> bool {
    let lenient = with_debt(limit);
    let mut deficit = 0;
    for word in ways {
        if bucket::tag(word) == tag {
            deficit = bucket::deficit(word, now, &lenient);
        }
    }
    deficit.wrapping_add(limit.interval) > limit.depth
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u64 = 77;

    fn charge(ways: &mut [u64; WAYS], tick: u64, limit: &Limit) {
        let now = Now::from_tick(tick);
        let lenient = with_debt(limit);
        let charge = source::charge(*ways, TAG, now, &lenient, limit.interval);
        if !charge.is_kept() {
            let [first, second] = ways;
            let way = if charge.way == 0 { first } else { second };
            *way = charge.write(TAG, now, limit.interval).applied(*way);
        }
    }

    #[test]
    fn who_overshoots_stays_refused_until_the_debt_is_paid() {
        let limit = Limit::new(10, 10, 250, 2).expect("a limit");
        let over = |ways, tick| is_over(ways, TAG, Now::from_tick(tick), &limit);
        let mut ways = [0; WAYS];
        for number in 0..10 {
            assert!(!over(ways, 1000), "handshake {number}");
            charge(&mut ways, 1000, &limit);
        }
        assert!(over(ways, 1000));
        assert!(!over(ways, 1000 + 25), "one comes back in 25 ticks");
        for _ in 0..1000 {
            charge(&mut ways, 1000, &limit);
        }
        assert!(over(ways, 1000 + 3 * 250 - 50), "a debt of three bursts");
        assert!(!over(ways, 1000 + 3 * 250 + 50), "and no more");
        assert!(!is_over(ways, TAG + 1, Now::from_tick(1000), &limit));
    }

    #[test]
    fn a_debt_fits_into_the_range_of_times_whatever_the_limit() {
        for (rate, burst) in [(1, 1), (1, 1000), (1_000_000, 1), (10, 2_600), (3, 700)] {
            let Some(limit) = Limit::new(rate, burst, 250, 64) else {
                continue;
            };
            let lenient = with_debt(&limit);
            assert!(lenient.depth >= limit.depth && lenient.horizon <= HALF_RANGE);
            assert_eq!(lenient.horizon - lenient.depth, limit.horizon - limit.depth);
        }
    }
}
