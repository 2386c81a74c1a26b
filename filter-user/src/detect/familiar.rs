//! Networks that were here before.

use std::{net::IpAddr, time::Duration};

use super::sketch::{address_number, mix};

/// Bits of a generation.
const BITS: usize = 1 << 19;
/// A generation is replaced when one bit in so many is set.
const FULL: usize = 8;
/// A generation is replaced after this time.
const AGE: Duration = Duration::from_secs(7 * 86_400);
/// So many observed packets, over so long, before a network that was not seen says anything.
const ENOUGH: (u64, Duration) = (20_000, Duration::from_secs(3_600));

/// The networks (IPv4 /24, IPv6 /48) that were observed in calm: Bloom filters of one hash
/// function in two generations, of which the older is a week old or full. Fewer than one network in
/// four is taken for familiar wrongly. 128 KiB; not kept over restarts.
#[derive(Debug)]
pub struct Familiar {
    generations: [Vec<u64>; 2],
    set: usize,
    born: Duration,
    learned: u64,
    began: Option<Duration>,
}

impl Default for Familiar {
    fn default() -> Self {
        Self {
            generations: [vec![0; BITS / 64], vec![0; BITS / 64]],
            set: 0,
            born: Duration::ZERO,
            learned: 0,
            began: None,
        }
    }
}

impl Familiar {
    /// Notes a source of calm time.
    pub fn learn(&mut self, source: IpAddr, elapsed: Duration) {
        self.began.get_or_insert(elapsed);
        self.learned = self.learned.saturating_add(1);
        if self.set > BITS / FULL || elapsed.saturating_sub(self.born) > AGE {
            self.generations.swap(0, 1);
            self.generations[0].fill(0);
            self.set = 0;
            self.born = elapsed;
        }
        let (word, bit) = place(source);
        if let Some(word) = self.generations[0].get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.set += 1;
        }
    }

    /// Whether a source's network was here before.
    pub fn knows(&self, source: IpAddr) -> bool {
        let (word, bit) = place(source);
        let has = |words: &Vec<u64>| words.get(word).is_some_and(|word| word & bit != 0);
        self.generations.iter().any(has)
    }

    /// Whether enough was learned for an unfamiliar network to mean anything.
    pub fn is_ready(&self, elapsed: Duration) -> bool {
        let (packets, time) = ENOUGH;
        let since = |began| elapsed.saturating_sub(began) >= time;
        self.learned >= packets && self.began.is_some_and(since)
    }
}

fn place(source: IpAddr) -> (usize, u64) {
    let network = match source {
        IpAddr::V4(_) => address_number(source) >> 8,
        IpAddr::V6(_) => address_number(source) >> 80,
    };
    let hash = mix(network as u64 ^ mix((network >> 64) as u64 + 1));
    let bit = hash as usize % BITS;
    (bit / 64, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(network: u32, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(network << 8 | u32::from(host)))
    }

    #[test]
    fn a_network_is_known_once_one_of_its_hosts_came() {
        let mut familiar = Familiar::default();
        familiar.learn(address(0x00C0_0002, 7), Duration::ZERO);
        assert!(familiar.knows(address(0x00C0_0002, 200)));
        assert!(!familiar.knows(address(0x00C0_0003, 7)));
        assert!(!familiar.is_ready(Duration::from_secs(86_400)));
    }

    #[test]
    fn it_never_fills_up() {
        let mut familiar = Familiar::default();
        for network in 0..1_000_000 {
            familiar.learn(address(network, 1), Duration::from_secs(u64::from(network)));
        }
        assert!(familiar.is_ready(Duration::from_secs(1_000_000)));
        let wrong = (2_000_000..2_010_000)
            .filter(|network| familiar.knows(address(*network, 1)))
            .count();
        assert!(wrong < 2_500, "{wrong} of 10,000 are taken for familiar");
        assert!(familiar.knows(address(999_999, 9)));
    }
}
