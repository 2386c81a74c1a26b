//! Token buckets.

use filter_common::logic::bucket::{
    self, FRACTION_BITS, Limit, Now, TAG_BITS, UNSHARED, Write, charge, deficit, take,
};
use proptest::{prelude::*, sample::select};

/// A limit as an operator writes it, and the clock it is for.
#[derive(Clone, Copy, Debug)]
struct Rule {
    rate: u64,
    burst: u64,
    hz: u64,
    limit: Limit,
}

/// A rate, spread evenly over its orders of magnitude. An interval of a few units is a coarse
/// rate; up to 10 M/s it is exact to 1 %.
fn rates() -> impl Strategy<Value = u64> {
    (0..7_u32, 1..=10_u64, 0..10_u64)
        .prop_map(|(zeros, digit, more)| (digit * 10_u64.pow(zeros) + more).min(10_000_000))
}

fn rules() -> impl Strategy<Value = Rule> {
    let bursts = prop_oneof![Just(1), 1..10_u64, 1..2000_u64];
    (rates(), bursts, select(vec![100, 250, 300, 1000])).prop_filter_map(
        "the bucket holds the burst",
        |(rate, burst, hz)| {
            Some(Rule {
                rate,
                burst,
                hz,
                limit: Limit::new(rate, burst, hz, 256)?,
            })
        },
    )
}

/// Ticks between arrivals, and how many packets arrive at once.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let gap = prop_oneof![Just(0), Just(1), 0..10_u64, 0..5000_u64];
    let count = prop_oneof![Just(1), 1..10_u64, 1..5000_u64];
    prop::collection::vec((gap, count), 1..40)
}

/// Any tick, those where 44 bits wrap among them.
fn starts() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>().prop_map(|tick| tick >> 1),
        ((1_u64 << 20) - 2000)..(1 << 20),
        Just(u64::MAX - 1000),
    ]
}

/// The most that may pass in so many ticks: the burst, the rate, and a tick's worth for the grain
/// of the clock; 1 % for the grain of the interval.
fn most(rule: &Rule, ticks: u64) -> u64 {
    rule.burst + ((ticks + 1) * rule.rate).div_ceil(rule.hz) * 101 / 100 + 1
}

