//! Bytes of payload that an attack has and calm traffic has not.

use super::{bits::Bits, calm::Weighed, condition::Condition};
use crate::{
    detect::input::{Observed, PAYLOAD},
    rules::rule::{MOST_PAYLOAD, Payload},
};

/// A bit is constant if it is so in such a share of the samples.
const CONSTANT: f64 = 0.97;
/// A pattern is made of at least so many samples: a bit is constant in fewer by chance.
const SAMPLES: usize = 24;
/// It is made of at most so many: more would say nothing new.
const LOOKED_AT: usize = 512;
/// Conditions on single bytes.
const SINGLE: usize = 16;

/// How often each byte is at each place.
pub(super) struct Bytes {
    weights: Vec<[f64; 256]>,
    /// Weight of all packets, of those too that end before a place.
    total: f64,
    /// What a packet weighs on average.
    mean: f64,
}

impl Bytes {
    fn of<'s>(payloads: impl Iterator<Item = (&'s [u8], f64)>) -> Self {
        let mut weights = vec![[0.0; 256]; PAYLOAD];
        let (mut total, mut packets) = (0.0, 0.0);
        for (payload, weight) in payloads {
            total += weight;
            packets += 1.0;
            for (place, byte) in weights.iter_mut().zip(payload) {
                if let Some(sum) = place.get_mut(usize::from(*byte)) {
                    *sum += weight;
                }
            }
        }
        let mean = if packets > 0.0 { total / packets } else { 1.0 };
        Self {
            weights,
            total,
            mean,
        }
    }

    /// Of calm packets.
    pub fn of_calm(calm: &[Weighed<'_>]) -> Self {
        Self::of(
            calm.iter()
                .map(|one| (one.seen.payload.as_slice(), one.weight)),
        )
    }

    /// Of an attack.
    pub fn of_attack(attack: &[&Observed]) -> Self {
        Self::of(attack.iter().map(|seen| (seen.payload.as_slice(), 1.0)))
    }

    /// The share of packets that have these bits at a place, if one packet more came that has each
    /// byte with the same probability.
    fn share(&self, place: usize, value: u8, mask: u8) -> f64 {
        let weights = self.weights.get(place).into_iter().flatten();
        let having = weights
            .zip(0..=u8::MAX)
            .filter(|(_, byte)| byte & mask == value)
            .map(|(weight, _)| weight)
            .sum::<f64>();
        let chance = 0.5_f64.powi(mask.count_ones() as i32);
        (having + self.mean * chance) / (self.total + self.mean)
    }
}

/// The single bytes that tell an attack best from calm traffic, each of which at least a share of
/// the attack has.
pub(super) fn single(attack: &Bytes, calm: &Bytes, least: f64) -> Vec<Condition> {
    let mut found: Vec<(f64, Payload)> = Vec::new();
    for (place, weights) in attack.weights.iter().enumerate() {
        for (weight, byte) in weights.iter().zip(0..=u8::MAX) {
            let share = weight / attack.total.max(1.0);
            if share < least {
                continue;
            }
            let gain = share * (share / calm.share(place, byte, u8::MAX)).ln();
            let pattern = Payload::new(place as u16, vec![(byte, u8::MAX)]);
            found.extend(pattern.map(|pattern| (gain, pattern)));
        }
    }
    found.sort_by(|one, two| two.0.total_cmp(&one.0));
    let best = found.into_iter().take(SINGLE);
    best.map(|(_, pattern)| Condition::Payload(pattern))
        .collect()
}

