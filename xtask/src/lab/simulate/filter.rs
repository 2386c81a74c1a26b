//! The filter, coarse enough to be fast: what the controller's commands make of flows.
//!
//! Stages are in the kernel's order: sanity, lists, fragments, rules, state, limits. A stage takes a
//! share of what is left of a flow. Buckets are reckoned for each source of a population; their
//! bursts empty as they do in the kernel. Services' ceilings and byte limits are off, as by default.

mod commands;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use filter_common::abi::{
    defence::{DEFENCES, Defence},
    reason::Reason,
    settings::Class,
    traffic::TrafficClass,
};
use filter_common::logic::repeat;
use filter_user::{
    config::{
        Config,
        limit::{LimitName, LimitRate, Sender},
        units::Rate,
    },
    detect::sketch::Random,
    rules::{Rule, rule::Action},
};
use ipnet::IpNet;

use super::{
    flow::{Bond, Flow},
    people::People,
};

/// Packets of a flow that a rule is tried on.
const TRIED: u32 = 200;
/// Answers to a prefix, answers in all, and SYNs of known good sources that need none, for each CPU,
/// packets a second: the defaults.
const PREFIX_ANSWERS: f64 = 2_000.0;
const ANSWERS: f64 = 2_000_000.0;
const UNANSWERED: f64 = 200.0;

/// What became of a flow in a step.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Shares that were stopped, and why.
    pub stopped: Vec<(Reason, f64)>,
    /// Shares that shadow rules would have stopped.
    pub watched: Vec<(Reason, f64)>,
    /// The share that is left.
    pub left: f64,
    /// Of SYNs that found no answer, the shares that find one when they are sent again for the first, the
    /// second and the third time because they are.
    pub again: [f64; 3],
}

impl Verdict {
    fn whole() -> Self {
        Self {
            left: 1.0,
            ..Self::default()
        }
    }

    /// Takes a share of what is left.
    fn take(&mut self, reason: Reason, share: f64) {
        let part = self.left * share.clamp(0.0, 1.0);
        if part > 0.0 {
            self.stopped.push((reason, part));
            self.left = (self.left - part).max(0.0);
        }
    }

    /// The share that was answered in this host's stead: it is not lost.
    pub fn answered(&self) -> f64 {
        let answered = self
            .stopped
            .iter()
            .filter(|(reason, _)| *reason == Reason::CookieAnswered);
        answered.map(|(_, share)| share).sum()
    }

    /// The share that found a ceiling of answers.
    pub fn unanswered(&self) -> f64 {
        let of = self
            .stopped
            .iter()
            .filter(|(reason, _)| *reason == Reason::CookieCeiling);
        of.map(|(_, share)| share).sum()
    }

    /// The share that is lost because of what the filter did.
    pub fn lost(&self) -> f64 {
        (1.0 - self.left - self.answered()).max(0.0)
    }
}

/// A rule that was added.
#[derive(Debug)]
struct Added {
    rule: Rule,
    until: Duration,
    /// The share of each flow that it matches.
    shares: BTreeMap<&'static str, f64>,
}

