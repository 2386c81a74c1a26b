//! Limits that can be lowered, and how far.
//!
//! The first rung of a limit that has a default is that default, so that it holds below the floor of
//! pressure too. The last rungs leave what a household behind one address needs, and a carrier's
//! address for a page now and then; what is more than that in calm is known good, or has healthy
//! sessions, and counts against lowering.

use std::collections::BTreeMap;

use filter_common::abi::settings::Class;
use ipnet::IpNet;

use super::{
    regulars::Regulars,
    sources::{Judgement, Sources, neighbourhood, unit_of},
};
use crate::{
    config::{
        limit::{LimitName, LimitRate, Sender},
        units::Rate,
    },
    detect::{Threat, Vector},
};

/// Whom a limit limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each source.
    Source,
    /// Each prefix.
    Prefix,
    /// All together.
    All,
}

/// A limit and its rungs, the highest first.
#[derive(Debug)]
pub struct Ladder {
    /// Which limit.
    pub name: LimitName,
    /// Whom it limits.
    pub scope: Scope,
    rungs: &'static [Rate],
}

const fn even(packets: u64) -> Rate {
    Rate::per_second(packets)
}

const fn bursty(packets: u64) -> Rate {
    Rate {
        packets,
        burst: packets * 10,
    }
}

const fn of_source(class: Class, rungs: &'static [Rate]) -> Ladder {
    Ladder {
        name: LimitName::Source(class),
        scope: Scope::Source,
        rungs,
    }
}

const fn of_prefix(class: Class, rungs: &'static [Rate]) -> Ladder {
    Ladder {
        name: LimitName::Prefix(class),
        scope: Scope::Prefix,
        rungs,
    }
}

const fn of_all(name: LimitName, rungs: &'static [Rate]) -> Ladder {
    Ladder {
        name,
        scope: Scope::All,
        rungs,
    }
}

static SYN: [Ladder; 2] = [
    of_source(Class::Syn, &[even(200), even(100)]),
    of_prefix(Class::Syn, &[even(5_000), even(2_000), even(1_000)]),
];
static CONNECTIONS: [Ladder; 2] = [
    Ladder {
        name: LimitName::Connections(Sender::Source),
        scope: Scope::Source,
        rungs: &[bursty(100), bursty(50), bursty(20)],
    },
    Ladder {
        name: LimitName::Connections(Sender::Prefix),
        scope: Scope::Prefix,
        rungs: &[bursty(1_000), bursty(500), bursty(200)],
    },
];
static UDP: [Ladder; 2] = [
    of_source(
        Class::Udp,
        &[even(20_000), even(10_000), even(5_000), even(2_000)],
    ),
    of_prefix(
        Class::Udp,
        &[even(100_000), even(50_000), even(20_000), even(10_000)],
    ),
];
static PACKETS: [Ladder; 2] = [
    of_source(Class::All, &[even(50_000), even(20_000), even(10_000)]),
    of_prefix(Class::All, &[even(500_000), even(200_000), even(100_000)]),
];
static ICMP: [Ladder; 4] = [
    of_source(Class::Icmp, &[even(50), even(20), even(10)]),
    of_prefix(Class::Icmp, &[even(500), even(200), even(100)]),
    of_all(LimitName::IcmpEcho, &[even(1_000), even(500), even(200)]),
    of_all(LimitName::IcmpErrors, &[even(1_000), even(500), even(200)]),
];
static FRAGMENTS: [Ladder; 1] = [of_all(
    LimitName::Fragments,
    &[
        even(20_000),
        even(5_000),
        even(2_000),
        even(1_000),
        even(500),
    ],
)];
static PROTOCOLS: [Ladder; 1] = [of_all(
    LimitName::Protocols,
    &[
        even(20_000),
        even(5_000),
        even(2_000),
        even(1_000),
        even(500),
    ],
)];

/// The limits that meet a vector, those that spare most first.
pub fn ladders(vector: Vector) -> &'static [Ladder] {
    match vector {
        Vector::Syn => &SYN,
        Vector::Connections => &CONNECTIONS,
        Vector::Udp => &UDP,
        Vector::SynAck | Vector::Ack | Vector::Close => &PACKETS,
        Vector::Icmp => &ICMP,
        Vector::Fragments => &FRAGMENTS,
        Vector::Protocols => &PROTOCOLS,
        // Nobody asked for it, or no sane host sends it: defences and checks drop all of it.
        Vector::Reflection | Vector::Malformed => &[],
    }
}

impl Ladder {
    /// The rate of a rung.
    pub fn rate(&self, rung: usize) -> Option<Rate> {
        self.rungs.get(rung).copied()
    }

    /// The lowest rung for all together that leaves twice what is usual: nobody is told from others
    /// there, so that to go down slowly would spare nobody.
    pub fn lowest(&self, rung: Option<usize>, threat: &Threat) -> Option<usize> {
        let leaves = |at: &usize| {
            let rate = self.rate(*at);
            rate.is_some_and(|rate| rate.packets as f64 >= 2.0 * threat.usual)
        };
        (below(rung)..self.rungs.len()).rev().find(leaves)
    }

    /// The next rung, whoever is hit.
    pub fn step(&self, rung: Option<usize>) -> Option<usize> {
        let next = below(rung);
        self.rate(next).map(|_| next)
    }

