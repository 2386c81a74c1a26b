//! Who sends: populations of addresses, each of which knows the share of every address in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_user::detect::sketch::{Random, mix};
use ipnet::IpNet;

/// How traffic is spread over a population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Everybody sends as much.
    Even,
    /// Zipf's law: the second sends half of what the first does.
    Zipf,
    /// Addresses that 50 to 5,000 people share, spread evenly over the logarithm.
    Shared,
}

/// Addresses of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum People {
    /// So many hosts, `neighbours` of them in a network (IPv4: /24; IPv6: /48, each a /64 of its own).
    Hosts {
        /// Network of the first: the upper 24 bits of IPv4, 48 of IPv6.
        network: u64,
        /// How many.
        count: u32,
        /// How many share a network.
        neighbours: u32,
        /// Who sends how much.
        spread: Spread,
        /// Over IPv6.
        v6: bool,
    },
    /// Any address, whether somebody has it or not.
    Anybody {
        /// Of IPv6.
        v6: bool,
    },
    /// All addresses of one /64.
    Walk {
        /// The upper 64 bits.
        network: u64,
    },
}

/// A source that is counted as one: its rank in its population.
pub type Rank = u32;

/// Sources above a limit that are looked at one by one.
const LOOKED_AT: u32 = 20_000;
/// How many times as many people the largest shared address has as the smallest.
const LARGEST: f64 = 100.0;

impl People {
    /// Hosts scattered over networks of their own.
    pub const fn scattered(network: u64, count: u32) -> Self {
        Self::Hosts {
            network,
            count,
            neighbours: 1,
            spread: Spread::Even,
            v6: false,
        }
    }

    /// A single host.
    pub const fn one(network: u64) -> Self {
        Self::scattered(network, 1)
    }

    /// Whether it is counted by IPv6's rules.
    pub const fn is_v6(self) -> bool {
        match self {
            Self::Hosts { v6, .. } | Self::Anybody { v6 } => v6,
            Self::Walk { .. } => true,
        }
    }

