//! The sets against a naive list of prefixes.

use std::net::IpAddr;

use filter_common::logic::{
    self,
    address::{Address, Family},
    gate::Bit,
    hash::HashKey,
};
use proptest::prelude::*;

use super::{near::Near, *};

/// The owner of an address by definition.
fn naive(lists: &[(u8, Vec<IpNet>)], address: IpAddr) -> Option<u8> {
    let owners = lists
        .iter()
        .filter(|(_, members)| members.iter().any(|member| member.contains(&address)));
    owners.map(|(number, _)| *number).min()
}

fn find(sets: &Sets, address: IpAddr) -> Option<u8> {
    let address = Address::from(address);
    let [high, low] = address.numbers();
    match address.family() {
        Family::V4 => logic::set4::find(sets.v4.lines.as_slice(), high as u32),
        Family::V6 => logic::set6::find(sets.v6.as_slice(), high, low),
    }
}

fn is_near(near: &Near, address: IpAddr, key: &HashKey) -> bool {
    let address = Address::from(address);
    let is_set = |bit: Bit| {
        let word = near.words.get(bit.line() as usize * 8 + bit.word());
        word.is_some_and(|word| word & bit.mask() != 0)
    };
    match address.family() {
        Family::V4 => is_set(Bit::of(&address, key)),
        Family::V6 => {
            near.is_open_v6 || is_set(Bit::of(&address, key)) || is_set(Bit::wide(&address, key))
        }
    }
}

fn built(lists: &[(u8, Vec<IpNet>)], owner_lines: usize) -> Sets {
    let lists: Vec<List<'_>> = views(lists);
    build(&lists, owner_lines).expect("lists that fit")
}

fn views(lists: &[(u8, Vec<IpNet>)]) -> Vec<List<'_>> {
    lists
        .iter()
        .map(|(number, prefixes)| List {
            number: *number,
            prefixes,
        })
        .collect()
}

/// Prefixes that meet: of few networks, cut at every length.
fn v4() -> impl Strategy<Value = IpNet> {
    let bases = prop_oneof![
        4 => Just(0xc000_0200_u32),
        2 => Just(0),
        2 => Just(u32::MAX),
        1 => any::<u32>(),
    ];
    // Bits of the end, so that neighbours and nested ones are frequent.
    (
        bases,
        any::<u16>(),
        prop_oneof![6 => 20..=32_u8, 1 => 8..=20_u8],
    )
        .prop_map(|(base, end, length)| {
            net(IpAddr::V4((base ^ u32::from(end) & 0x7ff).into()), length)
        })
}

fn v6() -> impl Strategy<Value = IpNet> {
    let bases = prop_oneof![
        4 => Just(0x2001_0db8_u128 << 96),
        2 => Just(0),
        2 => Just(u128::MAX),
        2 => Just(u128::MAX >> 1),
        2 => Just(1 << 127),
        1 => any::<u128>(),
    ];
    let ends = (
        any::<u8>(),
        prop_oneof![Just(0_u32), Just(60), Just(64), Just(68), Just(120)],
    )
        .prop_map(|(bits, shift)| u128::from(bits) << shift);
    let lengths = prop_oneof![3 => 60..=68_u8, 2 => 120..=128_u8, 2 => 0..=128_u8];
    (bases, ends, lengths)
        .prop_map(|(base, end, length)| net(IpAddr::V6((base ^ end).into()), length))
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length)
        .expect("a length that fits")
        .trunc()
}

fn lists() -> impl Strategy<Value = Vec<(u8, Vec<IpNet>)>> {
    let members = prop::collection::vec(prop_oneof![v4(), v6()], 0..30);
    prop::collection::btree_map(0..64_u8, members, 0..5).prop_map(|lists| {
        let sorted = |mut members: Vec<IpNet>| {
            members.sort_unstable();
            members.dedup();
            members
        };
        lists
            .into_iter()
            .map(|(number, it)| (number, sorted(it)))
            .rev()
            .collect()
    })
}

