//! What the model says: everything that can be written naively is, and nothing is fast.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::ControlFlow,
};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter, happened, observed},
        reason::{Action, Reason},
        settings::{CLASSES, Class, FragmentPolicy},
    },
    logic::{
        control::{self, Control},
        hash::source_number,
        packet::{Fragment, Packet, Transport},
        parse, sanity,
    },
};

use filter_user::rules::{
    matches::{matches, payload},
    rule::{self, Scope},
};

use super::situation::{Entry, Limits, Situation};

/// The model of one situation.
pub struct Oracle<'s> {
    pub(super) situation: &'s Situation,
    /// What is used up of each room.
    used: BTreeMap<Room, u64>,
    fates: BTreeMap<Flow, Reason>,
    watched: Option<Reason>,
    /// What spares the packet rules and limits of sources.
    spared: Option<Reason>,
    pub(super) frame: Vec<u8>,
    /// What rules are to have counted, by their places.
    pub rules: BTreeMap<usize, Counter>,
    /// What the counters are to have moved by.
    pub counters: [Counter; COUNTERS as usize],
    /// Packets that met each of the lists with entries: allow, ban, block.
    pub met: [u64; 3],
    /// What imported lists are to have counted.
    pub imported: BTreeMap<u8, Counter>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    /// The first reason that would have dropped it, were it enforced.
    pub observed: Option<Reason>,
}

/// Whatever holds so many and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Control(usize),
    Sessions,
    Lifeline(usize),
    Fragments,
    Rule(usize),
    RuleSource(usize, IpAddr),
    Source(IpAddr, Class),
    Prefix(IpAddr, Class),
    TooBig,
    IcmpErrors,
    Echo,
    Protocols,
}

/// What fragments of one packet have in common.
type Flow = (IpAddr, IpAddr, u8, u32);

impl<'s> Oracle<'s> {
    pub fn new(situation: &'s Situation) -> Self {
        Self {
            situation,
            used: BTreeMap::new(),
            fates: BTreeMap::new(),
            watched: None,
            spared: None,
            frame: Vec::new(),
            rules: BTreeMap::new(),
            counters: [Counter::default(); COUNTERS as usize],
            met: [0; 3],
            imported: BTreeMap::new(),
        }
    }

    /// What becomes of a frame, and of those that follow it.
    pub fn judge(&mut self, frame: &[u8]) -> Verdict {
        self.watched = None;
        self.spared = None;
        let length = frame.len() as u64;
        self.frame = frame.to_vec();
        let reason = match parse::packet(&frame) {
            ControlFlow::Break(reason) => match self.found(reason) {
                ControlFlow::Break(reason) => reason,
                ControlFlow::Continue(()) => Reason::Clean,
            },
            ControlFlow::Continue(packet) => {
                let reason = match self.way(&packet, length) {
                    ControlFlow::Break(reason) => reason,
                    ControlFlow::Continue(()) => self.spared.unwrap_or(Reason::Clean),
                };
                if packet.fragment == Fragment::First && self.situation.fragments.remembers {
                    self.fates.insert(flow(&packet), reason);
                }
                reason
            }
        };
        let observed = self.watched.filter(|_| reason.action() == Action::Pass);
        self.count(reason, observed, length);
        Verdict { reason, observed }
    }

    fn way(&mut self, packet: &Packet, length: u64) -> ControlFlow<Reason> {
        self.control(packet)?;
        sanity::check(packet, |reason| self.found(reason))?;
        self.lifeline(packet)?;
        self.lists(packet, length)?;
        if self.spared.is_none() {
            self.fragments(packet)?;
            self.rules(packet, length)?;
        }
        self.state(packet)?;
        if self.spared.is_none() {
            self.limits(packet, length)?;
        }
        ControlFlow::Continue(())
    }

    pub(super) fn found(&mut self, reason: Reason) -> ControlFlow<Reason> {
        let Situation {
            enforced,
            unchecked,
            ..
        } = self.situation;
        match reason.action() {
            Action::Pass => ControlFlow::Break(reason),
            _ if unchecked & reason.bit() != 0 => ControlFlow::Continue(()),
            _ if enforced & reason.bit() != 0 => ControlFlow::Break(reason),
            Action::Drop | Action::Answer => {
                self.watched.get_or_insert(reason);
                ControlFlow::Continue(())
            }
        }
    }

    fn control(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        let kind = match control::classify(packet) {
            Control::No => return ControlFlow::Continue(()),
            Control::Forged => return self.found(Reason::ForgedDiscovery),
            Control::Discovery => 0,
            Control::Membership => 1,
            Control::Dhcp => 2,
        };
        if self.take(Room::Control(kind), self.situation.control[kind]) {
            return self.found(Reason::Control);
        }
        ControlFlow::Continue(())
    }

