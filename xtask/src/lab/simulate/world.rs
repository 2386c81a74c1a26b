//! A world in steps: flows come in, the filter judges them, the controller reads and acts.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter, happened, observed},
        reason::Reason,
        traffic::{TRAFFIC_CLASSES, TrafficClass},
    },
    logic::packet::protocol,
};
use filter_user::{
    config::detection::Detection,
    core::command::Command,
    detect::{
        Controller, Fate, Output, Snapshot, Standing,
        input::{Handshakes, InterfaceReading, Stack},
        sketch::{Random, mix},
        view::Memory,
    },
};
use jiff::{SignedDuration, Timestamp};

use super::{
    super::clock,
    calm::PARTNER,
    filter::{Filter, Verdict},
    flow::{Bond, Flow, Side},
    host::{Behind, Machine},
    people::{People, Spread},
};

/// Ports of this host that somebody listens on.
pub const LISTENING: [(u8, u16); 7] = [
    (6, 443),
    (6, 22),
    (6, 873),
    (17, 443),
    (17, 53),
    (17, 27_015),
    (17, 51_820),
];
/// Packets observed a second on a CPU: those that passed, and those that did not.
const OBSERVED: [f64; 2] = [250.0, 500.0];
/// Packets observed in one step at most, in a step longer than usual.
const MOST_OBSERVED: usize = 256;
/// A Monday.
const BEGIN: i64 = 1_764_547_200;

/// What happened to one side, in packets and in connections that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Toll {
    /// Packets sent.
    pub sent: f64,
    /// Of these, those that came to the filter.
    pub came: f64,
    /// Of these, those that the filter stopped, other than to answer, or for want of answers.
    pub stopped: f64,
    /// Of these, those that the filter kept from the stack, answers included.
    pub kept: f64,
    /// Of these, those that link, cards or stack lost.
    pub lost: f64,
    /// Connections asked for.
    pub asked: f64,
    /// Of these, those that the filter stopped, other than for want of answers.
    pub refused: f64,
    /// Of these, those that found a ceiling of answers.
    pub unanswered: f64,
}

/// What became of a step's SYNs of one sender, each the first of a connection, and what becomes of those
/// sent again in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// Connections asked for.
    pub asked: f64,
    /// The share of these whose first SYN comes to nothing.
    pub fails: f64,
    /// Likewise of SYNs that are sent again for the first, the second and the third time.
    pub again: [f64; 3],
}