/// Where a look-up can go wrong: the first and last address of each prefix, those beside them, and
/// some within.
fn borders(lists: &[(u8, Vec<IpNet>)], inside: u128) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for net in lists.iter().flat_map(|(_, members)| members) {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                let middle = first | inside as u32 & !u32::from(net.netmask());
                for address in [
                    first.wrapping_sub(1),
                    first,
                    middle,
                    last,
                    last.wrapping_add(1),
                ] {
                    all.push(IpAddr::V4(address.into()));
                }
            }
            IpNet::V6(net) => {
                let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                let middle = first | inside & !u128::from(net.netmask());
                for address in [
                    first.wrapping_sub(1),
                    first,
                    middle,
                    last,
                    last.wrapping_add(1),
                ] {
                    all.push(IpAddr::V6(address.into()));
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_set_finds_what_a_list_of_prefixes_does(
        lists in lists(), inside: u128, v4: u32, v6: u128,
    ) {
        let sets = built(&lists, usize::MAX);
        prop_assert_eq!(sets.v4.approximate_owners, 0);
        let key = HashKey::from_random([inside as u64, 2, 3, 4]);
        let near = Near::of(&sets, &views(&lists), &key);
        let anywhere = [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())];
        for address in borders(&lists, inside).into_iter().chain(anywhere) {
            let owner = find(&sets, address);
            prop_assert_eq!(owner, naive(&lists, address), "{}", address);
            prop_assert!(owner.is_none() || is_near(&near, address, &key), "{}", address);
        }
    }

    #[test]
    fn without_room_for_owners_membership_stays_exact(lists in lists(), inside: u128) {
        let sets = built(&lists, 3);
        let mut is_exact = true;
        for address in borders(&lists, inside) {
            let (owner, exact) = (find(&sets, address), naive(&lists, address));
            prop_assert_eq!(owner.is_some(), exact.is_some(), "{}", address);
            is_exact &= owner == exact;
        }
        prop_assert!(is_exact || sets.v4.approximate_owners > 0);
    }
}

#[test]
fn nothing_takes_no_line() {
    assert_eq!(built(&[], 0), Sets::default());
    assert_eq!(built(&[(3, Vec::new())], 0), Sets::default());
    assert_eq!(find(&Sets::default(), IpAddr::from([192, 0, 2, 1])), None);
}

#[test]
fn numbers_are_below_64_and_each_lists_own() {
    let list = |number| List {
        number,
        prefixes: &[],
    };
    assert_eq!(build(&[list(64)], 0), Err(SetError::Number(64)));
    assert_eq!(
        build(&[list(7), list(3), list(7)], 0),
        Err(SetError::Number(7))
    );
    assert!(build(&[list(7), list(63)], 0).is_ok());
}

#[test]
fn a_leaf_is_taken_for_each_scattered_address_and_none_for_whole_24s() {
    let scattered = (0..10_000_u32).map(|index| net(IpAddr::V4((index << 17 | 5).into()), 32));
    let whole = (0..10_000_u32).map(|index| net(IpAddr::V4((index << 17 | 1 << 9).into()), 24));
    let mut members: Vec<IpNet> = scattered.chain(whole).collect();
    members.sort_unstable();
    let sets = built(&[(0, members)], 0);
    assert_eq!(
        sets.v4.lines.len(),
        logic::set4::DIRECTORY as usize + 10_000
    );
}

#[test]
fn a_24_whose_addresses_all_are_listed_takes_no_leaf() {
    let halves = vec![
        net(IpAddr::from([192, 0, 2, 0]), 25),
        net(IpAddr::from([192, 0, 2, 128]), 25),
    ];
    let sets = built(&[(9, halves)], 0);
    assert_eq!(sets.v4.lines.len(), logic::set4::DIRECTORY as usize);
    assert_eq!(find(&sets, IpAddr::from([192, 0, 2, 200])), Some(9));
}

#[test]
fn a_list_of_everything_holds_everything() {
    let all = vec![
        net(IpAddr::from([0; 4]), 0),
        net(IpAddr::from([0_u16; 8]), 0),
    ];
    let sets = built(&[(4, all)], 0);
    for text in [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "8000::",
        "7fff:ffff:ffff:ffff::1",
    ] {
        assert_eq!(
            find(&sets, text.parse().expect("an address")),
            Some(4),
            "{text}"
        );
    }
}
