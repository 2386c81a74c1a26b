//! The table of this host's own addresses.

use std::net::IpAddr;

use filter_common::{
    abi::defence::{LOCAL_LINES, LocalLine},
    logic::address::Address,
};

use crate::dataplane::LocalLines;

/// Addresses as the kernel has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// The table.
    pub table: Box<LocalLines>,
    /// Addresses that found no place: what goes to them is not looked at.
    pub left_out: Vec<IpAddr>,
}

impl Local {
    /// The unicast addresses among these that the network can reach.
    pub fn of(addresses: &[IpAddr]) -> Self {
        let mut local = Self {
            table: Box::new([LocalLine::default(); LOCAL_LINES as usize]),
            left_out: Vec::new(),
        };
        let reached = addresses.iter().map(|address| address.to_canonical());
        for own in reached.filter(is_reached) {
            let address = Address::from(own);
            let line = local.table.get_mut(LocalLine::index(&address) as usize);
            if !line.is_some_and(|line| line.insert(&address)) {
                local.left_out.push(own);
            }
        }
        local
    }
}

fn is_reached(address: &IpAddr) -> bool {
    let is_broadcast = *address == IpAddr::from([255; 4]);
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(local: &Local, text: &str) -> bool {
        let address: IpAddr = text.parse().expect("an address");
        let address = Address::from(address);
        local.table[LocalLine::index(&address) as usize].holds(&address)
    }

    #[test]
    fn own_unicast_addresses_are_in_the_table() {
        let there = ["192.0.2.1", "2001:db8::1", "fe80::1"];
        let not = [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ];
        let all: Vec<IpAddr> = there
            .iter()
            .chain(&not)
            .map(|text| text.parse().expect("an address"))
            .collect();
        let local = Local::of(&all);
        assert!(there.iter().all(|text| holds(&local, text)));
        assert!(not.iter().all(|text| !holds(&local, text)));
        assert!(!holds(&local, "192.0.2.2"));
        assert!(local.left_out.is_empty());
    }

    #[test]
    fn what_finds_no_place_is_told() {
        let many: Vec<IpAddr> = (0..2_000_u32)
            .map(|it| IpAddr::from(it.to_be_bytes()))
            .collect();
        let local = Local::of(&many);
        let placed = many
            .iter()
            .filter(|it| holds(&local, &it.to_string()))
            .count();
        assert!(!local.left_out.is_empty());
        // 0.0.0.0 is none.
        assert_eq!(placed + local.left_out.len(), 1_999);
    }
}
