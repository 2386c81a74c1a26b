//! Addresses, prefixes, and the gate's bits.

use std::net::IpAddr;

use filter_common::{
    abi::{
        entry::{EntryKey, Lengths, MOST_LENGTHS},
        lifeline::LifelineRule,
    },
    logic::{
        address::{Address, Family, mask},
        gate::{Bit, LINE_WORDS, LINES},
        hash::HashKey,
    },
};
use ipnet::IpNet;
use proptest::prelude::*;

fn prefixes() -> impl Strategy<Value = IpNet> {
    let net = |address: IpAddr, length| IpNet::new(address, length).expect("a length that fits");
    prop_oneof![
        (any::<u32>(), 0..=32_u8)
            .prop_map(move |(bits, length)| net(IpAddr::V4(bits.into()), length)),
        (any::<u128>(), 0..=128_u8)
            .prop_map(move |(bits, length)| net(IpAddr::V6(bits.into()), length)),
    ]
}

proptest! {
    #[test]
    fn an_address_comes_back_from_its_halves_and_from_the_standard_library(address: IpAddr) {
        let ours = Address::from(address);
        prop_assert_eq!(Address::from_halves(ours.family(), ours.halves()), ours);
        prop_assert_eq!(IpAddr::from(ours), address);
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        prop_assert_eq!(ours.family(), family);
    }

    #[test]
    fn the_high_bits_are_the_first_in_network_order(address: u128) {
        let ours = Address::from(IpAddr::V6(address.into()));
        prop_assert_eq!(u128::from(ours.high64()), address >> 64);
        prop_assert_eq!(u128::from(ours.high32()), address >> 96);
    }

    #[test]
    fn a_key_holds_the_network_that_covers_the_address(prefix in prefixes()) {
        let key = EntryKey::covering(&Address::from(prefix.addr()), prefix.prefix_len());
        prop_assert_eq!(IpAddr::from(key.address()), prefix.network());
        prop_assert_eq!(key.length(), prefix.prefix_len());
    }

    #[test]
    fn two_addresses_have_one_key_exactly_when_one_prefix_covers_both(
        prefix in prefixes(), flip in 0..128_u32,
    ) {
        let other = match prefix.addr() {
            IpAddr::V4(address) => {
                IpAddr::V4((u32::from(address) ^ 1 << (flip % 32)).into())
            }
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) ^ 1 << flip).into()),
        };
        let key = |address: IpAddr| EntryKey::covering(&Address::from(address), prefix.prefix_len());
        prop_assert_eq!(key(other) == key(prefix.addr()), prefix.contains(&other));
    }

    #[test]
    fn a_mask_is_so_many_ones(length: u8) {
        let bits = mask(length).map(u32::from_be);
        let ones: u32 = bits.iter().map(|word| word.count_ones()).sum();
        prop_assert_eq!(ones, u32::from(length.min(128)));
        let number = bits.iter().fold(0_u128, |number, word| number << 32 | u128::from(*word));
        prop_assert_eq!(number.leading_ones(), ones);
    }

    #[test]
    fn a_lifeline_matches_what_its_prefix_covers(
        prefix in prefixes(), address: IpAddr, protocol: u8, port: u16, opening: bool,
    ) {
        let source = Address::from(prefix.addr());
        let rule = LifelineRule::from_prefix(&source, prefix.prefix_len(), protocol, port);
        for address in [address, prefix.addr()] {
            let matches = rule.matches(&Address::from(address), protocol, port, opening);
            prop_assert_eq!(matches, prefix.contains(&address), "{} {}", prefix, address);
        }
        prop_assert!(!rule.matches(&source, protocol, port.wrapping_add(1), opening));
        prop_assert!(!rule.matches(&source, protocol.wrapping_add(1), port, opening));
        let anywhere = LifelineRule::opening_from_anywhere(protocol, port);
        prop_assert_eq!(anywhere.matches(&source, protocol, port, opening), opening);
    }

    #[test]
    fn the_lengths_of_a_list_are_those_put_in_each_once(
        wanted in prop::collection::vec(0..=128_u8, 0..300),
    ) {
        let mut lengths = Lengths::default();
        for (index, length) in wanted.iter().enumerate() {
            prop_assert_eq!(lengths.insert(*length), !wanted[..index].contains(length));
        }
        let found: Vec<u8> = (0..MOST_LENGTHS).map_while(|index| lengths.get(index)).collect();
        prop_assert_eq!(&found, lengths.as_slice());
        prop_assert!(wanted.iter().all(|length| found.contains(length)));
        let mut once = wanted.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(found.len(), once.len());
    }

    #[test]
    fn a_bit_of_the_gate_is_in_the_map_and_is_one_for_its_block(
        address: IpAddr, low: u8, low6: u128, random: [u64; 4],
    ) {
        let key = HashKey::from_random(random);
        let bit = Bit::of(&Address::from(address), &key);
        prop_assert!(bit.line() < LINES);
        prop_assert!(bit.word() < LINE_WORDS);
        prop_assert_eq!(bit.mask().count_ones(), 1);
        let (neighbour, by_block) = match address {
            IpAddr::V4(address) => {
                let number = u32::from(address);
                let neighbour = number & !0xff | u32::from(low);
                (IpAddr::V4(neighbour.into()), Bit::of_v4_block(number >> 8))
            }
            IpAddr::V6(address) => {
                let number = u128::from(address);
                let neighbour = number >> 80 << 80 | low6 >> 48;
                (IpAddr::V6(neighbour.into()), Bit::of_v6_block((number >> 80) as u64, &key))
            }
        };
        prop_assert_eq!(Bit::of(&Address::from(neighbour), &key), bit);
        prop_assert_eq!(by_block, bit);
    }
}
