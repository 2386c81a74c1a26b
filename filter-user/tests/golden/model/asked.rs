//! What this host sends while random frames arrive, and what it knows of its addresses and ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use filter_common::{
    abi::defence::PortSet,
    logic::{address::Address, peers},
};
use proptest::{
    collection::{btree_set, vec},
    prelude::{Just, Strategy, any, prop_oneof},
    sample::{select, subsequence},
};

use super::frames::PORTS;
use crate::{
    force::HASH_KEY,
    frame::{UDP, datagram, v4, v6},
};

/// This host, as far as its defences know it.
#[derive(Clone, Debug)]
pub struct Own {
    pub addresses: Vec<IpAddr>,
    pub ports: BTreeMap<PortSet, BTreeSet<u16>>,
    pub noted: Noted,
    /// In order.
    pub sent: Vec<Sent>,
}

/// How long requests have been noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// They are not.
    Never,
    /// For less than a generation.
    Lately,
    /// For longer.
    Long,
}

/// A datagram that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub from: IpAddr,
    pub to: IpAddr,
    pub from_port: u16,
    pub to_port: u16,
    /// The first byte of its data.
    pub first: u8,
}

impl Own {
    pub fn has(&self, set: PortSet, port: u16) -> bool {
        self.ports
            .get(&set)
            .is_some_and(|ports| ports.contains(&port))
    }

    /// Whether it asked a remote port from a port of its own that does not serve.
    pub fn asked(&self, remote: IpAddr, remote_port: u16, local_port: u16) -> bool {
        !self.has(PortSet::UdpServes, local_port)
            && self.sent.iter().any(|sent| {
                let flow = (sent.to, sent.to_port, sent.from_port);
                self.addresses.contains(&sent.from) && flow == (remote, remote_port, local_port)
            })
    }

    /// Whether its server of NTP asked another.
    pub fn asked_time(&self, peer: IpAddr) -> bool {
        self.has(PortSet::UdpServes, 123)
            && self.sent.iter().any(|sent| {
                self.addresses.contains(&sent.from)
                    && (sent.to, sent.to_port, sent.from_port) == (peer, 123, 123)
                    && matches!(sent.first & 7, 1 | 3)
            })
    }
}

impl Sent {
    pub fn frame(&self) -> Vec<u8> {
        let data = [self.first, 0, 0, 0];
        let datagram = datagram(self.from_port, self.to_port, &data);
        let (from, to) = (self.from.to_string(), self.to.to_string());
        match self.from {
            IpAddr::V4(_) => v4(&from, UDP, datagram).to(&to).frame(),
            IpAddr::V6(_) => v6(&from, UDP, datagram).to(&to).frame(),
        }
    }
}

/// The sets that the model speaks of.
const SETS: [PortSet; 6] = [
    PortSet::TcpOpen,
    PortSet::TcpLeftOut,
    PortSet::UdpOpen,
    PortSet::UdpLeftOut,
    PortSet::UdpServes,
    PortSet::Reflectors,
];

/// Any, with peers from the pool.
pub fn own(pool: &[IpAddr]) -> impl Strategy<Value = Own> + use<> {
    let here: [IpAddr; 2] =
        ["203.0.113.1", "2001:db8:ffff::1"].map(|address| address.parse().expect("an address"));
    let addresses = prop_oneof![
        3 => Just(here.to_vec()),
        1 => subsequence(here.to_vec(), 0..=2),
    ];
    let ports = SETS.map(|_| btree_set(select(PORTS.to_vec()), 0..=PORTS.len()));
    let noted = prop_oneof![
        4 => Just(Noted::Long),
        1 => Just(Noted::Lately),
        1 => Just(Noted::Never),
    ];
    let first = prop_oneof![select(vec![0x21, 0x23, 0x24]), any::<u8>()];
    let port = || select(PORTS.to_vec());
    let sent = (select(pool.to_vec()), port(), port(), first, any::<bool>());
    let sent = sent.prop_map(move |(to, from_port, to_port, first, is_here)| {
        let other = ["198.51.100.1", "2001:db8:9::1"].map(|it| it.parse().expect("an address"));
        let from = if is_here { here } else { other };
        Sent {
            from: from[usize::from(to.is_ipv6())],
            to,
            from_port,
            to_port,
            first,
        }
    });
    (addresses, ports, noted, vec(sent, 0..40)).prop_map(|(addresses, ports, noted, sent)| Own {
        addresses,
        ports: SETS.into_iter().zip(ports).collect(),
        noted,
        sent: with_room(sent),
    })
}

/// Without those whose peer would be the third in its line: there, the kernel forgets one.
fn with_room(sent: Vec<Sent>) -> Vec<Sent> {
    let mut lines: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut has_room = |sent: &Sent| {
        let peers = lines
            .entry(peers::line(&Address::from(sent.to), &HASH_KEY))
            .or_default();
        let has_room = peers.contains(&sent.to) || peers.len() < peers::WAYS;
        if has_room {
            peers.insert(sent.to);
        }
        has_room
    };
    sent.into_iter().filter(|sent| has_room(sent)).collect()
}