/// The window of bytes whose bits are constant in a choice of the attack's samples, where they tell
/// most.
pub(super) fn constant(attack: &[&Observed], chosen: &Bits, calm: &Bytes) -> Option<Condition> {
    let step = chosen.count().div_ceil(LOOKED_AT).max(1);
    let payloads: Vec<&[u8]> = chosen
        .indexes()
        .step_by(step)
        .filter_map(|index| attack.get(index))
        .map(|seen| seen.payload.as_slice())
        .collect();
    if payloads.len() < SAMPLES {
        return None;
    }
    let bytes = Bytes::of(payloads.into_iter().map(|payload| (payload, 1.0)));
    let places: Vec<(u8, u8, f64)> = bytes
        .weights
        .iter()
        .enumerate()
        .map(|(place, weights)| {
            let (value, mask) = constant_bits(weights, bytes.total);
            let told = match mask {
                0 => 0.0,
                _ => -calm.share(place, value, mask).log2(),
            };
            (value, mask, told)
        })
        .collect();
    let told = |window: &[(u8, u8, f64)]| window.iter().map(|(_, _, told)| told).sum::<f64>();
    let (start, window) = places
        .windows(MOST_PAYLOAD)
        .enumerate()
        // The first of those that tell most.
        .rev()
        .max_by(|(_, one), (_, two)| told(one).total_cmp(&told(two)))?;
    let says = |(_, mask, _): &(u8, u8, f64)| *mask != 0;
    let first = window.iter().position(says)?;
    let last = window.iter().rposition(says)?;
    let pattern = window.get(first..=last)?;
    let pattern = pattern.iter().map(|(value, mask, _)| (*value, *mask));
    Payload::new((start + first) as u16, pattern.collect()).map(Condition::Payload)
}

/// Value and mask of the bits of a byte that are the same in nearly all samples.
fn constant_bits(weights: &[f64; 256], total: f64) -> (u8, u8) {
    let mut set = [0.0; 8];
    let mut present = 0.0;
    for (weight, byte) in weights.iter().zip(0..=u8::MAX) {
        if *weight > 0.0 {
            present += weight;
            for (bit, set) in set.iter_mut().enumerate() {
                if byte >> bit & 1 == 1 {
                    *set += weight;
                }
            }
        }
    }
    let needed = total * CONSTANT;
    let mut pattern = (0, 0);
    for (bit, set) in set.iter().enumerate() {
        if *set >= needed {
            pattern.0 |= 1 << bit;
            pattern.1 |= 1 << bit;
        } else if present - set >= needed {
            pattern.1 |= 1 << bit;
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fingerprint::scenery::{Scenery, udp};

    #[test]
    fn constant_bytes_and_bits_are_found_where_calm_has_others() {
        let mut scenery = Scenery::new(1);
        let packet = |scenery: &mut Scenery, middle: [u8; 3]| {
            let mut payload = scenery.noise(4);
            payload.extend([0, 0]);
            payload.extend(middle);
            payload.extend(scenery.noise(20));
            udp(scenery.anybody(), 1, 2, &payload)
        };
        let flood: Vec<Observed> = (0..200)
            .map(|_| {
                let low = scenery.within(0, 15) as u8;
                packet(&mut scenery, [0xde, 0xad, 0x40 | low])
            })
            .collect();
        let calm: Vec<Observed> = (0..200)
            .map(|_| {
                let middle = scenery.noise(3);
                packet(&mut scenery, [middle[0], middle[1], middle[2]])
            })
            .collect();
        let flood: Vec<&Observed> = flood.iter().collect();
        let calm: Vec<Weighed<'_>> = calm
            .iter()
            .map(|seen| Weighed { seen, weight: 1.0 })
            .collect();
        let calm = Bytes::of_calm(&calm);
        let all = Bits::of(&flood, |_| true);
        let found = constant(&flood, &all, &calm);
        let expected = vec![
            (0, 0xff),
            (0, 0xff),
            (0xde, 0xff),
            (0xad, 0xff),
            (0x40, 0xf0),
        ];
        assert_eq!(
            found,
            Payload::new(4, expected).map(Condition::Payload),
            "{found:?}"
        );
        let best = single(&Bytes::of_attack(&flood), &calm, 0.3);
        let expected = Payload::new(6, vec![(0xde, 0xff)]).map(Condition::Payload);
        assert!(
            best.iter()
                .take(2)
                .any(|one| Some(one) == expected.as_ref())
        );
    }

    #[test]
    fn noise_has_no_pattern() {
        let mut scenery = Scenery::new(2);
        let flood: Vec<Observed> = (0..200)
            .map(|_| {
                let payload = scenery.noise(30);
                udp(scenery.anybody(), 1, 2, &payload)
            })
            .collect();
        let flood: Vec<&Observed> = flood.iter().collect();
        let all = Bits::of(&flood, |_| true);
        assert_eq!(constant(&flood, &all, &Bytes::of_calm(&[])), None);
        let few = Bits::of(&flood, |seen| seen.payload.as_slice()[0] < 8);
        assert_eq!(constant(&flood, &few, &Bytes::of_calm(&[])), None);
    }
}
