//! Limits in bytes, and limits of prefixes.

use filter_common::logic::{
    address::{Address, Family},
    bucket::{LARGEST_FRAME, Limit, Now, UNSHARED, charge, deficit},
    hash::{HashKey, source_number},
    source::{self, LINE_WORDS, Line, SETS_LOG2, Slot, WAYS},
};
use proptest::{prelude::*, sample::select};

/// Frames from the smallest to a full one, in a pattern that repeats.
fn frames() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(60..=1514_u32, 1..40)
}

/// Bytes a second up to 1 GB, spread over their orders of magnitude.
fn rates() -> impl Strategy<Value = u64> {
    (4..9_u32, 1..=10_u64).prop_map(|(zeros, digit)| (digit * 10_u64.pow(zeros)).min(1_000_000_000))
}

fn clocks() -> impl Strategy<Value = u64> {
    select(vec![100, 250, 300, 1000])
}

/// One bucket of a limit in bytes, alone.
struct Bucket {
    word: u64,
    limit: Limit,
}

impl Bucket {
    fn new(rate: u64, burst: u64, hz: u64) -> Self {
        let limit = Limit::of_bytes(rate, burst, hz, 1).expect("a limit");
        Self { word: 0, limit }
    }

    fn takes(&mut self, bytes: u32, tick: u64) -> bool {
        let now = Now::from_tick(tick);
        let due = deficit(self.word, now, &self.limit);
        let cost = self.limit.cost(bytes);
        let write = charge(due, UNSHARED, now, &self.limit, cost);
        self.word = write.map_or(self.word, |write| write.applied(self.word));
        write.is_some()
    }
}

/// Sources and what each may send, in a table as the kernel has it: four sets in a line.
struct Table {
    lines: Vec<Line>,
    limit: Limit,
    key: HashKey,
    shift: u32,
}

impl Table {
    fn new(bits: u32, limit: Limit) -> Self {
        Self {
            lines: vec![[0; LINE_WORDS]; 1 << bits],
            limit,
            key: HashKey::from_random([
                0x9e37_79b9_7f4a_7c15,
                0xc2b2_ae3d_27d4_eb4f,
                0x1656_67b1_9e37_79f9,
                0x27d4_eb2f_1656_67c5,
            ]),
            shift: 64 - bits - SETS_LOG2,
        }
    }

    fn takes(&mut self, family: Family, number: u64, bytes: u32, tick: u64) -> bool {
        let slot = Slot::of_number(family, number, &self.key, self.shift);
        let sets = 1 << SETS_LOG2;
        let line = &mut self.lines[slot.line as usize / sets];
        let first = slot.line as usize % sets * WAYS;
        let ways = [line[first], line[first + 1]];
        let cost = self.limit.cost(bytes);
        let now = Now::from_tick(tick);
        let charge = source::charge(ways, slot.tag, now, &self.limit, cost);
        if charge.is_refused() {
            return false;
        }
        if !charge.is_kept() {
            let word = &mut line[first + charge.way as usize];
            *word = charge.write(slot.tag, now, cost).applied(*word);
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_beyond_a_limit_in_bytes_passes_to_the_limit(
        rate in rates(), hz in clocks(), frames in frames(), start: u32,
    ) {
        let mut bucket = Bucket::new(rate, LARGEST_FRAME.max(rate / 10), hz);
        // Enough frames for one more or less to make no difference.
        let ticks = (hz * 1_000_000 / rate).max(20);
        let mut frames = frames.into_iter().cycle();
        let mut counted = 0;
        for tick in 0..=ticks {
            loop {
                let bytes = frames.next().expect("a cycle has no end");
                if !bucket.takes(bytes, u64::from(start) + tick) {
                    break;
                }
                counted += if tick > 0 { u64::from(bytes) } else { 0 };
            }
        }
        // After the first tick, in which the burst goes, only the rate is left.
        let due = rate * ticks / hz;
        prop_assert!(counted <= due * 101 / 100 + 1514, "{counted} of {due}");
        prop_assert!((counted + 1514) * 100 >= due * 99, "{counted} of {due}");
    }

    #[test]
    fn a_source_within_its_limit_in_bytes_loses_nothing(
        rate in rates(), hz in clocks(), frames in frames(), start: u32,
    ) {
        let mut bucket = Bucket::new(rate, rate.max(LARGEST_FRAME), hz);
        let mut sent = 0_u64;
        for bytes in frames.into_iter().cycle().take(2_000) {
            // When so many bytes are due.
            let tick = (sent * hz).div_ceil(rate);
            prop_assert!(bucket.takes(bytes, u64::from(start) + tick), "after {sent} bytes");
            sent += u64::from(bytes);
        }
    }

    /// What one member spends is spent for all; what others spend is not.
    #[test]
    fn a_prefix_shares_one_limit_and_its_neighbour_has_its_own(
        address: u32, members in prop::collection::vec(any::<u8>(), 1..20), length in 8..=24_u32,
    ) {
        let mask = u64::from(u32::MAX << (32 - length));
        let limit = Limit::of_bytes(10_000, LARGEST_FRAME, 250, 1).expect("a limit");
        let mut table = Table::new(4, limit);
        let number = |address: u32| source_number(&Address::v4(address.to_be())) & mask;
        let mut passed = 0;
        for member in members.iter().cycle().take(200) {
            let member = address & !0xff | u32::from(*member);
            passed += u64::from(table.takes(Family::V4, number(member), 1_500, 7));
        }
        // A tick's worth more than the burst, for arrivals are seen up to a tick off.
        prop_assert_eq!(passed, (LARGEST_FRAME + 10_000 / 250) / 1_500);
        let neighbour = address ^ 1 << (32 - length);
        prop_assert!(table.takes(Family::V4, number(neighbour), 1_500, 7));
        prop_assert!(table.takes(Family::V6, number(address), 1_500, 7), "another family");
    }
}
