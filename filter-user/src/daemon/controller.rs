//! Drives the controller: tells it what was read of a moment ten times a second, carries out what it
//! decides, and finds out what it asks.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use filter_common::{
    abi::{defence::PortSet, traffic::place},
    logic::{address::Address, packet::protocol},
};
use ipnet::IpNet;

use super::{
    handle::Service as _,
    observe,
    state::{Daemon, failed},
};
use crate::{
    api::types::ErrorKind,
    clock,
    config::{Config, detection::Detection},
    core::{actor::Actor, command::Command, guard, refusal::Refusal},
    dataplane::{Counters, Dataplane, Traffic},
    detect::{
        Controller, Memory, Observed, Output, Snapshot, Standing,
        input::{Handshakes, InterfaceReading, Stack},
        output::Refused,
    },
    host::{sockets, stack::Card},
};

/// Between looks at what changes slowly: the stack, the cards.
const SECOND: Duration = Duration::from_secs(1);
/// Sources whose connections are looked for at once, four times a second at most.
const AT_ONCE: usize = sockets::PEERS / 4;
const BETWEEN: Duration = Duration::from_millis(250);
/// Sources that may wait for that.
const WAITING: usize = 1_024;
/// Observed packets that the controller is told of in a step; of more, some are left out evenly.
const OBSERVED: usize = 1_024;
/// Observed packets that wait for a step.
const MOST_OBSERVED: usize = 65_536;
/// TCP ports whose handshakes are read.
const PORTS: usize = 256;
/// Members of a neighbourhood that are looked at: those of the widest that is banned.
const NEIGHBOURS: usize = 65_536;
/// Refusals that are remembered, so that each is told once.
const REFUSALS: usize = 64;

/// The controller, and what is read for it.
#[derive(Debug)]
pub struct Driver {
    pub(super) controller: Controller,
    start: Instant,
    observed: Vec<Observed>,
    stack: Stack,
    cards: BTreeMap<String, Card>,
    second: Instant,
    asked: VecDeque<IpAddr>,
    ask: Instant,
    refusals: VecDeque<String>,
}

impl Driver {
    /// A controller that remembers what an earlier one learned.
    pub(super) fn new(config: &Detection, memory: Memory, now: Instant) -> Self {
        Self {
            controller: Controller::new(config.clone(), memory),
            start: now,
            observed: Vec::new(),
            stack: Stack::default(),
            cards: BTreeMap::new(),
            second: now,
            asked: VecDeque::new(),
            ask: now,
            refusals: VecDeque::new(),
        }
    }

    /// Takes what a reload says.
    pub(super) fn configure(&mut self, config: &Config) {
        self.controller.configure(config.detection.clone());
    }

    /// Notes a sampled packet for the next step.
    pub(super) fn observe(&mut self, packet: Observed) {
        // Where steps fail, nobody takes them.
        if self.observed.len() < MOST_OBSERVED {
            self.observed.push(packet);
        }
    }

    /// What was observed since the step before: all, or every so manieth.
    fn take_observed(&mut self) -> Vec<Observed> {
        let all = std::mem::take(&mut self.observed);
        let step = all.len().div_ceil(OBSERVED).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// Sources that are to be looked up next: each waits once.
    fn wait_for(&mut self, sources: &[IpAddr]) {
        for source in sources {
            if self.asked.len() < WAITING && !self.asked.contains(source) {
                self.asked.push_back(*source);
            }
        }
    }

    /// Whether this was not told of late.
    fn is_new(&mut self, refusal: &str) -> bool {
        if self.refusals.iter().any(|told| told == refusal) {
            return false;
        }
        if self.refusals.len() >= REFUSALS {
            self.refusals.pop_front();
        }
        self.refusals.push_back(refusal.to_owned());
        true
    }
}

impl<D: Dataplane> Daemon<D> {
    /// One step of the controller, with the counters of this moment.
    pub(super) fn step(&mut self, now: Instant, counters: Counters) {
        match self.observe_all(now, counters) {
            Ok(snapshot) => {
                self.troubles.remove("controller");
                let began = clock::monotonic();
                let output = self.driver.controller.step(&snapshot);
                let took = began.elapsed();
                let view = self.driver.controller.view().clone();
                self.seen(&snapshot.traffic, &view, took);
                self.act(output);
                self.remember_fingerprints();
            }
            Err(refusal) => self.trouble("controller", refusal.message),
        }
    }

    /// Carries out what the controller decided. What is refused is told, and stops nothing else.
    pub(super) fn act(&mut self, output: Output) {
        let commands = output.commands.into_iter();
        let refused: Vec<Refused> = commands
            .filter_map(|command| self.carry_out_all(command))
            .collect();
        self.driver.wait_for(&output.ask);
        let controller = &mut self.driver.controller;
        for news in controller.refused(&refused, &output.deeds, output.news) {
            self.news(news);
        }
    }

