//! What the packets observed in a few seconds have in common.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;

use super::{input::Observed, sketch::TopK};

/// Sources that are told apart at most.
pub const SOURCES: usize = 2_048;
/// Destinations that are told apart at most.
pub const DESTINATIONS: usize = 512;
/// Room for heavy hosts, and for heavy prefixes.
const HEAVY: usize = 256;

/// What was observed of a vector since `began`. At most 256 KiB.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// When it began.
    pub began: Duration,
    /// Observed packets.
    pub samples: u32,
    /// Packets that these stand for.
    pub weight: f64,
    /// Of these, packets of proven sources.
    pub proven: f64,
    /// Observed packets from addresses that nobody has.
    pub impossible: u32,
    /// Observed packets from networks that were not here in calm.
    pub unfamiliar: u32,
    /// Observed packets by hop limit.
    pub hops: BTreeMap<u8, u32>,
    /// Observed packets by source (IPv6: by /64), of the first [`SOURCES`].
    pub sources: BTreeMap<IpAddr, Tally>,
    /// Observed packets by destination, of the first [`DESTINATIONS`].
    pub destinations: BTreeMap<IpAddr, u32>,
    /// Packets by source.
    pub hosts: TopK<IpAddr>,
    /// Packets by prefix: IPv4 /24, IPv6 /64 and /48.
    pub prefixes: TopK<IpNet>,
}

/// Observed packets of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub packets: u32,
    /// Of these, those whose source was proven.
    pub proven: u32,
}

impl Tally {
    /// Adds another's.
    pub const fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.proven = self.proven.saturating_add(other.proven);
    }
}

impl Epoch {
    /// An empty one.
    pub fn new(began: Duration) -> Self {
        Self {
            began,
            samples: 0,
            weight: 0.0,
            proven: 0.0,
            impossible: 0,
            unfamiliar: 0,
            hops: BTreeMap::new(),
            sources: BTreeMap::new(),
            destinations: BTreeMap::new(),
            hosts: TopK::new(HEAVY),
            prefixes: TopK::new(HEAVY),
        }
    }

    /// Takes an observed packet that stands for `weight` packets.
    pub fn add(&mut self, packet: &Observed, weight: f64, is_familiar: bool) {
        self.samples = self.samples.saturating_add(1);
        self.weight += weight;
        if packet.is_proven {
            self.proven += weight;
        }
        self.impossible += u32::from(is_impossible(packet.source));
        self.unfamiliar += u32::from(!is_familiar);
        *self.hops.entry(packet.hops).or_default() += 1;
        let tally = Tally {
            packets: 1,
            proven: u32::from(packet.is_proven),
        };
        let sender = sender(packet.source);
        if let Some(sum) = self.sources.get_mut(&sender) {
            sum.add(tally);
        } else if self.sources.len() < SOURCES {
            self.sources.insert(sender, tally);
        }
        count(&mut self.destinations, packet.destination, DESTINATIONS);
        let whole = weight.round().max(1.0) as u64;
        self.hosts.add(packet.source, whole);
        for prefix in prefixes(packet.source).into_iter().flatten() {
            self.prefixes.add(prefix, whole);
        }
    }
}

fn count(counts: &mut BTreeMap<IpAddr, u32>, key: IpAddr, most: usize) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_add(1);
    } else if counts.len() < most {
        counts.insert(key, 1);
    }
}

/// Who sends, as far as one can be told from another: for IPv6 the /64.
pub fn sender(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64))),
    }
}

/// The prefixes in which a source has neighbours.
fn prefixes(source: IpAddr) -> [Option<IpNet>; 2] {
    let net = |length| IpNet::new(source, length).ok().map(|net| net.trunc());
    match source {
        IpAddr::V4(_) => [net(24), None],
        IpAddr::V6(_) => [net(64), net(48)],
    }
}

/// Whether no host of the Internet has this address: whoever picks sources at random picks many of
/// these, one in seven of IPv4 and seven in eight of IPv6.
pub fn is_impossible(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(address) => matches!(address.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(address) => !matches!(address.segments()[0] >> 8, 0x20..=0x3F | 0xFC..=0xFE),
    }
}

/// Whether a packet that began with one of the usual hop limits (64, 128, 255) cannot arrive with
/// this one: more than 32 hops away.
pub const fn is_odd(hops: u8) -> bool {
    matches!(hops, 0..=31 | 65..=95 | 129..=222)
}
