//! What the observed packets say: which services are met, by whom, and who that may be.
//!
//! The kernel observes a few packets a tick, those that passed and those that were stopped with
//! budgets of their own. So each observed packet stands for as many as came of its class and fate
//! since the last one, divided by those observed; what passed and what was stopped are weighed apart.
//! A share estimated so is as good as one of `weight² / Σ weight²` equal packets, and its bounds are
//! Wilson's for that number (Wilson, "Probable inference, the law of succession, and statistical
//! inference", 1927).
//!
//! Memory: for each vector [`STEPS`] steps of [`SERVICES`] services and two [`Epoch`]s, at most 6 MiB in all.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use filter_common::abi::reason::Action;

use super::{
    epoch::Epoch,
    familiar::Familiar,
    harm::Hit,
    input::{Fate, Observed, Snapshot},
    rates::Rates,
    vector::Vector,
};

/// Observed packets that are looked at in a step; of more, every second or third.
pub const LOOKED_AT: usize = 4_096;
/// Services that are told apart in a step of a vector.
const SERVICES: usize = 64;
/// How far back shares of services look at most.
const BACK: Duration = Duration::from_secs(3);
/// Steps that are kept at most.
const STEPS: usize = 32;
/// So many observed packets are enough for a share.
const ENOUGH: u32 = 24;
/// How long packets wait for an observed one to stand for them.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an epoch lasts.
const EPOCH: Duration = Duration::from_secs(5);

/// IP protocol and port of this host.
pub type Service = (u8, u16);

/// What the observed packets say, by vector.
#[derive(Debug, Default)]
pub struct Profile {
    vectors: BTreeMap<Vector, Seen>,
    /// Networks of calm time.
    pub familiar: Familiar,
    proven_stopped: f64,
    hits: Vec<Hit>,
}

/// What was observed of a vector.
#[derive(Debug)]
pub struct Seen {
    steps: VecDeque<Step>,
    passed: Waiting,
    stopped: Waiting,
    /// The last few seconds.
    pub current: Epoch,
    /// The few seconds before.
    pub previous: Option<Epoch>,
}

/// Packets that no observed packet stands for yet.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    packets: f64,
    since: Duration,
}

#[derive(Debug)]
struct Step {
    end: Duration,
    samples: u32,
    weight: f64,
    squares: f64,
    /// Of the weight, what went to the stack.
    passed: f64,
    services: BTreeMap<Service, Weight>,
}

/// What observed packets of a service stand for.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    all: f64,
    passed: f64,
}

/// An estimated share, and its bounds (95 %).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// The estimate, 0 to 1.
    pub share: f64,
    /// Not less than this.
    pub least: f64,
    /// Not more than this.
    pub most: f64,
}

impl Profile {
    /// Takes what was observed since the step before. `is_calm` says whether sources may be
    /// remembered as familiar.
    pub fn read(&mut self, snapshot: &Snapshot, rates: &Rates, is_calm: bool) {
        let now = snapshot.elapsed;
        let listening: BTreeSet<Service> = snapshot.listening.iter().copied().collect();
        let each = snapshot.observed.len().div_ceil(LOOKED_AT).max(1);
        let mut by_vector: BTreeMap<Vector, Vec<&Observed>> = BTreeMap::new();
        for packet in snapshot.observed.iter().step_by(each) {
            if let Some(vector) = Vector::of(packet.class) {
                by_vector.entry(vector).or_default().push(packet);
            }
        }
        self.proven_stopped = 0.0;
        self.hits.clear();
        for vector in Vector::ALL {
            let Some(class) = vector.class() else {
                continue;
            };
            let (came, stopped) = rates.fresh(class);
            let packets = by_vector.remove(&vector).unwrap_or_default();
            let seen = self.vectors.entry(vector).or_insert_with(|| Seen::new(now));
            let weights = seen.weigh(&packets, came, stopped, now);
            let mut step = Step::new(now);
            for packet in packets {
                let is_stopped = matches!(packet.fate, Fate::Stopped(_));
                let weight = if is_stopped { weights.1 } else { weights.0 };
                let is_familiar = self.familiar.knows(packet.source);
                seen.current.add(packet, weight, is_familiar);
                step.add(service(packet, &listening), weight, is_stopped);
                // Whose SYN is answered gets a connection, and lost nothing.
                if packet.is_proven
                    && let Fate::Stopped(reason) | Fate::Watched(reason) = packet.fate
                    && reason.action() == Action::Drop
                {
                    if is_stopped {
                        self.proven_stopped += weight;
                    }
                    self.hits.push(Hit {
                        source: packet.source,
                        reason,
                        stopped: is_stopped,
                        packets: weight,
                    });
                }
                if is_calm && !is_stopped {
                    self.familiar.learn(packet.source, now);
                }
            }
            seen.end(step, now);
        }
    }

    /// What was observed of a vector. Handshakes are counted and not observed; who completes them
    /// is among those who send SYNs.
    pub fn seen(&self, vector: Vector) -> Option<&Seen> {
        let observed = if vector.class().is_none() {
            Vector::Syn
        } else {
            vector
        };
        self.vectors.get(&observed)
    }

    /// Forgets what was observed of a vector before something began.
    pub fn restart(&mut self, vector: Vector, now: Duration) {
        if let Some(seen) = self.vectors.get_mut(&vector) {
            seen.current = Epoch::new(now);
            seen.previous = None;
        }
    }

    /// Proven sources that were met since the step before, or would have been.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Packets of proven sources that were stopped in the last step, as far as observed ones tell.
    pub const fn proven_stopped(&self) -> f64 {
        self.proven_stopped
    }
}