    fn lifeline(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        let (own, port, opens) = match packet.transport() {
            Transport::Tcp {
                source_port,
                destination_port,
                flags,
            } => (Some(source_port), destination_port, flags.opens()),
            Transport::Udp {
                destination_port, ..
            } => (None, destination_port, true),
            Transport::Icmp { .. } | Transport::Opaque => return ControlFlow::Continue(()),
        };
        let source = IpAddr::from(packet.source);
        let situation = self.situation;
        let is_session = situation
            .sessions
            .iter()
            .any(|(from, from_port, to)| (source, own, port) == (*from, Some(*from_port), *to));
        if is_session && self.take(Room::Sessions, situation.session_ceiling) {
            return self.found(Reason::Lifeline);
        }
        for (index, line) in situation.lifelines.iter().enumerate() {
            let is_named = match line.from {
                Some(prefix) => prefix.contains(&source),
                None => opens,
            };
            if is_named
                && (line.protocol, line.port) == (packet.protocol, port)
                && self.take(Room::Lifeline(index), line.ceiling)
            {
                return self.found(Reason::Lifeline);
            }
        }
        ControlFlow::Continue(())
    }

    fn lists(&mut self, packet: &Packet, length: u64) -> ControlFlow<Reason> {
        let source = IpAddr::from(packet.source);
        let lists = &self.situation.lists;
        let entries = [&lists.allow, &lists.ban, &lists.block];
        let reasons = [Reason::Allowed, Reason::Banned, Reason::Blocked];
        for ((entries, reason), index) in entries.into_iter().zip(reasons).zip(0..) {
            let covers = |it: &Entry| !it.has_ended && it.prefix.contains(&source);
            if entries.iter().any(covers) {
                let met: &mut [u64; 3] = &mut self.met;
                met[index] += 1;
                if reason == Reason::Allowed {
                    self.spared = Some(reason);
                    return ControlFlow::Continue(());
                }
                self.found(reason)?;
            }
        }
        let owner = lists
            .imported
            .iter()
            .find(|(_, prefixes)| prefixes.iter().any(|prefix| prefix.contains(&source)));
        if let Some((number, _)) = owner {
            let counter = self.imported.entry(*number).or_default();
            counter.packets += 1;
            counter.bytes += length;
            self.found(Reason::Listed)?;
        }
        ControlFlow::Continue(())
    }

    fn fragments(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        let fate = match packet.fragment {
            Fragment::Whole => return ControlFlow::Continue(()),
            Fragment::First => Some(Reason::Clean),
            Fragment::Later => self.fates.get(&flow(packet)).copied(),
        };
        let policy = self.situation.fragments.policy;
        match (fate, policy) {
            // What a rule passed it passes whole, though later pieces have no ports.
            (Some(Reason::RulePass), _) => return ControlFlow::Break(Reason::RulePass),
            (Some(first), _) if first.action() == Action::Drop => {
                self.found(Reason::FragmentOfDropped)?;
            }
            (Some(_), _) | (None, FragmentPolicy::Limit) => {}
            (None, FragmentPolicy::Pass) => return ControlFlow::Continue(()),
            (None, FragmentPolicy::Drop) => self.found(Reason::FragmentUnknown)?,
        }
        if !self.take(Room::Fragments, self.situation.fragments.limit) {
            self.found(Reason::LimitFragments)?;
        }
        ControlFlow::Continue(())
    }

    /// The first rule that acts decides.
    fn rules(&mut self, packet: &Packet, length: u64) -> ControlFlow<Reason> {
        let frame = self.frame.clone();
        let payload = payload(packet, &frame);
        let situation = self.situation;
        for (place, rule) in situation.rules.iter().enumerate() {
            if !matches(rule, packet, payload) {
                continue;
            }
            let reason = match rule.action {
                rule::Action::Drop => Reason::RuleDrop,
                rule::Action::Pass => Reason::RulePass,
                rule::Action::Limit { rate, scope } => {
                    let room = match scope {
                        Scope::All => Room::Rule(place),
                        Scope::Source => Room::RuleSource(place, self.senders(packet).0),
                    };
                    if self.take(room, Some(rate.burst)) {
                        continue;
                    }
                    Reason::RuleLimit
                }
            };
            let counter = self.rules.entry(place).or_default();
            counter.packets += 1;
            counter.bytes += length;
            if !rule.shadow {
                return self.found(reason);
            }
        }
        ControlFlow::Continue(())
    }

