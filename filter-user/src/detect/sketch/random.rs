//! Numbers that look random, for sampling: not for secrets.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below another, or 0 if there is none. Its bias is below `limit` / 2^64.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    /// A number above 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        ((self.word() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

/// Spreads the bits of a number over all of it (the last step of SplitMix64).
pub const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_limits_and_are_spread_evenly() {
        let mut random = Random::new(1);
        assert_eq!(random.below(0), 0);
        let mut met = [0_u32; 8];
        for _ in 0..8_000 {
            met[random.below(8) as usize] += 1;
            let unit = random.unit();
            assert!(unit > 0.0 && unit < 1.0);
        }
        // Five standard deviations of a binomial with n = 8,000 and p = 1/8.
        assert!(
            met.iter().all(|count| count.abs_diff(1_000) < 150),
            "{met:?}"
        );
    }
}