impl Seen {
    fn new(now: Duration) -> Self {
        Self {
            steps: VecDeque::new(),
            passed: Waiting::default(),
            stopped: Waiting::default(),
            current: Epoch::new(now),
            previous: None,
        }
    }

    /// What each observed packet stands for: one that passed, one that was stopped.
    fn weigh(
        &mut self,
        packets: &[&Observed],
        came: f64,
        stopped: f64,
        now: Duration,
    ) -> (f64, f64) {
        let is_stopped = |packet: &&&Observed| matches!(packet.fate, Fate::Stopped(_));
        let observed = packets.iter().filter(is_stopped).count();
        (
            self.passed
                .weigh((came - stopped).max(0.0), packets.len() - observed, now),
            self.stopped.weigh(stopped, observed, now),
        )
    }

    fn end(&mut self, step: Step, now: Duration) {
        self.steps.push_back(step);
        let is_old = |step: &Step| now.saturating_sub(step.end) >= BACK;
        while self.steps.front().is_some_and(is_old) || self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        if now.saturating_sub(self.current.began) >= EPOCH {
            self.previous = Some(std::mem::replace(&mut self.current, Epoch::new(now)));
        }
    }

    /// Steps from the newest back, as many as are enough.
    fn enough(&self) -> impl Iterator<Item = &Step> {
        let mut samples = 0_u32;
        self.steps.iter().rev().take_while(move |step| {
            let go_on = samples < ENOUGH;
            samples = samples.saturating_add(step.samples);
            go_on
        })
    }

    /// Services that observed packets met of late, and with which share.
    pub fn services(&self) -> BTreeMap<Service, Share> {
        let mut sums: BTreeMap<Service, f64> = BTreeMap::new();
        let (mut weight, mut squares) = (0.0, 0.0);
        for step in self.enough() {
            weight += step.weight;
            squares += step.squares;
            for (service, more) in &step.services {
                *sums.entry(*service).or_default() += more.all;
            }
        }
        let number = if squares > 0.0 {
            weight * weight / squares
        } else {
            0.0
        };
        sums.into_iter()
            .map(|(service, sum)| (service, Share::of(sum / weight, number)))
            .collect()
    }

    /// Which share of what passed each service got; `None` if nothing was seen to pass of late. Where
    /// nearly all is stopped, what passes is for other services than what comes.
    pub fn passed(&self) -> Option<BTreeMap<Service, f64>> {
        let mut sums: BTreeMap<Service, f64> = BTreeMap::new();
        let mut weight = 0.0;
        for step in self.enough() {
            weight += step.passed;
            for (service, more) in &step.services {
                *sums.entry(*service).or_default() += more.passed;
            }
        }
        sums.values_mut().for_each(|sum| *sum /= weight);
        (weight > 0.0).then_some(sums)
    }

    /// The share of what was not observed; `None` if nothing was observed of late.
    pub fn unseen(&self) -> Option<Share> {
        let (weight, squares) = self.enough().fold((0.0, 0.0), |(weight, squares), step| {
            (weight + step.weight, squares + step.squares)
        });
        (squares > 0.0).then(|| Share::of(0.0, weight * weight / squares))
    }

    /// Both epochs, the newer first.
    pub fn epochs(&self) -> impl Iterator<Item = &Epoch> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
    }
}

impl Waiting {
    fn weigh(&mut self, packets: f64, observed: usize, now: Duration) -> f64 {
        if self.packets <= 0.0 || now.saturating_sub(self.since) > PATIENCE {
            *self = Self {
                packets: 0.0,
                since: now,
            };
        }
        self.packets += packets;
        if observed == 0 {
            return 0.0;
        }
        // An observed packet is at least itself, though its counter was read a moment before.
        let weight = (self.packets / observed as f64).max(1.0);
        self.packets = 0.0;
        weight
    }
}

impl Step {
    const fn new(end: Duration) -> Self {
        Self {
            end,
            samples: 0,
            weight: 0.0,
            squares: 0.0,
            passed: 0.0,
            services: BTreeMap::new(),
        }
    }

    fn add(&mut self, service: Option<Service>, weight: f64, is_stopped: bool) {
        let passed = if is_stopped { 0.0 } else { weight };
        self.samples = self.samples.saturating_add(1);
        self.weight += weight;
        self.squares += weight * weight;
        self.passed += passed;
        if let Some(service) = service
            && (self.services.len() < SERVICES || self.services.contains_key(&service))
        {
            let sum = self.services.entry(service).or_default();
            sum.all += weight;
            sum.passed += passed;
        }
    }
}

impl Share {
    /// A share of so many equal packets, with Wilson's bounds.
    pub fn of(share: f64, number: f64) -> Self {
        const Z: f64 = 1.96;
        if number <= 0.0 || !share.is_finite() {
            return Self {
                share: 0.0,
                least: 0.0,
                most: 1.0,
            };
        }
        let share = share.clamp(0.0, 1.0);
        let square = Z * Z / number;
        let middle = (share + square / 2.0) / (1.0 + square);
        let reach =
            Z / (1.0 + square) * (share * (1.0 - share) / number + square / (4.0 * number)).sqrt();
        Self {
            share,
            least: (middle - reach).max(0.0),
            most: (middle + reach).min(1.0),
        }
    }
}

/// The service of this host that a packet is for; none if nobody listens there.
fn service(packet: &Observed, listening: &BTreeSet<Service>) -> Option<Service> {
    let (_, port) = packet.ports?;
    let service = (packet.protocol, port);
    (listening.is_empty() || listening.contains(&service)).then_some(service)
}

#[cfg(test)]
mod tests;
