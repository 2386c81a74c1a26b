//! How many different keys a stream has.

use std::net::IpAddr;

use super::random::mix;

/// HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal
/// cardinality estimation algorithm", 2007), with the estimator of Ertl ("New cardinality estimation
/// algorithms for HyperLogLog sketches", 2017), which needs no correction for small numbers.
///
/// Standard error: 1.04 / √(2^precision). Memory: 2^precision bytes. The seed is to be unknown to
/// whoever chooses the keys.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// Of each register the greatest rank met, from 0 on.
    registers: Vec<u8>,
    precision: u8,
    seed: u64,
}

impl Distinct {
    /// With 2^precision registers; the precision is taken between 4 and 16.
    pub fn new(precision: u8, seed: u64) -> Self {
        let precision = precision.clamp(4, 16);
        Self {
            registers: vec![0; 1 << precision],
            precision,
            seed,
        }
    }

    /// Counts a key, unless it was counted.
    pub fn add(&mut self, key: u128) {
        let high = mix((key >> 64) as u64 ^ self.seed);
        let hash = mix(key as u64 ^ high);
        let index = hash >> (64 - self.precision);
        // A bit below those of the hash bounds the rank.
        let rest = hash << self.precision | 1 << (self.precision - 1);
        let rank = rest.leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut(index as usize) {
            *register = rank.max(*register);
        }
    }

    /// About how many different keys were added.
    pub fn estimate(&self) -> f64 {
        // Ranks go from 0 to `ranks + 1`.
        let ranks = usize::from(64 - self.precision);
        let mut counts = vec![0_u32; ranks + 2];
        for register in &self.registers {
            if let Some(count) = counts.get_mut(usize::from(*register)) {
                *count += 1;
            }
        }
        let registers = self.registers.len() as f64;
        let share = |count: Option<&u32>| f64::from(count.copied().unwrap_or(0)) / registers;
        let mut sum = registers * tau(1.0 - share(counts.last()));
        for count in counts.iter().take(ranks + 1).skip(1).rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(share(counts.first()));
        registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
    }

    /// The standard error of the estimate, as a share of it.
    pub fn standard_error(&self) -> f64 {
        1.04 / (self.registers.len() as f64).sqrt()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.registers.fill(0);
    }
}

/// An address as a key: IPv4 as it is mapped into IPv6 (RFC 4291, section 2.5.5.2).
pub fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The part of registers that met nothing (Ertl, algorithm 6).
fn sigma(share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut factor, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let before = sum;
        sum += power * factor;
        factor += factor;
        if sum <= before {
            return sum;
        }
    }
}

/// The part of registers that are full (Ertl, algorithm 6).
fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut root, mut factor, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - root).powi(2) * factor;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn estimates_are_within_five_standard_errors(
            keys in 0..60_000_u128, base in any::<u128>(), seed in any::<u64>(),
        ) {
            let mut distinct = Distinct::new(11, seed);
            for key in 0..keys {
                distinct.add(base.wrapping_add(key));
            }
            let once = distinct.estimate();
            let error = 5.0 * distinct.standard_error() * keys as f64;
            prop_assert!((once - keys as f64).abs() <= error + 1.0, "{once} for {keys}");
            for key in 0..keys {
                distinct.add(base.wrapping_add(key));
            }
            prop_assert!(once.to_bits() == distinct.estimate().to_bits());
        }
    }

    #[test]
    fn nothing_is_none_and_few_are_exact_enough() {
        let mut distinct = Distinct::new(10, 7);
        assert!(distinct.estimate() == 0.0);
        for key in 0..5 {
            distinct.add(key << 64);
        }
        assert!((distinct.estimate() - 5.0).abs() < 0.1);
        distinct.clear();
        assert!(distinct.estimate() == 0.0);
    }

    #[test]
    fn addresses_of_both_families_differ() {
        let [v4, v6] = ["192.0.2.1", "::192.0.2.1"].map(|text| text.parse().expect("an address"));
        assert_ne!(address_number(v4), address_number(v6));
    }
}
