//! What is listed in benchmarks. The members can be told beforehand, so that a generator with no
//! memory can send from them, and the references hold the same.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::traffic::RANDOM_V6;

/// A million.
pub const MILLION: u32 = 1 << 20;

/// Members lie in 128.0.0.0/2.
pub const V4_BASE: u32 = 0x8000_0000;
/// An odd number near 2³² over the golden ratio scatters them (Knuth, "Sorting and Searching", 6.4):
/// a million lie in two thirds of a million /24s, each of which takes a leaf.
pub const V4_FACTOR: u32 = 0x9e37_79b1;
/// The bits that scattering may touch.
pub const V4_SPREAD: u32 = 0x3fff_ffff;

/// The member of this number.
pub fn v4_member(number: u32) -> u32 {
    V4_BASE | (number.wrapping_mul(V4_FACTOR) & V4_SPREAD)
}

/// So many single addresses.
pub fn v4(members: u32) -> impl Iterator<Item = Ipv4Addr> {
    (0..members).map(|number| Ipv4Addr::from(v4_member(number)))
}

/// A source that gets banned.
pub const BANNED: Ipv4Addr = Ipv4Addr::new(198, 18, 7, 7);

/// IPv6 prefixes, at most.
pub const V6_MEMBERS: usize = 1 << 18;
/// Prefixes lie in 3fff::/24: 256 neighbouring /32s, of which 40 bits of the first half are free.
pub const V6_FREE_BITS: u32 = 40;
/// They have this many lengths, from /33 on.
const V6_LENGTHS: u32 = 20;
const V6_SHORTEST: u32 = 33;

/// A quarter of a million prefixes of twenty lengths. No length covers more than a 64th of the
/// space, so that most sources beside them are clean.
pub fn v6() -> Vec<(Ipv6Addr, u8)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut prefixes = BTreeSet::new();
    for length in V6_SHORTEST..V6_SHORTEST + V6_LENGTHS {
        // Of 2^(length - 24) prefixes of this length, a 64th.
        let wanted = 1_usize << (length - 24 - 6).min(V6_MEMBERS.ilog2());
        let lengths_left = (V6_SHORTEST + V6_LENGTHS - length) as usize;
        let room = V6_MEMBERS.saturating_sub(prefixes.len()) / lengths_left;
        let end = prefixes.len() + wanted.min(room);
        while prefixes.len() < end {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let half = RANDOM_V6 | (state >> (64 - V6_FREE_BITS));
            let masked = half & u64::MAX.wrapping_shl(64 - length);
            prefixes.insert((masked, length));
        }
    }
    let prefixes = prefixes.into_iter();
    prefixes
        .map(|(half, length)| (Ipv6Addr::from(u128::from(half) << 64), length as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_members_are_scattered() {
        let members: BTreeSet<u32> = (0..MILLION).map(v4_member).collect();
        assert_eq!(members.len(), MILLION as usize);
        let blocks: BTreeSet<u32> = members.iter().map(|member| member >> 8).collect();
        assert!(
            blocks.len() > MILLION as usize / 3 * 2 - MILLION as usize / 50,
            "{}",
            blocks.len()
        );
    }

    #[test]
    fn ipv6_prefixes_have_twenty_lengths_and_are_within_their_space() {
        let prefixes = v6();
        let lengths: BTreeSet<u8> = prefixes.iter().map(|(_, length)| *length).collect();
        assert_eq!(lengths.len(), V6_LENGTHS as usize);
        assert!(prefixes.len() > V6_MEMBERS * 9 / 10 && prefixes.len() <= V6_MEMBERS);
        for (address, _) in prefixes {
            assert_eq!(u128::from(address) >> 104, 0x3f_ff00);
        }
    }
}
