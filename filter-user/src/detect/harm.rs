//! Who belongs here and was stopped, or would have been where nothing is enforced: by source and
//! reason, so that whoever watches first sees whom enforcing would hit.
//!
//! A source belongs here that completed a handshake of late, has a connection, or is allowed. Packets
//! that are forged in its name count as well, for nobody can tell.
//!
//! Memory: [`MOST`] sources and reasons.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use filter_common::abi::reason::Reason;
use ipnet::{IpNet, Ipv6Net};

use super::output::HitReport;
use crate::stats::reasons;

/// Sources and reasons that are remembered at most.
const MOST: usize = 256;
/// Of these, so many are told.
const TOLD: usize = 16;
/// How long one is remembered, where it is not of an incident.
const MEMORY: Duration = Duration::from_secs(600);

/// Packets of one source that were met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Who.
    pub source: IpAddr,
    /// By what.
    pub reason: Reason,
    /// Whether they were stopped; else they would have been.
    pub stopped: bool,
    /// About how many.
    pub packets: f64,
}

#[derive(Clone, Copy, Debug)]
struct Felt {
    packets: f64,
    last: Duration,
}

/// Who was met, and how often.
#[derive(Debug, Default)]
pub struct Harm {
    of: BTreeMap<(IpNet, &'static str, bool), Felt>,
}

impl Harm {
    /// Takes what was met in a step.
    pub fn add(&mut self, hits: &[Hit], elapsed: Duration) {
        for hit in hits {
            let key = (unit(hit.source), reasons::name(hit.reason), hit.stopped);
            if self.of.len() >= MOST && !self.of.contains_key(&key) {
                self.make_room();
            }
            let felt = self.of.entry(key).or_insert(Felt {
                packets: 0.0,
                last: elapsed,
            });
            felt.packets += hit.packets;
            felt.last = elapsed;
        }
    }

    /// Forgets what was long ago.
    pub fn forget(&mut self, elapsed: Duration) {
        self.of
            .retain(|_, felt| elapsed.saturating_sub(felt.last) < MEMORY);
    }

    /// Those that were hit most, most first.
    pub fn report(&self) -> Vec<HitReport> {
        let all = self.of.iter();
        let mut all: Vec<HitReport> = all
            .map(|((source, reason, stopped), felt)| HitReport {
                source: *source,
                reason: (*reason).to_owned(),
                packets: felt.packets.round() as u64,
                stopped: *stopped,
            })
            .filter(|hit| hit.packets > 0)
            .collect();
        // What orders them beside the number is the order they have.
        all.sort_by_key(|hit| std::cmp::Reverse(hit.packets));
        all.truncate(TOLD);
        all
    }

    fn make_room(&mut self) {
        let least = self
            .of
            .iter()
            .min_by(|one, other| one.1.packets.total_cmp(&other.1.packets));
        if let Some(key) = least.map(|(key, _)| *key) {
            self.of.remove(&key);
        }
    }
}

/// An IPv4 address, or a /64 of IPv6.
fn unit(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::from(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & (u128::MAX << 64);
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(bits), 64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(last: u8, stopped: bool, packets: f64) -> Hit {
        Hit {
            source: [192, 0, 2, last].into(),
            reason: Reason::LimitSyn,
            stopped,
            packets,
        }
    }

    #[test]
    fn who_is_hit_is_told_most_first_and_what_would_be_apart() {
        let mut harm = Harm::default();
        let second = Duration::from_secs(1);
        harm.add(&[hit(1, true, 3.0), hit(2, false, 2.0)], second);
        harm.add(&[hit(2, false, 2.4), hit(1, false, 0.2)], second * 2);
        let told: Vec<_> = harm
            .report()
            .into_iter()
            .map(|hit| (hit.source.to_string(), hit.packets, hit.stopped))
            .collect();
        assert_eq!(
            told,
            [
                ("192.0.2.2/32".to_owned(), 4, false),
                ("192.0.2.1/32".to_owned(), 3, true)
            ]
        );
        assert_eq!(harm.report()[0].reason, "limit_syn");
        harm.forget(second + MEMORY);
        assert_eq!(harm.report().len(), 1, "the other is too long ago");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_most_stays() {
        let mut harm = Harm::default();
        harm.add(&[hit(1, true, 1_000.0)], Duration::ZERO);
        for number in 0..10_000_u32 {
            let one = Hit {
                source: IpAddr::from((number + (10 << 24)).to_be_bytes()),
                ..hit(0, true, 1.0)
            };
            harm.add(&[one], Duration::ZERO);
        }
        assert!(harm.of.len() <= MOST);
        let told = harm.report();
        assert_eq!(told.len(), TOLD);
        assert_eq!(told[0].packets, 1_000);
    }
}
