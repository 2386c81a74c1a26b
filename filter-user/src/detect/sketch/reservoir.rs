//! A fair choice of a stream.

use std::{collections::BTreeMap, time::Duration};

use super::random::Random;

/// A weighted sample without replacement (Efraimidis, Spirakis, "Weighted random sampling with a
/// reservoir", 2006), in which the weight of the old fades (forward decay: Cormode, Shkapenyuk,
/// Srivastava, Xu, "Forward decay", 2009).
///
/// Each item draws a score once, and those with the highest stay. Their exponentially distributed
/// keys are compared by logarithms, so that neither time nor weight can overflow. Without fading and
/// with equal weights, every item of the stream is kept with the same probability, as by Vitter's
/// algorithm R. Adding takes O(log k).
#[derive(Clone, Debug)]
pub struct Reservoir<T> {
    room: usize,
    half_life: Option<Duration>,
    random: Random,
    /// By score, and by a number that makes scores differ.
    items: BTreeMap<(u64, u64), T>,
    next: u64,
}

impl<T> Reservoir<T> {
    /// Room for so many items; of those that were added a half-life before others, half as many
    /// stay.
    pub const fn new(room: usize, half_life: Option<Duration>, seed: u64) -> Self {
        Self {
            room,
            half_life,
            random: Random::new(seed),
            items: BTreeMap::new(),
            next: 0,
        }
    }

    /// Adds an item of a weight above 0 at a time that does not fall. Gives back what finds no room.
    pub fn add(&mut self, item: T, weight: f64, at: Duration) -> Option<T> {
        let score = self.score(weight, at);
        self.next = self.next.wrapping_add(1);
        self.items.insert((rising(score), self.next), item);
        if self.items.len() > self.room {
            self.items.pop_first().map(|(_, item)| item)
        } else {
            None
        }
    }

    fn score(&mut self, weight: f64, at: Duration) -> f64 {
        let age = match self.half_life {
            Some(half_life) if !half_life.is_zero() => {
                at.as_secs_f64() / half_life.as_secs_f64() * std::f64::consts::LN_2
            }
            Some(_) | None => 0.0,
        };
        let exponential = -self.random.unit().ln();
        age + weight.max(f64::MIN_POSITIVE).ln() - exponential.ln()
    }

    /// What was kept, the surest to stay last.
    pub fn items(&self) -> impl Iterator<Item = &T> + Clone {
        self.items.values()
    }

    /// How many were kept.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Gives what was kept, and begins anew.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.items).into_values()
    }
}

/// Bits that are ordered as the numbers are (which are no NaN).
const fn rising(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How often each of ten tenths of a stream of 1,000 is kept by 300 reservoirs of 50.
    fn kept(half_life: Option<u64>, weight: impl Fn(u64) -> f64) -> [u32; 10] {
        let mut kept = [0; 10];
        for seed in 0..300 {
            let mut reservoir = Reservoir::new(50, half_life.map(Duration::from_secs), seed);
            for item in 0..1_000_u64 {
                let _ = reservoir.add(item, weight(item), Duration::from_secs(item));
            }
            assert_eq!(reservoir.len(), 50);
            reservoir
                .items()
                .for_each(|item| kept[*item as usize / 100] += 1);
        }
        kept
    }

    #[test]
    fn every_item_has_the_same_chance() {
        // 15,000 items over ten tenths; five standard deviations of a binomial.
        let kept = kept(None, |_| 1.0);
        assert!(
            kept.iter().all(|count| count.abs_diff(1_500) < 185),
            "{kept:?}"
        );
    }

    #[test]
    fn weights_count() {
        let kept = kept(None, |item| if item < 500 { 1.0 } else { 3.0 });
        let (light, heavy) = kept.split_at(5);
        let ratio = f64::from(heavy.iter().sum::<u32>()) / f64::from(light.iter().sum::<u32>());
        assert!((2.5..3.3).contains(&ratio), "{kept:?}");
    }

    #[test]
    fn the_old_fades() {
        let kept = kept(Some(100), |_| 1.0);
        let ratio = f64::from(kept[7]) / f64::from(kept[6]);
        assert!((1.6..2.3).contains(&ratio), "{kept:?}");
    }

    proptest! {
        #[test]
        fn scores_are_ordered_as_their_numbers(one in -1e9..1e9_f64, two in -1e9..1e9_f64) {
            prop_assert_eq!(one < two, rising(one) < rising(two));
        }

        #[test]
        fn nothing_is_lost_while_there_is_room(items in prop::collection::vec(any::<u32>(), 0..60)) {
            let mut reservoir = Reservoir::new(50, None, 9);
            let mut back = Vec::new();
            for item in &items {
                back.extend(reservoir.add(*item, 1.0, Duration::ZERO));
            }
            prop_assert_eq!(back.len(), items.len().saturating_sub(50));
            back.extend(reservoir.take());
            prop_assert!(reservoir.is_empty());
            let mut items = items;
            items.sort_unstable();
            back.sort_unstable();
            prop_assert_eq!(items, back);
        }
    }
}