    /// Does what it can of a command, and gives what was refused.
    fn carry_out_all(&mut self, command: Command) -> Option<Refused> {
        if let Some(why) = self.is_over(&command) {
            return Some(Refused {
                command,
                prefixes: Vec::new(),
                why: why.to_owned(),
            });
        }
        let refusal = self.try_on(&command).err()?;
        let all = if let Command::Add { prefixes, .. } = &command {
            prefixes.clone()
        } else {
            Vec::new()
        };
        if all.len() < 2 || refusal.kind == ErrorKind::Failed {
            self.refused(&shown(&command), &refusal);
            return Some(Refused {
                command,
                prefixes: all,
                why: refusal.to_string(),
            });
        }
        // Whoever is spared spares no other.
        let mut refused = Vec::new();
        let mut why = None;
        for prefix in all {
            let mut one = command.clone();
            if let Command::Add { prefixes, .. } = &mut one {
                *prefixes = vec![prefix];
            }
            if let Err(refusal) = self.try_on(&one) {
                self.refused(&shown(&one), &refusal);
                refused.push(prefix);
                why.get_or_insert_with(|| refusal.to_string());
            }
        }
        Some(Refused {
            command,
            prefixes: refused,
            why: why?,
        })
    }

    /// Why there is nothing to let go of: it ended by itself, or an operator was faster. That is nobody's
    /// deed.
    fn is_over(&self, command: &Command) -> Option<&'static str> {
        let held = &self.state.held;
        let is_held = if let Command::Release { defence } = command {
            held.defences.contains_key(defence)
        } else if let Command::Raise { name } = command {
            held.limits.contains_key(name)
        } else {
            true
        };
        (!is_held).then_some("it was not held any more")
    }

    fn try_on(&mut self, command: &Command) -> Result<(), Refusal> {
        if let Command::Add { prefixes, .. } = command {
            self.check_neighbours(prefixes)?;
        }
        self.execute(&Actor::Controller, command.clone(), false)?;
        self.troubles.remove("acting");
        Ok(())
    }

    /// Refuses a ban of neighbours among whom somebody is good: the controller asked about those who
    /// send much, and who is good sends little.
    fn check_neighbours(&mut self, prefixes: &[IpNet]) -> Result<(), Refusal> {
        let wide = |prefix: &&IpNet| match prefix {
            IpNet::V4(net) => net.prefix_len() < 32,
            IpNet::V6(net) => net.prefix_len() < 64,
        };
        for prefix in prefixes.iter().filter(wide) {
            let members: Vec<IpAddr> = match prefix {
                IpNet::V4(net) => net
                    .trunc()
                    .hosts()
                    .take(NEIGHBOURS)
                    .map(IpAddr::V4)
                    .collect(),
                // Of IPv6, a /48 is known good as a whole.
                IpNet::V6(net) => vec![IpAddr::V6(net.network())],
            };
            for member in members {
                let is_good = self.plane.is_known_good(&Address::from(member));
                if is_good.map_err(failed)? {
                    return Err(Refusal::refused(format!(
                        "{member}, which is in {prefix}, is known good"
                    )));
                }
            }
            let healthy = self.host.is_any_healthy(*prefix).map_err(|error| {
                failed(format!(
                    "the connections of this host cannot be listed: {error}"
                ))
            })?;
            if healthy {
                return Err(Refusal::refused(format!(
                    "somebody in {prefix} holds a healthy session"
                )));
            }
        }
        Ok(())
    }

    fn refused(&mut self, what: &str, refusal: &Refusal) {
        let text = format!("the controller wanted to {what}, which was not done: {refusal}");
        if !self.driver.is_new(&text) {
            return;
        }
        match refusal.kind {
            // Something went wrong, and nobody said no.
            ErrorKind::Failed => self.trouble("acting", text),
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::NotPermitted => {
                self.tell(&Actor::Controller, "controller.refused", &text);
            }
        }
    }

    /// What is to be told of this moment.
    pub(super) fn observe_all(
        &mut self,
        now: Instant,
        counters: Counters,
    ) -> Result<Snapshot, Refusal> {
        let places = self.plane.traffic().map_err(failed)?;
        if now >= self.driver.second {
            self.driver.second = now + SECOND;
            self.driver.stack = self.host.stack();
            let names = self.terrain.indices.keys();
            self.driver.cards = names
                .map(|name| (name.clone(), self.host.card(name)))
                .collect();
        }
        let mut observed = self.driver.take_observed();
        self.prove(&mut observed);
        let interfaces = self.terrain.indices.iter().map(|(name, index)| {
            let card = self.driver.cards.get(name).copied().unwrap_or_default();
            let traffic = places.get(place(*index) as usize).copied();
            InterfaceReading {
                name: name.clone(),
                traffic: traffic.unwrap_or_default(),
                lost: card.lost,
                speed: card.speed,
            }
        });
        Ok(Snapshot {
            now: clock::now(),
            elapsed: now.saturating_duration_since(self.driver.start),
            traffic: sum(&places),
            interfaces: interfaces.collect(),
            counters: Box::new(counters),
            stack: self.driver.stack,
            observed,
            listening: self.listening(),
            handshakes: self.handshakes()?,
            standings: self.standings(now),
        })
    }