/// A kind of bucket of a population, which is as full as its share of its burst.
type Bucket = (&'static str, LimitName);

/// The filter.
#[derive(Debug)]
pub struct Filter {
    listening: BTreeSet<(u8, u16)>,
    cpus: f64,
    pressure: f64,
    defaults: BTreeMap<LimitName, Rate>,
    held: BTreeMap<Defence, Duration>,
    cookies: (bool, BTreeSet<u16>),
    lowered: BTreeMap<LimitName, (Rate, Duration)>,
    bans: BTreeMap<IpNet, Duration>,
    rules: Vec<Added>,
    credit: BTreeMap<Bucket, f64>,
    /// Share of CPUs under pressure.
    pressed: f64,
    random: Random,
}

impl Filter {
    /// As it comes, enforcing, for a host with so many CPUs.
    pub fn new(listening: &[(u8, u16)], cpus: u32, seed: u64) -> Self {
        let config = Config::default();
        let of = |rate: Option<LimitRate>| match rate {
            Some(LimitRate::Packets(rate)) => Some(rate),
            Some(LimitRate::Bytes(_)) | None => None,
        };
        let mut defaults = BTreeMap::new();
        let limits = &config.limits;
        for class in Class::ALL {
            let limit = limits.source.get(class as usize);
            if let Some(rate) = limit.and_then(|limit| of(limit.rate)) {
                defaults.insert(LimitName::Source(class), rate);
            }
        }
        let [source, _] = &limits.connections;
        let others = [
            (LimitName::Connections(Sender::Source), of(source.rate)),
            (LimitName::IcmpErrors, limits.icmp.errors),
            (LimitName::IcmpEcho, limits.icmp.echo),
            (LimitName::Protocols, limits.protocols),
            (LimitName::Fragments, config.fragments.limit),
        ];
        defaults.extend(
            others
                .into_iter()
                .filter_map(|(name, rate)| Some((name, rate?))),
        );
        Self {
            listening: listening.iter().copied().collect(),
            cpus: f64::from(cpus),
            pressure: limits.pressure.map_or(0.0, |rate| rate.packets as f64),
            defaults,
            held: BTreeMap::new(),
            cookies: (false, BTreeSet::new()),
            lowered: BTreeMap::new(),
            bans: BTreeMap::new(),
            rules: Vec::new(),
            credit: BTreeMap::new(),
            pressed: 0.0,
            random: Random::new(seed),
        }
    }

    /// Whether anything is in force beside the defaults.
    pub fn is_default(&self) -> bool {
        self.held.is_empty()
            && self.lowered.is_empty()
            && self.bans.is_empty()
            && self.rules.is_empty()
    }

    /// Whether a population has a member that is banned.
    pub fn bans(&self, who: People) -> bool {
        self.bans.keys().any(|prefix| who.within(prefix) > 0.0)
    }

    /// What becomes of flows that come in with these rates for so long.
    pub fn judge(
        &mut self,
        flows: &[Flow],
        rates: &[f64],
        now: Duration,
        seconds: f64,
    ) -> Vec<Verdict> {
        self.expire(now);
        self.press(flows, rates);
        let mut verdicts: Vec<Verdict> = flows.iter().map(|_| Verdict::whole()).collect();
        for (flow, verdict) in flows.iter().zip(&mut verdicts) {
            if let Some(reason) = flow.defect {
                verdict.take(reason, 1.0);
            }
            let banned: f64 = self.bans.keys().map(|prefix| flow.who.within(prefix)).sum();
            verdict.take(Reason::Banned, banned);
        }
        self.share_fates(flows, &mut verdicts);
        self.limit_all(
            flows,
            rates,
            &mut verdicts,
            LimitName::Fragments,
            Reason::LimitFragments,
        );
        for (flow, verdict) in flows.iter().zip(&mut verdicts) {
            self.rule(flow, verdict);
        }
        let connections = [Sender::Source, Sender::Prefix].map(LimitName::Connections);
        self.limit_senders(&connections, flows, rates, &mut verdicts, seconds);
        self.state(flows, rates, &mut verdicts);
        let classes = [Class::Syn, Class::Udp, Class::Icmp, Class::All];
        self.limit_senders(
            &classes.map(LimitName::Source),
            flows,
            rates,
            &mut verdicts,
            seconds,
        );
        self.limit_senders(
            &classes.map(LimitName::Prefix),
            flows,
            rates,
            &mut verdicts,
            seconds,
        );
        // Later fragments come behind their first ones, whatever dropped these.
        self.share_fates(flows, &mut verdicts);
        verdicts
    }

    fn expire(&mut self, now: Duration) {
        self.held.retain(|_, until| *until > now);
        self.lowered.retain(|_, (_, until)| *until > now);
        self.bans.retain(|_, until| *until > now);
        self.rules.retain(|added| added.until > now);
    }

    /// A flow of one peer is a load of one CPU; all others spread.
    fn press(&mut self, flows: &[Flow], rates: &[f64]) {
        let sum = |single: bool| -> f64 {
            let of = flows.iter().zip(rates);
            of.filter(|(flow, _)| flow.is_single == single)
                .map(|(_, rate)| rate)
                .sum()
        };
        let spread = sum(false) / self.cpus;
        self.pressed = if spread >= self.pressure {
            1.0
        } else if spread + sum(true) >= self.pressure {
            1.0 / self.cpus
        } else {
            0.0
        };
    }

    /// The share of packets for which a defence is in force.
    fn force(&self, defence: Defence) -> f64 {
        if self.held.contains_key(&defence) {
            1.0
        } else if defence == Defence::Cookies {
            0.0
        } else {
            self.pressed
        }
    }

    /// A limit, and the share of packets for which it is in force.
    fn limit(&self, name: &LimitName) -> Option<(Rate, f64)> {
        if let Some((rate, _)) = self.lowered.get(name) {
            return Some((*rate, 1.0));
        }
        self.defaults.get(name).map(|rate| (*rate, self.pressed))
    }

    fn share_fates(&self, flows: &[Flow], verdicts: &mut [Verdict]) {
        for at in 0..flows.len() {
            let Some(first) = flows.get(at).filter(|flow| flow.shares_fate) else {
                continue;
            };
            let of = flows
                .iter()
                .position(|flow| Some(flow.name) == first.follows);
            let stopped = of.and_then(|of| verdicts.get(of)).map(Verdict::lost);
            if let (Some(stopped), Some(verdict)) = (stopped, verdicts.get_mut(at)) {
                let already = 1.0 - verdict.left;
                let more = (stopped - already).max(0.0) / verdict.left.max(f64::MIN_POSITIVE);
                verdict.take(Reason::FragmentOfDropped, more);
            }
        }
    }

    fn rule(&self, flow: &Flow, verdict: &mut Verdict) {
        for added in &self.rules {
            let share = added.shares.get(flow.name).copied().unwrap_or(0.0);
            match added.rule.action {
                Action::Drop if added.rule.shadow && share > 0.0 => {
                    let part = verdict.left * share;
                    verdict.watched.push((Reason::RuleDrop, part));
                }
                Action::Drop => verdict.take(Reason::RuleDrop, share),
                // Fingerprints only drop.
                Action::Pass | Action::Limit { .. } => {}
            }
        }
    }

    fn is_open(&self, flow: &Flow) -> bool {
        flow.port()
            .is_some_and(|port| self.listening.contains(&(flow.protocol, port)))
    }

    fn has_cookies(&self, flow: &Flow) -> bool {
        let (all, ports) = &self.cookies;
        self.held.contains_key(&Defence::Cookies)
            && self.is_open(flow)
            && (*all || flow.port().is_some_and(|port| ports.contains(&port)))
    }

    /// Whether it counts against a limit. What cookies leave of SYNs, those of known good sources that
    /// need no answer, is charged to nobody.
    fn is_charged(&self, name: &LimitName, flow: &Flow) -> bool {
        let is_spared = flow.class == TrafficClass::Syn && self.has_cookies(flow);
        is_limited(name, flow) && (matches!(name, LimitName::Connections(_)) || !is_spared)
    }

    /// What this host's sockets and questions say.
    fn state(&mut self, flows: &[Flow], rates: &[f64], verdicts: &mut [Verdict]) {
        let mut asked = Vec::new();
        for (at, (flow, verdict)) in flows.iter().zip(verdicts.iter_mut()).enumerate() {
            if flow.bond == Bond::Established {
                continue;
            }
            match flow.class {
                TrafficClass::Syn if !self.is_open(flow) => {
                    verdict.take(Reason::ClosedTcp, self.force(Defence::ClosedPorts));
                }
                TrafficClass::Syn if self.has_cookies(flow) => asked.push(at),
                TrafficClass::Ack | TrafficClass::Close if self.has_cookies(flow) => {
                    verdict.take(Reason::CookieRefused, 1.0);
                }
                TrafficClass::SynAck | TrafficClass::Ack | TrafficClass::Close => {
                    verdict.take(Reason::NoSocket, self.force(Defence::Sockets));
                }
                TrafficClass::Udp | TrafficClass::Reflected => {
                    if flow.class == TrafficClass::Reflected {
                        verdict.take(Reason::Unsolicited, self.force(Defence::Solicited));
                    }
                    if !self.is_open(flow) {
                        verdict.take(Reason::ClosedUdp, self.force(Defence::ClosedPorts));
                    }
                }
                TrafficClass::Syn
                | TrafficClass::Icmp
                | TrafficClass::Fragment
                | TrafficClass::Protocol
                | TrafficClass::Malformed
                | TrafficClass::Other => {}
            }
        }
        self.answer(flows, rates, verdicts, &asked);
        if self.force(Defence::Icmp) > 0.0 {
            for (name, reason) in [
                (LimitName::IcmpErrors, Reason::LimitIcmpErrors),
                (LimitName::IcmpEcho, Reason::LimitEcho),
            ] {
                self.limit_all(flows, rates, verdicts, name, reason);
            }
        }
        let name = LimitName::Protocols;
        self.limit_all(flows, rates, verdicts, name, Reason::LimitProtocols);
    }

    /// Answers SYNs. Known good sources go first, and of them those with their hop limit; a few of them
    /// need no answer.
    fn answer(&self, flows: &[Flow], rates: &[f64], verdicts: &mut [Verdict], asked: &[usize]) {
        let mut sums = Standings::default();
        for at in asked {
            if let (Some(flow), Some(rate), Some(verdict)) =
                (flows.get(*at), rates.get(*at), verdicts.get(*at))
            {
                sums.add(&Standings::of(flow).times(rate * verdict.left));
            }
        }
        let budget = UNANSWERED * self.cpus;
        let spared = Standings {
            expected: (budget / sums.expected).min(1.0),
            good: ((budget - sums.expected).max(0.0) / sums.good).min(1.0),
            strangers: 0.0,
        };
        let asking = sums.each(&spared, |sum, spared| sum * (1.0 - spared));
        let good = asking.expected + asking.good;
        let lose_good = (1.0 - ANSWERS / good).max(0.0);
        let lose = (1.0 - (ANSWERS - good).max(0.0) / asking.strangers).max(0.0);
        let mut missed = Standings::default();
        for at in asked {
            let (Some(flow), Some(rate), Some(verdict)) =
                (flows.get(*at), rates.get(*at), verdicts.get_mut(*at))
            else {
                continue;
            };
            let of = Standings::of(flow);
            let mut together = Standings::default();
            for (other, rate) in flows.iter().zip(rates) {
                if other.who == flow.who && other.class == TrafficClass::Syn {
                    together.add(&Standings::of(other).times(*rate));
                }
            }
            let together = together.each(&spared, |rate, spared| rate * (1.0 - spared));
            let within = within_prefix(flow.who, &together);
            let kept = Standings {
                expected: 1.0 - lose_good,
                good: 1.0 - lose_good,
                strangers: 1.0 - lose,
            };
            let asks = of.each(&spared, |share, spared| share * (1.0 - spared));
            let answers = asks.each(&within, |share, within| share * within);
            let answers = answers.each(&kept, |share, kept| share * kept);
            let dropped = (asks.sum() - answers.sum()).max(0.0);
            missed.add(
                &asks
                    .each(&answers, |asks, answers| asks - answers)
                    .times(rate * verdict.left),
            );
            verdict.take(Reason::CookieCeiling, dropped);
            verdict.take(
                Reason::CookieAnswered,
                answers.sum() / (1.0 - dropped).max(1e-9),
            );
        }
        for at in asked {
            if let (Some(flow), Some(verdict)) = (flows.get(*at), verdicts.get_mut(*at)) {
                let of = Standings::of(flow);
                verdict.again = PAUSES.map(|pause| {
                    of.expected * is_remembered(missed.expected, pause)
                        + of.good * is_remembered(missed.good, pause)
                });
            }
        }
    }

    /// A limit of all sources together.
    fn limit_all(
        &self,
        flows: &[Flow],
        rates: &[f64],
        verdicts: &mut [Verdict],
        name: LimitName,
        reason: Reason,
    ) {
        let is_met = |flow: &Flow| match (&name, flow.class) {
            (LimitName::Fragments, TrafficClass::Fragment)
            | (LimitName::Protocols, TrafficClass::Protocol) => true,
            (LimitName::IcmpErrors, TrafficClass::Icmp) => is_error(flow),
            (LimitName::IcmpEcho, TrafficClass::Icmp) => !is_error(flow),
            _ => false,
        };
        let Some((rate, force)) = self.limit(&name) else {
            return;
        };
        let is_held = match name {
            LimitName::IcmpErrors | LimitName::IcmpEcho => self.force(Defence::Icmp),
            LimitName::Protocols => self.force(Defence::Protocols),
            // Whatever the pressure is.
            LimitName::Fragments => 1.0,
            LimitName::Source(_)
            | LimitName::Prefix(_)
            | LimitName::Connections(_)
            | LimitName::Service(..) => 0.0,
        };
        let force = force.max(is_held);
        let mut sum = 0.0;
        for ((flow, rate), verdict) in flows.iter().zip(rates).zip(verdicts.iter()) {
            if is_met(flow) {
                sum += rate * verdict.left;
            }
        }
        let above = (1.0 - rate.packets as f64 / sum).max(0.0) * force;
        for (flow, verdict) in flows.iter().zip(verdicts.iter_mut()) {
            if is_met(flow) && above > 0.0 {
                verdict.take(reason, above);
            }
        }
    }

    /// Limits per source and per prefix, which spare established connections.
    fn limit_senders(
        &mut self,
        names: &[LimitName],
        flows: &[Flow],
        rates: &[f64],
        verdicts: &mut [Verdict],
        seconds: f64,
    ) {
        let limits: Vec<(LimitName, Rate, f64)> = names
            .iter()
            .filter_map(|name| {
                let (rate, force) = self.limit(name)?;
                let force = match name {
                    LimitName::Connections(_) => self.force(Defence::Connections),
                    LimitName::Source(_)
                    | LimitName::Prefix(_)
                    | LimitName::Fragments
                    | LimitName::IcmpErrors
                    | LimitName::IcmpEcho
                    | LimitName::Protocols
                    | LimitName::Service(..) => force,
                };
                Some((name.clone(), rate, force))
            })
            .collect();
        for (name, limit, force) in limits {
            if force <= 0.0 {
                continue;
            }
            let left: Vec<f64> = verdicts.iter().map(|verdict| verdict.left).collect();
            for (at, flow) in flows.iter().enumerate() {
                if !self.is_charged(&name, flow) {
                    continue;
                }
                let mut together = 0.0;
                for ((other, rate), left) in flows.iter().zip(rates).zip(&left) {
                    if other.who == flow.who && self.is_charged(&name, other) {
                        let counts = if matches!(name, LimitName::Connections(_)) {
                            other.completes
                        } else {
                            1.0
                        };
                        together += rate * left * counts;
                    }
                }
                let rate = limit.packets as f64;
                let above = match name {
                    LimitName::Prefix(_) | LimitName::Connections(Sender::Prefix) => {
                        flow.who.above_prefix(together, rate)
                    }
                    LimitName::Source(_)
                    | LimitName::Connections(Sender::Source)
                    | LimitName::Fragments
                    | LimitName::IcmpErrors
                    | LimitName::IcmpEcho
                    | LimitName::Protocols
                    | LimitName::Service(..) => flow.who.above(together, rate),
                };
                let above = self.spend((flow.name, name.clone()), limit, above, seconds);
                if let Some(verdict) = verdicts.get_mut(at) {
                    verdict.take(reason(&name), above * force);
                }
            }
        }
    }

    /// A bucket that is full lets its burst through before it limits.
    fn spend(&mut self, bucket: Bucket, limit: Rate, above: f64, seconds: f64) -> f64 {
        let depth = limit.burst as f64 / limit.packets.max(1) as f64;
        let credit = self.credit.entry(bucket).or_insert(depth);
        if above <= 0.0 {
            *credit = (*credit + seconds).min(depth);
            return 0.0;
        }
        // Who sends x times the limit has his burst last depth / (x - 1).
        let drain = above / (1.0 - above).max(1e-9) * seconds;
        let spent = credit.min(drain);
        *credit -= spent;
        above * (1.0 - spent / drain)
    }
}

/// What speaks for SYNs, and how many there are of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Standings {
    /// Of known good sources, with their hop limit.
    expected: f64,
    /// Of known good sources, with another.
    good: f64,
    /// Of all others.
    strangers: f64,
}

