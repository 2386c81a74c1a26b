//! What the controller holds beside what file and operators say, and what operators told it to leave
//! alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use filter_common::abi::{defence::Defence, settings::Class};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    actor::Actor,
    defences, settings,
    state::{Set, State},
};
use crate::{
    config::{
        Config,
        bytes::ByteRate,
        defence::{DefenceMode, name},
        limit::{LimitName, LimitRate, Sender},
        units::Rate,
    },
    rules::Rule,
};

/// How long the controller does not do again what an operator ended.
pub const RESPECT: Duration = Duration::from_secs(3_600);

/// Something that the controller holds. It always has an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<T> {
    /// What.
    pub value: T,
    /// Since when.
    pub since: Timestamp,
    /// Until when, if it is not held on.
    pub until: Timestamp,
    /// Why, with figures.
    pub reason: String,
}

/// Everything that the controller holds, its bans and rules apart, which are among the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// Defences; of cookies with the TCP ports, all if there is none.
    pub defences: BTreeMap<Defence, Held<BTreeSet<u16>>>,
    /// Limits that are lowered.
    pub limits: BTreeMap<LimitName, Held<LimitRate>>,
    /// What operators ended, and until when the controller leaves it alone.
    pub vetoes: BTreeMap<Veto, Timestamp>,
}

/// Something that an operator ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Veto {
    /// Holding a defence.
    Defence(Defence),
    /// Lowering a limit.
    Limit(LimitName),
    /// A ban of this prefix, of a wider or of a narrower one.
    Ban(IpNet),
    /// A rule that matches and does the same, as it is written.
    Rule(String),
}

impl Veto {
    /// The veto on a rule, whether it only counts or not.
    pub fn of_rule(rule: &Rule) -> Self {
        let enforced = Rule {
            shadow: false,
            ..rule.clone()
        };
        Self::Rule(enforced.to_string())
    }
}

impl fmt::Display for Veto {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defence(defence) => write!(formatter, "the defence {}", name(*defence)),
            Self::Limit(limit) => write!(formatter, "the limit {limit}"),
            Self::Ban(prefix) => write!(formatter, "the ban of {prefix}"),
            Self::Rule(rule) => write!(formatter, "the rule {rule}"),
        }
    }
}

impl Holdings {
    /// Whether anything is held that the settings speak of.
    pub fn is_any(&self) -> bool {
        !self.defences.is_empty() || !self.limits.is_empty()
    }

    /// When the last of it ends.
    pub fn end(&self) -> Option<Timestamp> {
        let defences = self.defences.values().map(|held| held.until);
        let limits = self.limits.values().map(|held| held.until);
        defences.chain(limits).max()
    }

    /// The operator's word that stands against this, if there is one: until when.
    pub fn vetoed(&self, what: &Veto, now: Timestamp) -> Option<Timestamp> {
        let live = |until: &Timestamp| (*until > now).then_some(*until);
        let Veto::Ban(prefix) = what else {
            return self.vetoes.get(what).and_then(live);
        };
        let wider = std::iter::successors(Some(*prefix), IpNet::supernet)
            .filter_map(|wider| self.vetoes.get(&Veto::Ban(wider)));
        let within = self.vetoes.range(Veto::Ban(*prefix)..);
        let within = within
            .take_while(|(veto, _)| match veto {
                Veto::Ban(other) => prefix.contains(other),
                Veto::Defence(_) | Veto::Limit(_) | Veto::Rule(_) => false,
            })
            .map(|(_, until)| until);
        wider.chain(within).filter_map(live).max()
    }
}