impl Toll {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.came += other.came;
        self.stopped += other.stopped;
        self.kept += other.kept;
        self.lost += other.lost;
        self.asked += other.asked;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
    }

    /// A share of what was sent.
    pub fn share(&self, part: f64) -> f64 {
        if self.sent > 0.0 {
            part / self.sent
        } else {
            0.0
        }
    }

    /// What the filter took, the worse of packets and connections.
    pub fn harm(&self) -> f64 {
        let connections = if self.asked > 0.0 {
            self.refused / self.asked
        } else {
            0.0
        };
        self.share(self.stopped).max(connections)
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Step {
    /// What the controller answered.
    pub output: Output,
    /// Calm traffic.
    pub calm: Toll,
    /// The attack.
    pub attack: Toll,
    /// Of calm traffic, the partner's SYNs.
    pub partner: Attempts,
    /// Actions that came into force: renewals and ends are none.
    pub actions: u32,
    /// What it cost.
    pub cost: Duration,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// What comes in: the rates may be changed before each step.
    pub flows: Vec<Flow>,
    /// The filter.
    pub filter: Filter,
    /// The core.
    pub controller: Controller,
    machine: Machine,
    behind: Behind,
    snapshot: Snapshot,
    listening: BTreeSet<(u8, u16)>,
    waves: Vec<f64>,
    handshakes: Vec<(u16, f64, f64)>,
    passed: Vec<f64>,
    commands: Vec<Command>,
    ask: Vec<IpAddr>,
    random: Random,
}

impl World {
    /// A world whose controller remembers.
    pub fn new(
        flows: Vec<Flow>,
        machine: Machine,
        config: Detection,
        memory: Memory,
        seed: u64,
    ) -> Self {
        let now = Timestamp::from_second(BEGIN).unwrap_or_default();
        let interfaces = (0..machine.cards).map(|card| InterfaceReading {
            name: format!("eth{card}"),
            lost: Some(0),
            speed: Some(machine.speed),
            ..InterfaceReading::default()
        });
        Self {
            waves: vec![0.0; flows.len()],
            passed: vec![1.0; flows.len()],
            flows,
            filter: Filter::new(&LISTENING, machine.cpus, seed ^ 0xF117E8),
            controller: Controller::new(config, memory),
            machine,
            behind: Behind::default(),
            snapshot: Snapshot {
                now,
                elapsed: Duration::ZERO,
                traffic: [Counter::default(); TRAFFIC_CLASSES],
                interfaces: interfaces.collect(),
                counters: Box::new([Counter::default(); COUNTERS as usize]),
                handshakes: std::collections::BTreeMap::new(),
                stack: Stack::default(),
                observed: Vec::new(),
                standings: Vec::new(),
                listening: LISTENING.to_vec(),
            },
            listening: LISTENING.into_iter().collect(),
            handshakes: Vec::new(),
            commands: Vec::new(),
            ask: Vec::new(),
            random: Random::new(seed),
        }
    }

    /// Adds flows.
    pub fn join(&mut self, flows: Vec<Flow>) {
        self.waves.resize(self.flows.len() + flows.len(), 0.0);
        self.passed.resize(self.flows.len() + flows.len(), 1.0);
        self.flows.extend(flows);
    }

    /// Sends the attackers away.
    pub fn part(&mut self) {
        // Calm flows come first.
        self.flows.retain(|flow| flow.side != Side::Attack);
        self.waves.truncate(self.flows.len());
        self.passed.truncate(self.flows.len());
    }

    /// How long it has lasted.
    pub const fn elapsed(&self) -> Duration {
        self.snapshot.elapsed
    }

    /// Lets time pass.
    pub fn step(&mut self, length: Duration) -> Step {
        let seconds = length.as_secs_f64();
        self.snapshot.elapsed += length;
        let signed = SignedDuration::try_from(length).unwrap_or_default();
        self.snapshot.now = self.snapshot.now.checked_add(signed).unwrap_or_default();
        let mut actions = 0;
        for command in std::mem::take(&mut self.commands) {
            let is_new = self
                .filter
                .obey(&command, &self.flows, self.snapshot.elapsed);
            actions += u32::from(is_new);
        }
        let sent = self.send(seconds);
        let (wire, card) = self.machine.arrives(&self.flows, &sent);
        let rates: Vec<f64> = sent.iter().map(|rate| rate * wire * card).collect();
        let now = self.snapshot.elapsed;
        let verdicts = self.filter.judge(&self.flows, &rates, now, seconds);
        let (machine, listening) = (self.machine, &self.listening);
        let backlog = self
            .behind
            .take(machine, &self.flows, &rates, &verdicts, listening, seconds);
        self.snapshot.stack = self.behind.stack;
        let packets: Vec<f64> = rates.iter().map(|rate| rate * seconds).collect();
        self.count(&packets, &verdicts, card);
        self.shake_hands(&packets, &verdicts, length);
        self.observe(&packets, &verdicts, seconds);
        self.answer();
        let mut step = self.toll(&sent, &verdicts, (wire * card, backlog), seconds);
        self.passed = verdicts
            .iter()
            .map(|verdict| verdict.left + verdict.answered())
            .collect();
        step.actions = actions;
        let began = clock::now();
        step.output = self.controller.step(&self.snapshot);
        step.cost = began.elapsed();
        self.commands.clone_from(&step.output.commands);
        self.ask.clone_from(&step.output.ask);
        step
    }

    /// What is sent now, packets a second.
    fn send(&mut self, seconds: f64) -> Vec<f64> {
        let mut sent = Vec::with_capacity(self.flows.len());
        for (at, flow) in self.flows.iter().enumerate() {
            let keep = (-seconds / 5.0).exp();
            let mut noise = gauss(&mut self.random);
            if let Some(wave) = self.waves.get_mut(at) {
                *wave = *wave * keep + noise * (1.0 - keep * keep).sqrt();
                noise = *wave;
            }
            let led = flow.follows.and_then(|leader| {
                let at = self.flows.iter().position(|flow| flow.name == leader)?;
                self.passed.get(at)
            });
            let led = if flow.shares_fate {
                1.0
            } else {
                led.copied().unwrap_or(1.0)
            };
            let mean = flow.rate * led * (1.0 + flow.wave * noise).max(0.0) * seconds;
            // A page is six connections at once.
            let clump = if flow.side == Side::Attack { 1.0 } else { 6.0 };
            let packets = mean + (mean * clump).sqrt() * gauss(&mut self.random);
            let whole = if mean < 20.0 {
                let mean = mean.max(0.0);
                mean.floor() + f64::from(u8::from(self.random.unit() < mean.fract()))
            } else {
                packets.max(0.0).round()
            };
            sent.push(whole / seconds);
        }
        sent
    }

    fn count(&mut self, packets: &[f64], verdicts: &[Verdict], card: f64) {
        let mut lost = 0.0;
        let mut now = [Counter::default(); TRAFFIC_CLASSES];
        for ((flow, packets), verdict) in self.flows.iter().zip(packets).zip(verdicts) {
            let length = flow.mean_length() + 14.0;
            let random = &mut self.random;
            let mut add = |counter: Option<&mut Counter>, packets: f64| {
                if let Some(counter) = counter {
                    let whole = (packets + random.unit()) as u64;
                    counter.packets += whole;
                    counter.bytes += (whole as f64 * length) as u64;
                }
            };
            add(now.get_mut(flow.class as usize), *packets);
            lost += packets * (1.0 / card - 1.0);
            let counters = &mut self.snapshot.counters;
            let passed = if flow.bond == Bond::Established {
                Reason::Established
            } else {
                Reason::Clean
            };
            add(
                counters.get_mut(happened(passed) as usize),
                packets * verdict.left,
            );
            for (reason, share) in &verdict.stopped {
                add(
                    counters.get_mut(happened(*reason) as usize),
                    packets * share,
                );
            }
            for (reason, share) in &verdict.watched {
                add(
                    counters.get_mut(observed(reason.code()) as usize),
                    packets * share,
                );
            }
        }
        let cards = u64::from(self.machine.cards.max(1));
        for (sum, more) in self.snapshot.traffic.iter_mut().zip(&now) {
            sum.packets += more.packets;
            sum.bytes += more.bytes;
        }
        for interface in &mut self.snapshot.interfaces {
            for (sum, more) in interface.traffic.iter_mut().zip(&now) {
                sum.packets += more.packets / cards;
                sum.bytes += more.bytes / cards;
            }
            interface.lost = interface.lost.map(|sum| sum + lost as u64 / cards);
        }
    }

    /// Handshakes are completed a round trip after their SYNs.
    fn shake_hands(&mut self, packets: &[f64], verdicts: &[Verdict], length: Duration) {
        let due: Vec<(u16, f64, f64)> = std::mem::take(&mut self.handshakes);
        for ((flow, packets), verdict) in self.flows.iter().zip(packets).zip(verdicts) {
            if let Some(port) = flow.port().filter(|_| flow.completes > 0.0) {
                let accepted = packets * verdict.answered() * flow.completes;
                let passed = packets * verdict.left * flow.completes;
                self.handshakes.push((port, accepted, passed));
            }
        }
        let due = if length > Duration::from_millis(200) {
            std::mem::take(&mut self.handshakes)
        } else {
            due
        };
        for (port, accepted, passed) in due {
            let of: &mut Handshakes = self.snapshot.handshakes.entry(port).or_default();
            let whole = (accepted + self.random.unit()) as u64;
            of.accepted += whole;
            of.completed += whole + (passed + self.random.unit()) as u64;
        }
    }

    /// Each CPU has a budget of its own: what one peer sends fills that of one.
    fn observe(&mut self, packets: &[f64], verdicts: &[Verdict], seconds: f64) {
        self.snapshot.observed.clear();
        for (is_stopped, each) in [(false, OBSERVED[0]), (true, OBSERVED[1])] {
            let mut pools: [Vec<(f64, usize, Fate)>; 2] = Default::default();
            for (at, (packets, verdict)) in packets.iter().zip(verdicts).enumerate() {
                let is_single = self.flows.get(at).is_some_and(|flow| flow.is_single);
                let Some(pool) = pools.get_mut(usize::from(is_single)) else {
                    continue;
                };
                if is_stopped {
                    let of = verdict.stopped.iter();
                    pool.extend(
                        of.map(|(reason, share)| (packets * share, at, Fate::Stopped(*reason))),
                    );
                } else {
                    let mut left = verdict.left;
                    for (reason, share) in &verdict.watched {
                        pool.push((packets * share, at, Fate::Watched(*reason)));
                        left -= share;
                    }
                    pool.push((packets * left.max(0.0), at, Fate::Passed));
                }
            }
            let [spread, single] = pools;
            let usual = seconds <= 0.25;
            let cpu = each * seconds;
            let cpus = f64::from(self.machine.cpus);
            let sum = |pool: &[(f64, usize, Fate)]| pool.iter().map(|it| it.0).sum::<f64>();
            let (alone, others) = (sum(&single), sum(&spread));
            let shared = others / cpus;
            let of_one = cpu * alone / (alone + shared).max(1e-9);
            let budget = [(cpu * cpus - of_one).max(0.0), of_one];
            for (pool, (budget, there)) in [spread, single]
                .iter()
                .zip(budget.into_iter().zip([others, alone]))
            {
                let mut number = budget.min(there);
                if !usual {
                    number = number.min(MOST_OBSERVED as f64);
                }
                let number = (number + self.random.unit()) as usize;
                self.draw(pool, there, number);
            }
        }
    }

    fn draw(&mut self, pool: &[(f64, usize, Fate)], all: f64, number: usize) {
        if all <= 0.0 {
            return;
        }
        for _ in 0..number {
            let mut at = self.random.unit() * all;
            let chosen = pool.iter().find(|(packets, ..)| {
                at -= packets;
                at <= 0.0
            });
            if let Some((_, flow, fate)) = chosen
                && let Some(flow) = self.flows.get(*flow)
            {
                let packet = flow.packet(*fate, &mut self.random);
                self.snapshot.observed.push(packet);
            }
        }
    }

    fn answer(&mut self) {
        self.snapshot.standings.clear();
        for source in std::mem::take(&mut self.ask) {
            let standing = self.standing(source);
            self.snapshot.standings.push(standing);
        }
    }

    /// What the kernel would say of a source.
    fn standing(&mut self, source: IpAddr) -> Standing {
        let mut standing = Standing {
            source,
            is_proven: false,
            is_known_good: false,
            healthy_sessions: 0,
            is_untouchable: false,
        };
        for flow in &self.flows {
            let Some(rank) = flow.who.rank(source) else {
                continue;
            };
            let is_tcp = flow.protocol == protocol::TCP;
            let luck = self.random.unit();
            // An attack shows as what it does: it completes handshakes, and holds nothing.
            if is_tcp && (flow.completes > 0.0 || flow.bond == Bond::Established)
                || flow.proven > 0.0
            {
                standing.is_proven = true;
            }
            if flow.side == Side::Calm && flow.bond == Bond::Established && is_tcp {
                // Connections of pages come and go; where many are, some last.
                let people = flow.who.behind(rank);
                let chance = 1.0 - 0.5_f64.powf(people.min(20.0));
                standing.healthy_sessions += u32::from(luck < chance);
                standing.is_known_good |= is_regular(flow.who, rank);
            }
            if matches!(flow.name, "resolver" | "time server") {
                standing.is_untouchable = true;
            }
        }
        standing
    }

    fn toll(
        &self,
        sent: &[f64],
        verdicts: &[Verdict],
        (arrives, backlog): (f64, f64),
        seconds: f64,
    ) -> Step {
        let mut step = Step::default();
        for ((flow, rate), verdict) in self.flows.iter().zip(sent).zip(verdicts) {
            let packets = rate * seconds;
            let here = packets * arrives;
            let mut toll = Toll {
                sent: packets,
                came: here,
                stopped: here * verdict.lost(),
                kept: here * (1.0 - verdict.left),
                lost: packets - here + here * verdict.left * backlog,
                ..Toll::default()
            };
            if flow.class == TrafficClass::Syn {
                let unanswered = verdict.unanswered();
                let through = arrives * (verdict.left * (1.0 - backlog) + verdict.answered());
                toll.stopped -= here * unanswered;
                toll.asked = packets;
                toll.refused = here * (verdict.lost() - unanswered).max(0.0);
                toll.unanswered = here * unanswered;
                if flow.side == Side::Calm && flow.who == PARTNER {
                    let fails = (1.0 - through).clamp(0.0, 1.0);
                    step.partner = Attempts {
                        asked: packets,
                        fails,
                        again: verdict.again.map(|it| fails * (1.0 - it * arrives)),
                    };
                }
            }
            match flow.side {
                Side::Calm => step.calm.add(&toll),
                Side::Attack => step.attack.add(&toll),
                Side::Noise => {}
            }
        }
        step
    }
}

/// Half of single visitors and of carriers' addresses were here and good on another day.
fn is_regular(who: People, rank: u32) -> bool {
    match who {
        People::Hosts { spread, .. } => match spread {
            Spread::Even | Spread::Zipf | Spread::Shared => mix(u64::from(rank)) & 1 == 0,
        },
        People::Anybody { .. } | People::Walk { .. } => false,
    }
}

/// About a normal deviate: the sum of twelve even ones (Irwin and Hall), of which four will do.
fn gauss(random: &mut Random) -> f64 {
    let sum: f64 = (0..4).map(|_| random.unit()).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}