proptest! {
    #[test]
    fn no_source_gets_more_than_its_burst_and_its_rate(
        rule in rules(), arrivals in arrivals(), start in starts(),
    ) {
        let mut word = 0;
        let mut tick = start;
        let mut passed = Vec::new();
        for (gap, count) in arrivals {
            tick = tick.wrapping_add(gap);
            let now = Now::from_tick(tick);
            let granted = (0..count).filter(|_| take(&mut word, now, &rule.limit)).count();
            passed.push((tick.wrapping_sub(start), granted as u64));
        }
        // In all windows, not only from the start.
        for (index, (from, _)) in passed.iter().enumerate() {
            let mut sum = 0;
            for (to, granted) in &passed[index..] {
                sum += granted;
                let most = most(&rule, to - from);
                prop_assert!(sum <= most, "{sum} passed in {} ticks, the most is {most}", to - from);
            }
        }
    }

    #[test]
    fn a_steady_source_at_its_rate_loses_nothing(
        rule in rules(), start in starts(), share in 50..=100_u64, phase in 0..100_u64,
    ) {
        const PACKETS: u64 = 2000;
        // In hundredths of the time that a packet costs at the permitted rate.
        let at = |number: u64| (number * 10_000 / share + phase) * rule.hz / (rule.rate * 100);
        let mut word = 0;
        let lost = (0..PACKETS)
            .filter(|number| {
                let now = Now::from_tick(start.wrapping_add(at(*number)));
                !take(&mut word, now, &rule.limit)
            })
            .count();
        prop_assert!(lost as u64 <= PACKETS / 100, "{lost} of {PACKETS} were lost");
    }

    #[test]
    fn a_source_above_its_rate_gets_its_rate(
        rule in rules(), start in starts(), times in 2..20_u64,
    ) {
        let packets = (rule.burst * 20).max(2000);
        let mut word = 0;
        let mut tick = start;
        let mut passed = 0_u64;
        for number in 0..packets * times {
            tick = start.wrapping_add(number * rule.hz / (rule.rate * times));
            passed += u64::from(take(&mut word, Now::from_tick(tick), &rule.limit));
        }
        let ticks = tick.wrapping_sub(start);
        let least = ticks * rule.rate / rule.hz * 99 / 100;
        prop_assert!(passed >= least, "{passed} passed, the least is {least}");
    }

    #[test]
    fn no_bucket_stays_empty(
        rule in rules(), start in starts(), attempts in 1..5000_u64, refused in 0..1000_u64,
    ) {
        let mut word = 0;
        let now = Now::from_tick(start);
        for _ in 0..attempts {
            take(&mut word, now, &rule.limit);
        }
        // What is refused meanwhile does not keep it empty.
        let ticks = (rule.limit.depth >> FRACTION_BITS) + 1;
        let emptiest = deficit(word, now, &rule.limit);
        for step in 0..refused {
            let between = Now::from_tick(start.wrapping_add(ticks * step / 1000));
            let left = deficit(word, between, &rule.limit);
            prop_assert!(left <= emptiest);
            if charge(left, UNSHARED, between, &rule.limit, rule.limit.interval).is_none() {
                prop_assert!(!take(&mut word, between, &rule.limit));
            }
        }
        let later = Now::from_tick(start.wrapping_add(ticks));
        prop_assert_eq!(deficit(word, later, &rule.limit), 0);
        prop_assert!(take(&mut word, later, &rule.limit));
    }

    /// A word may be of any age when its source comes back.
    #[test]
    fn a_stamp_that_wrapped_harms_nobody_for_longer_than_the_horizon(
        rule in rules(), word: u64, start in starts(),
    ) {
        let found = deficit(word, Now::from_tick(start), &rule.limit);
        prop_assert!(found <= rule.limit.horizon);
        let ticks = (rule.limit.horizon >> FRACTION_BITS) + 1;
        let later = Now::from_tick(start.wrapping_add(ticks));
        let mut word = word;
        if found > 0 {
            prop_assert_eq!(deficit(word, later, &rule.limit), 0);
            prop_assert!(take(&mut word, later, &rule.limit));
        }
    }

    #[test]
    fn take_and_charge_and_the_write_agree(rule in rules(), word: u64, start in starts()) {
        let word = word >> TAG_BITS << TAG_BITS | UNSHARED;
        let now = Now::from_tick(start);
        let before = deficit(word, now, &rule.limit);
        let mut taken = word;
        let granted = take(&mut taken, now, &rule.limit);
        match charge(before, UNSHARED, now, &rule.limit, rule.limit.interval) {
            None => {
                prop_assert!(!granted);
                prop_assert_eq!(taken, word, "a refused packet writes nothing");
            }
            Some(write) => {
                prop_assert!(granted);
                prop_assert_eq!(write.applied(word), taken);
                let after = deficit(taken, now, &rule.limit);
                prop_assert_eq!(after, before + rule.limit.interval);
            }
        }
    }

    #[test]
    fn charging_never_touches_the_tag(
        rule in rules(), time in 0..1_u64 << 44, tag in 1..1_u64 << TAG_BITS, start in starts(),
    ) {
        let word = time << TAG_BITS | tag;
        let now = Now::from_tick(start);
        if let Some(write) = charge(deficit(word, now, &rule.limit), tag, now, &rule.limit, rule.limit.interval) {
            prop_assert_eq!(bucket::tag(write.applied(word)), tag);
        }
    }

    /// Two CPUs may read one word before either writes: both packets count.
    #[test]
    fn packets_that_race_are_both_charged(rule in rules(), start in starts()) {
        let now = Now::from_tick(start);
        let mut word = 0;
        prop_assert!(take(&mut word, now, &rule.limit));
        let before = deficit(word, now, &rule.limit);
        let racing = charge(before, UNSHARED, now, &rule.limit, rule.limit.interval);
        if let Some(write @ Write::Add(_)) = racing {
            let both = write.applied(write.applied(word));
            let after = deficit(both, now, &rule.limit);
            prop_assert_eq!(after, before + 2 * rule.limit.interval);
        } else {
            prop_assert!(racing.is_none(), "a bucket that is not full is added to");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_counted_is_none(packets: u64, burst: u64, hz: u64) {
        if let Some(limit) = Limit::new(packets, burst, hz, 256) {
            prop_assert!(limit.interval > 0);
            prop_assert!(limit.depth >= limit.interval);
            prop_assert!(limit.horizon >= limit.depth);
            prop_assert!(limit.horizon <= bucket::HALF_RANGE);
        }
    }
}