impl Standings {
    fn of(flow: &Flow) -> Self {
        Self {
            expected: flow.good * flow.expected,
            good: flow.good * (1.0 - flow.expected),
            strangers: 1.0 - flow.good,
        }
    }

    fn times(&self, factor: f64) -> Self {
        self.each(self, |it, _| it * factor)
    }

    fn add(&mut self, other: &Self) {
        *self = self.each(other, |one, other| one + other);
    }

    fn sum(&self) -> f64 {
        self.expected + self.good + self.strangers
    }

    fn each(&self, other: &Self, make: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            expected: make(self.expected, other.expected),
            good: make(self.good, other.good),
            strangers: make(self.strangers, other.strangers),
        }
    }
}

/// The shares of SYNs of a population that their prefixes have answers for: what speaks for fewer has
/// what others leave.
fn within_prefix(who: People, rates: &Standings) -> Standings {
    let mut rate = 0.0;
    let mut answered = 0.0;
    let mut next = |more: f64| {
        rate += more;
        let all = rate * (1.0 - who.above_prefix(rate, PREFIX_ANSWERS));
        let share = if more > 0.0 {
            ((all - answered) / more).clamp(0.0, 1.0)
        } else {
            1.0
        };
        answered = all;
        share
    };
    Standings {
        expected: next(rates.expected),
        good: next(rates.good),
        strangers: next(rates.strangers),
    }
}

