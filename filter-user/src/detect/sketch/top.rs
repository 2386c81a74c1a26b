//! The most frequent keys of a stream.

use std::collections::{BTreeMap, BTreeSet};

/// Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements
/// in data streams", 2005), with weights and aging.
///
/// With room for k keys, each count is too high by at most `total / k` (but for what rounding adds
/// when counts are halved), and too low never; every key with more than that share is held. Adding
/// takes O(log k).
#[derive(Clone, Debug)]
pub struct TopK<K> {
    room: usize,
    slots: BTreeMap<K, Slot>,
    /// The same keys by their counts, for the smallest.
    order: BTreeSet<(u64, K)>,
    total: u64,
    /// What a key that was dropped when counts were halved may have at most.
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    count: u64,
    /// By how much the count may be too high.
    error: u64,
}

/// A key and about how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<K> {
    /// The key.
    pub key: K,
    /// How often it came, at most.
    pub count: u64,
    /// By how much that may be too high.
    pub error: u64,
}

impl<K: Ord + Clone> TopK<K> {
    /// Room for so many keys, at least one.
    pub fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            slots: BTreeMap::new(),
            order: BTreeSet::new(),
            total: 0,
            dropped: 0,
        }
    }

    /// Counts a key `weight` times.
    pub fn add(&mut self, key: K, weight: u64) {
        if weight == 0 {
            return;
        }
        self.total = self.total.saturating_add(weight);
        let old = match self.slots.get(&key) {
            Some(slot) => {
                self.order.remove(&(slot.count, key.clone()));
                *slot
            }
            None => {
                let most = self.unseen();
                self.make_room();
                Slot {
                    count: most,
                    error: most,
                }
            }
        };
        let slot = Slot {
            count: old.count.saturating_add(weight),
            ..old
        };
        self.order.insert((slot.count, key.clone()));
        self.slots.insert(key, slot);
    }

    fn make_room(&mut self) {
        if self.slots.len() >= self.room
            && let Some((_, key)) = self.order.pop_first()
        {
            self.slots.remove(&key);
        }
    }

    /// The keys that came most often, at most so many, most frequent first, and among equals the
    /// greater key.
    pub fn top(&self, most: usize) -> Vec<Counted<K>> {
        let keys = self.order.iter().rev().take(most);
        keys.filter_map(|(_, key)| self.get(key)).collect()
    }

    /// What is known of a key; `None` if it came at most [`TopK::unseen`] times.
    pub fn get(&self, key: &K) -> Option<Counted<K>> {
        let slot = self.slots.get(key)?;
        Some(Counted {
            key: key.clone(),
            count: slot.count,
            error: slot.error,
        })
    }

    /// How often a key that is not held came at most.
    pub fn unseen(&self) -> u64 {
        if self.slots.len() < self.room {
            return self.dropped;
        }
        let smallest = self.order.first().map_or(0, |(count, _)| *count);
        smallest.max(self.dropped)
    }

    /// The weight of all that was added, halved as often as counts were.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Halves every count, so that what was long ago weighs less. Keys of which nothing is certain
    /// any more go.
    pub fn halve(&mut self) {
        self.total /= 2;
        self.order.clear();
        let old = std::mem::take(&mut self.slots);
        for (key, slot) in old {
            // Counts are rounded up and what is certain is rounded down, so that both stay bounds.
            let count = slot.count.div_ceil(2);
            let certain = slot.count.saturating_sub(slot.error) / 2;
            if count <= 1 && certain == 0 {
                self.dropped = 1;
                continue;
            }
            let error = count - certain;
            self.order.insert((count, key.clone()));
            self.slots.insert(key, Slot { count, error });
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.room);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is done to a sketch: a key with its weight, or halving.
    fn stream() -> impl Strategy<Value = Vec<Option<(u8, u64)>>> {
        let key = prop_oneof![3 => 0..4_u8, 1 => any::<u8>()];
        let step = prop_oneof![
            30 => (key, 0..20_u64).prop_map(Some),
            1 => Just(None),
        ];
        prop::collection::vec(step, 0..400)
    }

    fn check(top: &TopK<u8>, exact: &BTreeMap<u8, f64>) -> Result<(), TestCaseError> {
        for key in 0..=u8::MAX {
            let real = exact.get(&key).copied().unwrap_or(0.0);
            match top.get(&key) {
                Some(counted) => {
                    prop_assert!(counted.count as f64 >= real, "{counted:?} of {real}");
                    let least = counted.count - counted.error;
                    prop_assert!(least as f64 <= real, "{counted:?} of {real}");
                }
                None => prop_assert!(top.unseen() as f64 >= real, "{key}: {real}"),
            }
        }
        prop_assert!(top.len() <= 8 && top.order.len() == top.slots.len());
        Ok(())
    }

    proptest! {
        #[test]
        fn counts_are_bounds_of_the_exact_ones(stream in stream()) {
            let mut top = TopK::new(8);
            let mut exact: BTreeMap<u8, f64> = BTreeMap::new();
            for step in stream {
                match step {
                    Some((key, weight)) => {
                        top.add(key, weight);
                        *exact.entry(key).or_default() += weight as f64;
                    }
                    None => {
                        top.halve();
                        exact.values_mut().for_each(|count| *count /= 2.0);
                    }
                }
                check(&top, &exact)?;
            }
        }

        #[test]
        fn without_halving_no_error_is_above_the_total_by_the_room(stream in stream()) {
            let mut top = TopK::new(8);
            for (key, weight) in stream.into_iter().flatten() {
                top.add(key, weight);
            }
            let bound = top.total() / 8;
            prop_assert!(top.top(8).iter().all(|counted| counted.error <= bound));
            prop_assert!(top.unseen() <= bound);
        }
    }

    #[test]
    fn the_most_frequent_come_first_and_the_room_is_never_exceeded() {
        let mut top = TopK::new(100);
        for number in 0..100_000_u32 {
            top.add(1_000_000 + number, 1);
            if number % 10 == 0 {
                top.add(1, 1);
            }
            if number % 20 == 0 {
                top.add(2, 1);
            }
        }
        let first: Vec<u32> = top.top(2).iter().map(|counted| counted.key).collect();
        assert_eq!(first, [1, 2]);
        assert_eq!(top.len(), 100);
        assert_eq!(top.total(), 115_000);
        top.clear();
        assert!(top.is_empty() && top.total() == 0 && top.unseen() == 0);
    }

    #[test]
    fn what_stays_away_is_forgotten() {
        let mut top = TopK::new(4);
        top.add("once", 1);
        top.add("often", 1_000);
        for _ in 0..3 {
            top.halve();
        }
        assert_eq!(top.top(4).len(), 1);
        assert_eq!(top.get(&"often").map(|counted| counted.count), Some(125));
    }
}