impl State {
    /// The overrides in effect, without the lists and rules: those of operators, and beside them what
    /// the controller holds where neither they nor the file speak against it.
    pub fn effective(&self, config: &Config) -> Self {
        let mut effective = self.overrides();
        for (defence, held) in &self.held.defences {
            if !is_left_to_the_controller(defences::mode(config, self, *defence)) {
                continue;
            }
            if held.value.is_empty() {
                let on = held.as_set(DefenceMode::On);
                effective.defences.insert(*defence, on);
            }
            for port in &held.value {
                let ports = &mut effective.cookie_ports;
                ports.entry(*port).or_insert_with(|| held.as_set(true));
            }
        }
        for (name, held) in &self.held.limits {
            let otherwise = settings::limit(config, self, name).rate;
            let is_free = !self.limits.contains_key(name) && !settings::is_from_file(config, name);
            if is_free && otherwise.is_none_or(|rate| is_at_most(held.value, rate)) {
                let lowered = held.as_set(Some(held.value));
                effective.limits.insert(name.clone(), lowered);
            }
        }
        effective
    }
}

impl<T> Held<T> {
    fn as_set<U>(&self, value: U) -> Set<U> {
        Set {
            value,
            by: Actor::Controller.to_string(),
            since: self.since,
            until: Some(self.until),
        }
    }
}

/// Whether a mode leaves it to the controller to hold a defence.
pub const fn is_left_to_the_controller(mode: DefenceMode) -> bool {
    match mode {
        DefenceMode::Auto | DefenceMode::Pressure => true,
        DefenceMode::Off | DefenceMode::On => false,
    }
}

/// Whether a rate is not above another of the same measure.
pub const fn is_at_most(rate: LimitRate, other: LimitRate) -> bool {
    match (rate, other) {
        (LimitRate::Packets(rate), LimitRate::Packets(other)) => rate.packets <= other.packets,
        (LimitRate::Bytes(rate), LimitRate::Bytes(other)) => rate.bytes <= other.bytes,
        (LimitRate::Packets(_), LimitRate::Bytes(_))
        | (LimitRate::Bytes(_), LimitRate::Packets(_)) => false,
    }
}

/// A rate with no more burst than another of the same measure.
pub fn with_burst_of(rate: LimitRate, other: LimitRate) -> LimitRate {
    match (rate, other) {
        (LimitRate::Packets(rate), LimitRate::Packets(other)) => LimitRate::Packets(Rate {
            burst: rate.burst.min(other.burst),
            ..rate
        }),
        (LimitRate::Bytes(rate), LimitRate::Bytes(other)) => LimitRate::Bytes(ByteRate {
            burst: rate.burst.min(other.burst),
            ..rate
        }),
        (LimitRate::Packets(_), LimitRate::Bytes(_))
        | (LimitRate::Bytes(_), LimitRate::Packets(_)) => rate,
    }
}

/// What the controller lowers a limit to at most, so that an ordinary client still gets through; a
/// prefix is granted what some clients need. `None` where it lowers none.
pub const fn floor(limit: &LimitName) -> Option<LimitRate> {
    const fn packets(rate: u64) -> Option<LimitRate> {
        Some(LimitRate::Packets(Rate::per_second(rate)))
    }
    const fn of_source(class: Class) -> u64 {
        match class {
            Class::All => 100,
            Class::Syn => 10,
            Class::Udp => 50,
            Class::Icmp => 5,
            Class::Bytes => 125_000,
        }
    }
    const NEIGHBOURS: u64 = 8;
    match limit {
        LimitName::Source(Class::Bytes) => Some(LimitRate::Bytes(ByteRate::per_second(of_source(
            Class::Bytes,
        )))),
        LimitName::Prefix(Class::Bytes) => Some(LimitRate::Bytes(ByteRate::per_second(
            NEIGHBOURS * of_source(Class::Bytes),
        ))),
        LimitName::Source(class) => packets(of_source(*class)),
        LimitName::Prefix(class) => packets(NEIGHBOURS * of_source(*class)),
        LimitName::Connections(Sender::Source) => packets(10),
        LimitName::Connections(Sender::Prefix) => packets(NEIGHBOURS * 10),
        LimitName::Fragments | LimitName::IcmpErrors | LimitName::Protocols => packets(100),
        LimitName::IcmpEcho => packets(20),
        LimitName::Service(..) => None,
    }
}