/// Pauses after which a SYN is sent again, in seconds.
pub const PAUSES: [f64; 3] = [1.0, 2.0, 4.0];

/// The share of SYNs that are remembered for so long, of as many a second that found no room and share
/// one half of the table: fewer than a line has entries came to theirs since.
fn is_remembered(rate: f64, pause: f64) -> f64 {
    let lines = f64::from(1_u32 << (repeat::LINES_LOG2 - 1));
    let mean = rate * pause / lines;
    let mut term = (-mean).exp();
    let mut sum = 0.0;
    for number in 1..=repeat::ENTRIES {
        sum += term;
        term *= mean / number as f64;
    }
    sum.min(1.0)
}

fn is_limited(name: &LimitName, flow: &Flow) -> bool {
    let (LimitName::Source(class) | LimitName::Prefix(class)) = name else {
        return matches!(name, LimitName::Connections(_)) && flow.class == TrafficClass::Syn;
    };
    if flow.bond == Bond::Established {
        return false;
    }
    match class {
        Class::All => true,
        Class::Syn => flow.class == TrafficClass::Syn,
        Class::Udp => matches!(flow.class, TrafficClass::Udp | TrafficClass::Reflected),
        Class::Icmp => flow.class == TrafficClass::Icmp,
        Class::Bytes => false,
    }
}

