//! What came in, second by second, as compact blocks.

use filter_common::abi::{counter::Counter, traffic::TRAFFIC_CLASSES};

/// What came in within a second, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Its end, in seconds since 1970.
    pub at: i64,
    /// All of it.
    pub received: Counter,
    /// What went to the stack.
    pub passed: Counter,
    /// What was dropped, or answered by the filter itself.
    pub stopped: Counter,
    /// What would have been, were all reasons enforced.
    pub would_stop: Counter,
    /// By class of traffic.
    pub classes: [Counter; TRAFFIC_CLASSES],
}

/// Counters of a second.
const COUNTERS: usize = 4 + TRAFFIC_CLASSES;
/// Most seconds of a block.
pub const MOST: usize = 60;

impl Second {
    fn counters(&self) -> [Counter; COUNTERS] {
        let mut all = [Counter::default(); COUNTERS];
        let own = [self.received, self.passed, self.stopped, self.would_stop];
        let from = own.into_iter().chain(self.classes);
        for (to, from) in all.iter_mut().zip(from) {
            *to = from;
        }
        all
    }

    fn of(at: i64, counters: [Counter; COUNTERS]) -> Self {
        let [received, passed, stopped, would_stop, classes @ ..] = counters;
        Self {
            at,
            received,
            passed,
            stopped,
            would_stop,
            classes,
        }
    }
}

/// Seconds by rising time, at most [`MOST`], as bytes: of each the distance from the one before, a mask
/// of the counters that are not zero, and these.
pub fn encode(seconds: &[Second]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(seconds.len() * 64);
    let mut before = seconds.first().map_or(0, |first| first.at);
    for second in seconds {
        put(
            &mut bytes,
            second.at.saturating_sub(before).max(0).cast_unsigned(),
        );
        before = second.at;
        let counters = second.counters();
        let some = |counter: &Counter| counter.packets > 0 || counter.bytes > 0;
        let bits = counters.iter().enumerate();
        let mask = bits.fold(0_u64, |mask, (bit, counter)| {
            mask | u64::from(some(counter)) << bit
        });
        put(&mut bytes, mask);
        for counter in counters.iter().filter(|counter| some(counter)) {
            put(&mut bytes, counter.packets);
            put(&mut bytes, counter.bytes);
        }
    }
    bytes
}

/// What [`encode`] made, if it is that and nothing else.
pub fn decode(start: i64, mut bytes: &[u8]) -> Option<Vec<Second>> {
    let mut seconds = Vec::new();
    let mut at = start;
    while !bytes.is_empty() {
        if seconds.len() == MOST {
            return None;
        }
        at = at.checked_add_unsigned(take(&mut bytes)?)?;
        let mask = take(&mut bytes)?;
        if mask >> COUNTERS != 0 {
            return None;
        }
        let mut counters = [Counter::default(); COUNTERS];
        for (bit, counter) in counters.iter_mut().enumerate() {
            if mask >> bit & 1 != 0 {
                counter.packets = take(&mut bytes)?;
                counter.bytes = take(&mut bytes)?;
            }
        }
        seconds.push(Second::of(at, counters));
    }
    Some(seconds)
}

/// LEB128: seven bits a byte, the least first, the eighth says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calm_is_small_and_a_flood_is_not_large() {
        let counter = |packets, bytes| Counter { packets, bytes };
        let mut calm = Second {
            received: counter(1_234, 456_789),
            passed: counter(1_234, 456_789),
            ..Second::default()
        };
        calm.classes[3] = counter(1_200, 450_000);
        calm.classes[4] = counter(34, 6_789);
        assert!(encode(&[calm; MOST]).len() <= MOST * 24);
        let most = counter(100_000_000, 12_500_000_000);
        let flood = Second::of(0, [most; COUNTERS]);
        assert!(encode(&[flood; MOST]).len() <= MOST * 200);
    }

    fn second() -> impl Strategy<Value = Second> {
        let counter = prop_oneof![
            Just((0, 0)),
            (any::<u64>(), any::<u64>()),
            (0..10_u64, 0..1_000_u64)
        ];
        proptest::array::uniform15(counter).prop_map(|counters| {
            let counters = counters.map(|(packets, bytes)| Counter { packets, bytes });
            Second::of(0, counters)
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            start in -1_000_000_i64..4_000_000_000,
            seconds in proptest::collection::vec((0_i64..100_000, second()), 1..=MOST),
        ) {
            let mut at = start;
            let seconds: Vec<Second> = seconds
                .into_iter()
                .enumerate()
                .map(|(index, (gap, second))| {
                    at += if index == 0 { 0 } else { gap };
                    Second { at, ..second }
                })
                .collect();
            prop_assert_eq!(decode(start, &encode(&seconds)), Some(seconds));
        }

        #[test]
        fn whatever_is_read_nothing_panics(
            start: i64,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Some(seconds) = decode(start, &bytes) {
                prop_assert!(seconds.len() <= MOST);
            }
        }
    }
}