    /// Ports with servers.
    fn listening(&self) -> Vec<(u8, u16)> {
        let Some(composed) = &self.terrain.composed else {
            return Vec::new();
        };
        let of = |protocol: u8, set| composed.get(set).iter().map(move |port| (protocol, port));
        of(protocol::TCP, PortSet::TcpOpen)
            .chain(of(protocol::UDP, PortSet::UdpServes))
            .collect()
    }

    /// Handshakes at the ports that are listened on.
    fn handshakes(&mut self) -> Result<BTreeMap<u16, Handshakes>, Refusal> {
        let Some(composed) = &self.terrain.composed else {
            return Ok(BTreeMap::new());
        };
        let open = composed.get(PortSet::TcpOpen).iter();
        let ports: Vec<u16> = open.take(PORTS).collect();
        let readings = self.plane.cookie_ports(&ports).map_err(failed)?;
        let handshakes = readings.into_iter().map(|reading| Handshakes {
            accepted: reading.accepted,
            completed: reading.completed,
        });
        Ok(ports.into_iter().zip(handshakes).collect())
    }

    /// Says of observed packets whether their sources completed a handshake of late.
    fn prove(&mut self, observed: &mut [Observed]) {
        let sources: BTreeSet<IpAddr> = observed
            .iter()
            .filter(|packet| !packet.is_proven)
            .map(|packet| packet.source)
            .collect();
        let is_proven = |source: &IpAddr| {
            let proven = self.plane.is_proven(&Address::from(*source));
            // Who cannot be looked up is taken for a stranger.
            proven.unwrap_or(false)
        };
        let proven: BTreeSet<IpAddr> = sources.into_iter().filter(is_proven).collect();
        for packet in observed {
            packet.is_proven |= proven.contains(&packet.source);
        }
    }

    /// What was found out about sources that were asked for.
    fn standings(&mut self, now: Instant) -> Vec<Standing> {
        if now < self.driver.ask || self.driver.asked.is_empty() {
            return Vec::new();
        }
        self.driver.ask = now + BETWEEN;
        let count = AT_ONCE.min(self.driver.asked.len());
        let sources: Vec<IpAddr> = self.driver.asked.drain(..count).collect();
        let healthy = match self.host.healthy(&sources) {
            Ok(healthy) => healthy,
            Err(error) => {
                // Nobody is judged whose connections cannot be seen.
                self.trouble(
                    "standings",
                    format!("the connections of this host cannot be listed: {error}"),
                );
                return Vec::new();
            }
        };
        self.troubles.remove("standings");
        let standings = sources.into_iter().filter_map(|source| {
            let address = Address::from(source);
            Some(Standing {
                source,
                is_proven: self.plane.is_proven(&address).ok()?,
                is_known_good: self.plane.is_known_good(&address).ok()?,
                healthy_sessions: healthy.get(&sockets::unit(source)).copied().unwrap_or(0),
                is_untouchable: guard::is_untouchable(
                    source,
                    &self.state,
                    &self.config,
                    &self.facts,
                    clock::now(),
                ),
            })
        });
        standings.collect()
    }
}

/// All places together.
fn sum(places: &[Traffic]) -> Traffic {
    let mut all = Traffic::default();
    for (class, total) in all.iter_mut().enumerate() {
        for counter in places.iter().filter_map(|place| place.get(class)) {
            total.packets = total.packets.wrapping_add(counter.packets);
            total.bytes = total.bytes.wrapping_add(counter.bytes);
        }
    }
    all
}

/// A command of the controller in words.
fn shown(command: &Command) -> String {
    use crate::config::defence::name;
    match command {
        Command::Hold { defence, .. } => format!("hold {}", name(*defence)),
        Command::Release { defence } => format!("let go of {}", name(*defence)),
        Command::Lower { name, rate, .. } => format!("lower {name} to {rate}"),
        Command::Raise { name } => format!("give {name} back"),
        Command::Add { prefixes, .. } => match prefixes.as_slice() {
            [one] => format!("ban {one}"),
            many => format!("ban {} prefixes", many.len()),
        },
        Command::Remove { prefixes, .. } => match prefixes.as_slice() {
            [one] => format!("lift the ban of {one}"),
            many => format!("lift {} bans", many.len()),
        },
        Command::AddRule { rule, .. } => format!("add the rule {rule}"),
        Command::RemoveRules { .. } => "remove rules".to_owned(),
        Command::Flush { .. }
        | Command::Import { .. }
        | Command::SetLimit { .. }
        | Command::AutoLimit { .. }
        | Command::SetDefence { .. }
        | Command::AutoDefence { .. }
        | Command::SetMode { .. }
        | Command::Attach { .. }
        | Command::Detach { .. }
        | Command::Reload
        | Command::Try { .. }
        | Command::Confirm
        | Command::Undo => "do what is an operator's".to_owned(),
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Reads what was sampled: for whoever asks, and for the controller.
    pub(super) fn read_samples(&mut self) {
        let (album, driver) = (&mut self.album, &mut self.driver);
        self.plane.samples(&mut |sample| {
            album.keep(sample);
            if let Some(packet) = observe::packet(sample) {
                driver.observe(packet);
            }
        });
    }
}
