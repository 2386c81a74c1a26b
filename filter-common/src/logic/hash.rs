//! Keyed hashing by multiplication.
//!
//! Multiply-shift (Dietzfelbinger et al., "A reliable randomized algorithm for the closest-pair
//! problem", 1997): the top bits of `x · a` for a secret odd `a`. Two sources fixed beforehand
//! share one of m sets with a probability of at most 2/m, whatever they are; and who sends
//! packets does not see the sets.

use super::address::{Address, Family};

/// The secret of a map set. All programs over the same maps use the same one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HashKey {
    set: u64,
    tag: u64,
    v4: u64,
    v6: u64,
}

impl HashKey {
    /// From 32 random bytes as words.
    pub const fn from_random(random: [u64; 4]) -> Self {
        Self {
            set: random[0] | 1,
            tag: random[1] | 1,
            v4: random[2],
            v6: random[3],
        }
    }

    /// What [`HashKey::from_random`] makes the same key of, to be kept with what is hashed with it.
    pub const fn words(&self) -> [u64; 4] {
        [self.set, self.tag, self.v4, self.v6]
    }

    /// 64 bits whose top bits choose the set.
    #[inline(always)]
    pub const fn set(&self, family: Family, value: u64) -> u64 {
        value
            .wrapping_mul(self.set)
            .wrapping_add(self.family(family))
    }

    /// 64 bits whose top bits are the tag.
    #[inline(always)]
    pub const fn tag(&self, family: Family, value: u64) -> u64 {
        value
            .wrapping_mul(self.tag)
            .wrapping_add(self.family(family))
    }

    /// 64 bits of several values together, any of which may be a sender's choice.
    #[inline(always)]
    pub fn chain(&self, family: Family, values: &[u64]) -> u64 {
        values.iter().fold(self.family(family), |hash, value| {
            self.tag(family, (hash ^ value).rotate_left(29))
        })
    }

    #[inline(always)]
    const fn family(&self, family: Family) -> u64 {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// The key is a secret: it never reaches a log.
impl core::fmt::Debug for HashKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("HashKey(secret)")
    }
}

/// What a source is as one number: the IPv4 address, or the first 64 bits of the IPv6 address.
#[inline(always)]
pub const fn source_number(address: &Address) -> u64 {
    match address.family() {
        Family::V4 => address.high32() as u64,
        Family::V6 => address.high64(),
    }
}

/// A key for tests.
#[cfg(test)]
pub(super) const KEY: HashKey = HashKey::from_random([
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x27d4_eb2f_1656_67c5,
]);