    /// Picks whoever sends the next packet.
    pub fn pick(self, random: &mut Random) -> IpAddr {
        match self {
            Self::Hosts { count, spread, .. } => {
                let unit = random.unit();
                let count = f64::from(count);
                let rank = match spread {
                    Spread::Even => unit * count,
                    Spread::Zipf => (count + 1.0).powf(unit) - 1.0,
                    Spread::Shared => count * (1.0 + (LARGEST - 1.0) * unit).ln() / LARGEST.ln(),
                };
                self.address(rank.min(count - 1.0) as u32, random.word())
            }
            Self::Anybody { v6: false } => {
                IpAddr::V4(Ipv4Addr::from_bits((random.word() >> 32) as u32))
            }
            Self::Anybody { v6: true } => {
                let bits = u128::from(random.word()) << 64 | u128::from(random.word());
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
            Self::Walk { network } => {
                let bits = u128::from(network) << 64 | u128::from(random.word());
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
        }
    }

    fn address(self, rank: Rank, word: u64) -> IpAddr {
        let Self::Hosts {
            network,
            neighbours,
            v6,
            ..
        } = self
        else {
            return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        };
        let net = network.wrapping_add(u64::from(rank / neighbours.max(1)));
        let host = rank % neighbours.max(1) + 1;
        if v6 {
            let bits = u128::from(net) << 80 | u128::from(host) << 64 | u128::from(word as u16);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits((net as u32) << 8 | host))
        }
    }

    /// The rank of an address; `None` if it is not of these, or ranks mean nothing.
    pub fn rank(self, address: IpAddr) -> Option<Rank> {
        let Self::Hosts {
            network,
            count,
            neighbours,
            v6,
            ..
        } = self
        else {
            return None;
        };
        let (net, host) = match address {
            IpAddr::V4(address) if !v6 => {
                let bits = address.to_bits();
                (u64::from(bits >> 8), bits & 0xFF)
            }
            IpAddr::V6(address) if v6 => {
                let bits = address.to_bits();
                ((bits >> 80) as u64, (bits >> 64) as u32 & 0xFFFF)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        let net = u32::try_from(net.checked_sub(network)?).ok()?;
        let host = host.checked_sub(1).filter(|host| *host < neighbours)?;
        let rank = net.checked_mul(neighbours)?.checked_add(host)?;
        (rank < count).then_some(rank)
    }

    /// What a rank sends of all.
    pub fn weight(self, rank: Rank) -> f64 {
        let Self::Hosts { count, spread, .. } = self else {
            return 0.0;
        };
        let (rank, count) = (f64::from(rank), f64::from(count));
        match spread {
            Spread::Even => 1.0 / count,
            Spread::Zipf => ((rank + 2.0) / (rank + 1.0)).ln() / (count + 1.0).ln(),
            Spread::Shared => {
                let upto = |rank: f64| LARGEST.powf(rank / count);
                (upto(rank + 1.0) - upto(rank)) / (LARGEST - 1.0)
            }
        }
    }

    /// How many people are behind a rank.
    pub fn behind(self, rank: Rank) -> f64 {
        match self {
            Self::Hosts {
                count,
                spread: Spread::Shared,
                ..
            } => 50.0 * LARGEST.powf((f64::from(rank) + 0.5) / f64::from(count)),
            Self::Hosts { .. } | Self::Anybody { .. } | Self::Walk { .. } => 1.0,
        }
    }

    /// The share of all that comes from a prefix.
    pub fn within(self, prefix: &IpNet) -> f64 {
        let all = if self.is_v6() { 128 } else { 32 };
        if usize::from(prefix.max_prefix_len()) != all {
            return 0.0;
        }
        match self {
            Self::Anybody { .. } => (-f64::from(prefix.prefix_len())).exp2(),
            Self::Walk { network } => {
                let first = Ipv6Addr::from_bits(u128::from(network) << 64);
                f64::from(u8::from(prefix.contains(&IpAddr::V6(first))))
            }
            Self::Hosts {
                network,
                count,
                neighbours,
                v6,
                ..
            } => {
                let net_bits = if v6 { 48 } else { 24 };
                if prefix.prefix_len() > net_bits {
                    return self.few(prefix);
                }
                let first = match prefix.network() {
                    IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
                    IpAddr::V6(address) => (address.to_bits() >> 80) as u64,
                };
                let nets = 1_u64 << (net_bits - prefix.prefix_len());
                let from = first.max(network) - network;
                let to = first.saturating_add(nets).saturating_sub(network);
                let rank = |net: u64| {
                    let rank = net.saturating_mul(u64::from(neighbours));
                    rank.min(u64::from(count)) as u32
                };
                (rank(from)..rank(to)).map(|rank| self.weight(rank)).sum()
            }
        }
    }

    /// Likewise of a prefix within one network.
    fn few(self, prefix: &IpNet) -> f64 {
        let Self::Hosts {
            network,
            neighbours,
            count,
            ..
        } = self
        else {
            return 0.0;
        };
        let net = match prefix.network() {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            IpAddr::V6(address) => (address.to_bits() >> 80) as u64,
        };
        let first = net
            .checked_sub(network)
            .and_then(|net| u32::try_from(net).ok()?.checked_mul(neighbours));
        let ranks = first.map_or(0..0, |first| {
            first..first.saturating_add(neighbours).min(count)
        });
        ranks
            .filter(|rank| prefix.contains(&self.address(*rank, 0)))
            .map(|rank| self.weight(rank))
            .sum()
    }

    /// Of `rate` packets a second, the share that is above `limit` of a source.
    pub fn above(self, rate: f64, limit: f64) -> f64 {
        self.above_each(rate, limit, 1)
    }

    /// Likewise of a prefix.
    pub fn above_prefix(self, rate: f64, limit: f64) -> f64 {
        let neighbours = match self {
            Self::Hosts { neighbours, .. } => neighbours,
            Self::Anybody { .. } | Self::Walk { .. } => 1,
        };
        self.above_each(rate, limit, neighbours)
    }

    fn above_each(self, rate: f64, limit: f64, together: u32) -> f64 {
        if rate <= limit {
            return 0.0;
        }
        match self {
            // As many sources as there are packets.
            Self::Anybody { .. } => 0.0,
            Self::Walk { .. } => 1.0 - limit / rate,
            Self::Hosts { count, spread, .. } => {
                let groups = count.div_ceil(together);
                let each = |group: u32| match spread {
                    Spread::Even => rate / f64::from(groups),
                    Spread::Zipf | Spread::Shared => {
                        let first = group * together;
                        let ranks = first..(first + together).min(count);
                        rate * ranks.map(|rank| self.weight(rank)).sum::<f64>()
                    }
                };
                if spread == Spread::Even {
                    return (1.0 - limit / each(0)).max(0.0);
                }
                let mut above = 0.0;
                for at in 0..groups.min(LOOKED_AT) {
                    let group = if spread == Spread::Shared {
                        groups - 1 - at
                    } else {
                        at
                    };
                    let too_much = each(group) - limit;
                    if too_much <= 0.0 {
                        break;
                    }
                    above += too_much;
                }
                above / rate
            }
        }
    }

    /// What one can tell by the hop limit of a packet from an address: systems begin with 64 or 128,
    /// and are some hops away.
    pub fn hops(address: IpAddr) -> u8 {
        let hash = match address {
            IpAddr::V4(address) => mix(u64::from(address.to_bits() >> 8)),
            IpAddr::V6(address) => mix((address.to_bits() >> 80) as u64),
        };
        let begin = if hash & 3 == 0 { 128 } else { 64 };
        begin - 5 - (hash >> 8) as u8 % 18
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [People; 4] {
        let hosts = |neighbours, spread, v6| People::Hosts {
            network: if v6 { 0x2a00_0000_0000 } else { 0x50_0000 },
            count: 1_000,
            neighbours,
            spread,
            v6,
        };
        [
            hosts(1, Spread::Zipf, false),
            hosts(8, Spread::Even, false),
            hosts(1, Spread::Shared, false),
            hosts(4, Spread::Even, true),
        ]
    }

    #[test]
    fn an_address_has_the_rank_that_it_was_made_of_and_ranks_share_all() {
        let mut random = Random::new(1);
        for people in all() {
            let sum: f64 = (0..1_000).map(|rank| people.weight(rank)).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{people:?}: {sum}");
            for rank in [0, 1, 7, 8, 999] {
                let address = people.address(rank, random.word());
                assert_eq!(people.rank(address), Some(rank), "{people:?}");
            }
            assert!(people.rank(people.pick(&mut random)).is_some());
            assert_eq!(people.rank(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
        }
    }

    #[test]
    fn who_is_picked_is_picked_as_often_as_his_share_says() {
        let mut random = Random::new(2);
        for people in all() {
            for rank in [0, 999] {
                let hits = (0..100_000)
                    .filter(|_| people.rank(people.pick(&mut random)) == Some(rank))
                    .count();
                let wanted = 100_000.0 * people.weight(rank);
                let error = (hits as f64 - wanted).abs();
                assert!(
                    error <= 5.0 * wanted.sqrt().max(1.0),
                    "{people:?}: {hits}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn a_prefix_has_what_its_members_have() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let [zipf, even, ..] = all();
        assert!((even.within(&net("80.0.0.0/24")) - 0.008).abs() < 1e-9);
        assert!((even.within(&net("80.0.0.3/32")) - 0.001).abs() < 1e-9);
        assert!((even.within(&net("80.0.0.0/16")) - 1.0).abs() < 1e-9);
        assert_eq!(even.within(&net("81.0.0.0/16")), 0.0);
        assert_eq!(even.within(&net("2a00::/16")), 0.0);
        assert!(zipf.within(&net("80.0.0.0/24")) > 0.09);
        let anybody = People::Anybody { v6: false };
        assert!((anybody.within(&net("80.0.0.0/8")) - 1.0 / 256.0).abs() < 1e-9);
    }

    #[test]
    fn a_limit_cuts_those_above_it() {
        let [zipf, even, shared, _] = all();
        assert_eq!(even.above(1_000.0, 1.0), 0.0);
        assert!((even.above(2_000.0, 1.0) - 0.5).abs() < 1e-9);
        assert!((even.above_prefix(2_000.0, 8.0) - 0.5).abs() < 1e-9);
        for people in [zipf, shared] {
            let above = people.above(1_000.0, 2.0);
            assert!(above > 0.0 && above < 1.0, "{people:?}: {above}");
            assert!(people.above(1_000.0, 50.0) < above);
        }
        assert_eq!(People::Anybody { v6: false }.above(1e6, 1.0), 0.0);
    }
}