    /// The highest rung below one that takes off a good part of what is too much, and takes more of
    /// it from strangers than from those for whom something speaks.
    pub fn useful(&self, rung: Option<usize>, threat: &Threat, loads: &Loads) -> Option<Gain> {
        let excess = threat.passed - threat.threshold;
        let above = rung.and_then(|rung| self.rate(rung));
        let cap = above.map_or(f64::INFINITY, |rate| rate.packets as f64);
        let deeper = (below(rung)..self.rungs.len()).filter_map(|at| Some((at, self.rate(at)?)));
        deeper
            .map(|(at, rate)| loads.gain(at, rate.packets as f64, cap))
            .find(|gain| gain.is_worth(excess))
    }
}

fn below(rung: Option<usize>) -> usize {
    rung.map_or(0, |rung| rung.saturating_add(1))
}

/// Share of what is too much that lowering a limit must take off.
const WORTH: f64 = 0.1;
/// So many strangers above a rung speak for all whose rates are not known.
const SPEAKS_FOR_ALL: usize = 8;

/// What a rung takes off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// Which rung.
    pub rung: usize,
    /// Packets a second, of strangers.
    pub strange: f64,
    /// Packets a second, of others.
    pub others: f64,
    /// Strangers above it.
    pub strangers: usize,
    /// Others above it.
    pub spared: usize,
}

impl Gain {
    fn is_worth(&self, excess: f64) -> bool {
        let much = self.strange >= WORTH * excess && self.strange > self.others;
        let all = self.strangers >= SPEAKS_FOR_ALL && self.spared == 0;
        self.strange > 0.0 && (much || all)
    }
}

/// What single senders send, packets a second, and what may be held against them.
#[derive(Clone, Debug, Default)]
pub struct Loads(Vec<(IpNet, f64, Judgement)>);

impl Loads {
    /// Of the sources of a threat that are known one by one.
    pub fn of_sources(threat: &Threat, sources: &Sources) -> Self {
        let mut loads: BTreeMap<IpNet, f64> = BTreeMap::new();
        for heavy in &threat.heavy {
            if let Some(unit) = unit_of(&heavy.prefix) {
                *loads.entry(unit).or_default() += least(heavy.rate, heavy.error);
            }
        }
        Self(
            loads
                .into_iter()
                .map(|(unit, load)| (unit, load, sources.judgement(&unit)))
                .collect(),
        )
    }

    /// Of their neighbourhoods, and of prefixes that are known as such, where each source has a limit
    /// already. What speaks for one member speaks for all.
    pub fn of_prefixes(threat: &Threat, sources: &Sources, limit: Option<Rate>) -> Self {
        let cap = limit.map_or(f64::INFINITY, |rate| rate.packets as f64);
        let mut loads: BTreeMap<IpNet, (f64, f64)> = BTreeMap::new();
        for heavy in &threat.heavy {
            let load = least(heavy.rate, heavy.error);
            match unit_of(&heavy.prefix) {
                Some(unit) => loads.entry(neighbourhood(&unit)).or_default().0 += load.min(cap),
                None => loads.entry(heavy.prefix.trunc()).or_default().1 += load,
            }
        }
        let judgement = |prefix: &IpNet| {
            let members = sources.within(*prefix).map(|(_, it)| it.judgement());
            members.fold(Judgement::Unknown, |all, one| match (all, one) {
                (Judgement::Good, _) | (_, Judgement::Good) => Judgement::Good,
                (Judgement::Healthy, _) | (_, Judgement::Healthy) => Judgement::Healthy,
                (Judgement::Stranger, _) | (_, Judgement::Stranger) => Judgement::Stranger,
                (Judgement::Unknown, Judgement::Unknown) => Judgement::Unknown,
            })
        };
        // Of a prefix and its members, which say the same, the larger counts.
        Self(
            loads
                .into_iter()
                .map(|(prefix, (members, whole))| (prefix, members.max(whole), judgement(&prefix)))
                .collect(),
        )
    }

    /// The same, where something speaks for those who send much without any attack.
    pub fn sparing(mut self, regulars: &Regulars) -> Self {
        for (prefix, _, judgement) in &mut self.0 {
            if *judgement != Judgement::Good && regulars.within(prefix) {
                *judgement = Judgement::Healthy;
            }
        }
        self
    }

    fn gain(&self, rung: usize, rate: f64, cap: f64) -> Gain {
        let mut gain = Gain {
            rung,
            ..Gain::default()
        };
        for (_, load, judgement) in &self.0 {
            let off = load.min(cap) - rate;
            if off <= 0.0 || off.is_nan() {
                continue;
            }
            match judgement {
                Judgement::Stranger => {
                    gain.strange += off;
                    gain.strangers = gain.strangers.saturating_add(1);
                }
                Judgement::Good | Judgement::Healthy => {
                    gain.others += off;
                    gain.spared = gain.spared.saturating_add(1);
                }
                Judgement::Unknown => {}
            }
        }
        gain
    }
}

/// What a sender sends at least.
pub fn least(rate: f64, error: f64) -> f64 {
    (rate - error).max(0.0)
}

/// A rate as commands take it.
pub const fn limit(rate: Rate) -> LimitRate {
    LimitRate::Packets(rate)
}