    /// A packet is charged to everything that counts it, or, if anything refuses it, to nothing.
    fn limits(&mut self, packet: &Packet, length: u64) -> ControlFlow<Reason> {
        let (source, prefix) = self.senders(packet);
        let own = match packet.transport() {
            Transport::Tcp { flags, .. } if flags.opens() => Some(Class::Syn),
            Transport::Udp { .. } => Some(Class::Udp),
            Transport::Icmp { .. } => Some(Class::Icmp),
            Transport::Tcp { .. } | Transport::Opaque => None,
        };
        let by_source = |class| Room::Source(source, class);
        let by_prefix = |class| Room::Prefix(prefix, class);
        let situation = self.situation;
        let mut bill = Vec::new();
        let mut is_refused = false;
        for (room, limits, class, reason) in [
            (
                own.map(by_source),
                &situation.source,
                own,
                own.map(source_reason),
            ),
            (
                Some(by_source(Class::All)),
                &situation.source,
                Some(Class::All),
                Some(Reason::LimitAll),
            ),
            (
                own.map(by_prefix),
                &situation.prefix,
                own,
                own.map(prefix_reason),
            ),
            (
                Some(by_prefix(Class::All)),
                &situation.prefix,
                Some(Class::All),
                Some(Reason::PrefixAll),
            ),
            (
                Some(by_source(Class::Bytes)),
                &situation.source,
                Some(Class::Bytes),
                Some(Reason::LimitBytes),
            ),
            (
                Some(by_prefix(Class::Bytes)),
                &situation.prefix,
                Some(Class::Bytes),
                Some(Reason::PrefixBytes),
            ),
        ] {
            let (Some(room), Some(class), Some(reason)) = (room, class, reason) else {
                continue;
            };
            let Some(most) = self.limit(limits, class) else {
                continue;
            };
            let cost = if class == Class::Bytes { length } else { 1 };
            if self.used.get(&room).copied().unwrap_or_default() + cost > most {
                is_refused = true;
                self.found(reason)?;
            }
            bill.push((room, cost));
        }
        if !is_refused {
            for (room, cost) in bill {
                *self.used.entry(room).or_default() += cost;
            }
        }
        ControlFlow::Continue(())
    }

    fn limit(&self, limits: &Limits, class: Class) -> Option<u64> {
        let holds = self.situation.pressed || limits.always & class.bit() != 0;
        limits.room[class as usize].filter(|_| holds)
    }

    /// The source and the prefix that a packet is charged to.
    fn senders(&self, packet: &Packet) -> (IpAddr, IpAddr) {
        let source = IpAddr::from(packet.source);
        let (v4, v6) = self.situation.lengths;
        let (own, shared) = match source {
            IpAddr::V4(_) => (32, v4),
            IpAddr::V6(_) => (64, v6),
        };
        let cut = |length| {
            let net = ipnet::IpNet::new(source, length).expect("a length of its family");
            net.network()
        };
        (cut(own), cut(shared))
    }

    /// Takes one of so many, if there is one left.
    pub(super) fn take(&mut self, room: Room, most: Option<u64>) -> bool {
        let Some(most) = most else {
            return true;
        };
        let used = self.used.entry(room).or_default();
        let is_within = *used < most;
        *used += u64::from(is_within);
        is_within
    }

    fn count(&mut self, reason: Reason, watched: Option<Reason>, length: u64) {
        let watched = watched.map(|it| observed(it.code()));
        for index in [Some(happened(reason)), watched].into_iter().flatten() {
            let counter = &mut self.counters[index as usize];
            counter.packets += 1;
            counter.bytes += length;
        }
    }
}

/// What the stages before the lists say of a frame, where everything is enforced and nothing else
/// is in force.
pub fn way(frame: &[u8]) -> ControlFlow<Reason> {
    let packet = parse::packet(&frame)?;
    match control::classify(&packet) {
        Control::Discovery | Control::Membership | Control::Dhcp => {
            return ControlFlow::Break(Reason::Control);
        }
        Control::Forged => return ControlFlow::Break(Reason::ForgedDiscovery),
        Control::No => {}
    }
    sanity::check(&packet, ControlFlow::Break)
}

fn flow(packet: &Packet) -> Flow {
    let (from, to) = (
        IpAddr::from(packet.source),
        IpAddr::from(packet.destination),
    );
    (from, to, packet.protocol, packet.fragment_id)
}

fn source_reason(class: Class) -> Reason {
    [
        Reason::LimitAll,
        Reason::LimitSyn,
        Reason::LimitUdp,
        Reason::LimitIcmp,
        Reason::LimitBytes,
    ][class as usize]
}

fn prefix_reason(class: Class) -> Reason {
    [
        Reason::PrefixAll,
        Reason::PrefixSyn,
        Reason::PrefixUdp,
        Reason::PrefixIcmp,
        Reason::PrefixBytes,
    ][class as usize]
}

const _: () = assert!(CLASSES == 5);

/// Keeps frames away that would bring a third sender to a set of two ways: tables may forget then,
/// and the model does not.
#[derive(Debug, Default)]
pub struct Crowds(BTreeMap<(usize, u32), BTreeSet<u64>>);

impl Crowds {
    /// Whether there is room for a sender in the set of a table; takes it if so.
    pub fn admit(&mut self, table: usize, set: u32, tag: u64) -> bool {
        let senders = self.0.entry((table, set)).or_default();
        senders.contains(&tag) || senders.len() < 2 && senders.insert(tag)
    }

    /// Whether there is nobody else in the one place of a table; takes it if so.
    pub fn alone(&mut self, table: usize, set: u32, tag: u64) -> bool {
        let senders = self.0.entry((table, set)).or_default();
        senders.contains(&tag) || senders.is_empty() && senders.insert(tag)
    }

    /// The number that a source is charged under.
    pub fn number(packet: &Packet) -> u64 {
        source_number(&packet.source)
    }
}