fn is_error(flow: &Flow) -> bool {
    match flow.icmp {
        Some((kind, _)) if flow.who.is_v6() => kind < 128,
        Some((kind, _)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        None => false,
    }
}

const fn reason(name: &LimitName) -> Reason {
    match name {
        LimitName::Source(Class::All) => Reason::LimitAll,
        LimitName::Source(Class::Syn) => Reason::LimitSyn,
        LimitName::Source(Class::Udp) => Reason::LimitUdp,
        LimitName::Source(Class::Icmp) => Reason::LimitIcmp,
        LimitName::Source(Class::Bytes) => Reason::LimitBytes,
        LimitName::Prefix(Class::All) => Reason::PrefixAll,
        LimitName::Prefix(Class::Syn) => Reason::PrefixSyn,
        LimitName::Prefix(Class::Udp) => Reason::PrefixUdp,
        LimitName::Prefix(Class::Icmp) => Reason::PrefixIcmp,
        LimitName::Prefix(Class::Bytes) => Reason::PrefixBytes,
        LimitName::Connections(Sender::Source) => Reason::LimitConnections,
        LimitName::Connections(Sender::Prefix) => Reason::PrefixConnections,
        LimitName::Fragments => Reason::LimitFragments,
        LimitName::IcmpErrors => Reason::LimitIcmpErrors,
        LimitName::IcmpEcho => Reason::LimitEcho,
        LimitName::Protocols => Reason::LimitProtocols,
        LimitName::Service(..) => Reason::CeilingFull,
    }
}

const _: () = assert!(DEFENCES == 7, "a new defence has to be modelled");
