//! Attacks on the controller itself: slow ramps, decoys in calm, pulses that make it work, and more
//! sources than it can remember.

use std::time::Duration;

use filter_user::{
    config::detection::Detection,
    detect::{Phase, Target, Vector, baseline::floor, output::News, view::Memory},
};
use serde::Serialize;

use super::{
    attacks::ATTACKS,
    calm::Calm,
    flow::Side,
    host::Machine,
    trial::{self, STEP, Tolls, VISITORS},
    world::World,
};

/// What came of a trick.
#[derive(Clone, Debug, Serialize)]
pub struct Trick {
    /// Its name.
    pub name: &'static str,
    /// What was asked.
    pub wanted: String,
    /// What came of it.
    pub found: String,
    /// Whether it is as wanted.
    pub is_met: bool,
}

/// All of them.
pub fn all(memory: &Memory, seed: u64) -> Vec<Trick> {
    let mut tricks = vec![ramp(memory, seed), pulses(memory, seed)];
    tricks.push(decoys(seed));
    tricks.push(lasting_decoys(seed));
    tricks.extend(crowded(seed));
    tricks
}

fn world(memory: &Memory, machine: Machine, seed: u64) -> (World, Calm) {
    let calm = Calm::new(VISITORS, false);
    let config = Detection::default();
    let world = World::new(calm.flows(), machine, config, memory.clone(), seed);
    (world, calm)
}

fn attack(world: &mut World, name: &str, rate: f64) {
    let found = ATTACKS.iter().find(|attack| attack.name == name);
    world.join(found.map(|attack| attack.flows(rate)).unwrap_or_default());
}

fn sets(world: &mut World, rate: f64) {
    let flows = world.flows.iter_mut();
    for flow in flows.filter(|flow| flow.side == Side::Attack) {
        flow.rate = rate;
    }
}

/// A flood that begins unnoticed and doubles every half day.
fn ramp(memory: &Memory, seed: u64) -> Trick {
    let (mut world, calm) = world(memory, Machine::SMALL, seed);
    attack(&mut world, "udp-open", 100.0);
    let days = 10.0;
    let mut found = None;
    while found.is_none() && world.elapsed() < Duration::from_secs_f64(days * 86_400.0) {
        let now = world.elapsed();
        calm.set(&mut world.flows, now);
        let age = now.as_secs_f64() / 86_400.0;
        let sent = 100.0 * (2.0 * age).exp2();
        sets(&mut world, sent);
        world.step(Duration::from_secs(10));
        found = Noticed::of(&world, age, sent);
    }
    Trick {
        name: "ramp",
        wanted:
            "UDP that doubles every half day from 100/s is noticed above the threshold, and that \
                 within the growth bound: at most twice the floor, times 1.25 a day"
                .to_owned(),
        is_met: found.as_ref().is_some_and(Noticed::is_due),
        found: found.map_or_else(|| "not noticed".to_owned(), |it| it.tell()),
    }
}

/// A ramp of UDP when it was noticed.
struct Noticed {
    /// Days since it began.
    age: f64,
    /// What it sends, packets a second.
    sent: f64,
    /// At whom it was noticed.
    target: Target,
    /// UDP there, calm traffic included, as the controller estimates it, packets a second.
    rate: f64,
    /// From which rate on it is noticed there.
    threshold: f64,
}

impl Noticed {
    /// Nothing if no UDP is an attack: what else there is may be one for another reason.
    fn of(world: &World, age: f64, sent: f64) -> Option<Self> {
        let vectors = &world.controller.view().vectors;
        let noticed = vectors
            .iter()
            .find(|it| it.vector == Vector::Udp && it.phase == Phase::Attack)?;
        let normal = world.controller.memory().baselines.normal(
            Vector::Udp,
            &noticed.target,
            jiff::Timestamp::UNIX_EPOCH,
            &Detection::default(),
        );
        Some(Self {
            age,
            sent,
            target: noticed.target.clone(),
            rate: noticed.peak_packets,
            threshold: normal.threshold,
        })
    }

    /// Whether it was above the threshold, and that within its bound.
    fn is_due(&self) -> bool {
        let bound = 2.0 * floor(Vector::Udp) * 1.25_f64.powf(self.age + 1.0) * 1.01;
        self.rate >= self.threshold && self.threshold <= bound
    }

    fn tell(&self) -> String {
        format!(
            "noticed after {:.1} days, when it was {:.0}/s, and UDP at {} estimated at {:.0}/s; \
             threshold there {:.0}/s",
            self.age, self.sent, self.target, self.rate, self.threshold
        )
    }
}

/// Ten minutes of floods of a second each, another vector each time.
fn pulses(memory: &Memory, seed: u64) -> Trick {
    const NAMES: [&str; 8] = [
        "syn-random",
        "udp-open",
        "icmp-echo",
        "connections-16",
        "amp-dns",
        "syn-closed",
        "proto-gre",
        "udp-frag",
    ];
    let (mut world, calm) = world(memory, Machine::SMALL, seed);
    let mut actions: Vec<(Duration, u32)> = Vec::new();
    let mut tolls = Tolls::default();
    for pulse in 0..200_usize {
        let name = NAMES.get(pulse % NAMES.len()).copied().unwrap_or_default();
        attack(&mut world, name, 60_000.0);
        for at in 0..30 {
            if at == 10 {
                world.part();
            }
            let now = world.elapsed();
            calm.set(&mut world.flows, now);
            let step = world.step(STEP);
            if step.actions > 0 {
                actions.push((world.elapsed(), step.actions));
            }
            tolls.add(&step);
        }
    }
    let most = actions
        .iter()
        .map(|(end, _)| {
            let within = actions
                .iter()
                .filter(|(at, _)| at <= end && *end - *at < Duration::from_secs(60));
            within.map(|(_, count)| count).sum::<u32>()
        })
        .max();
    let most = most.unwrap_or(0);
    let bound = Detection::default().actions;
    Trick {
        name: "pulses",
        wanted: format!(
            "200 pulses of a second, eight vectors in turn: at most {bound} actions a minute, calm harmed at most 0.1 %"
        ),
        found: format!(
            "{most} actions in the busiest minute, {} in all, calm dropped {:.4} %, {:.1} % of the pulses stopped",
            tolls.actions,
            tolls.calm.harm() * 100.0,
            100.0 * tolls.attack.kept / tolls.attack.came.max(1.0)
        ),
        is_met: most <= bound && tolls.calm.harm() <= 0.001,
    }
}

/// What came of a flood that was announced.
struct Announced {
    tolls: Tolls,
    /// Whether a rule was suggested.
    is_suggested: bool,
}

impl Announced {
    fn stopped(&self) -> f64 {
        self.tolls.attack.kept / self.tolls.attack.came.max(1.0)
    }

    fn tell(&self) -> String {
        let suggested = if self.is_suggested {
            ", a rule suggested"
        } else {
            ""
        };
        format!(
            "{:.1} % stopped, calm dropped {:.4} %{suggested}",
            self.stopped() * 100.0,
            self.tolls.calm.harm() * 100.0
        )
    }
}

/// An hour of calm with packets like those of the flood to come, so that they count as calm.
fn announced(name: &str, seed: u64) -> Announced {
    let (mut world, calm) = world(&Memory::default(), Machine::SMALL, seed);
    attack(&mut world, name, 300.0);
    while world.elapsed() < Duration::from_secs(3_600) {
        let now = world.elapsed();
        calm.set(&mut world.flows, now);
        world.step(Duration::from_secs(1));
    }
    sets(&mut world, 300_000.0);
    let mut announced = Announced {
        tolls: Tolls::default(),
        is_suggested: false,
    };
    for _ in 0..200 {
        let now = world.elapsed();
        calm.set(&mut world.flows, now);
        let step = world.step(STEP);
        announced.tolls.add(&step);
        announced.is_suggested |=
            step.output.news.iter().any(
                |news| matches!(news, News::Notice(text) if text.contains("floodwall rule add")),
            );
    }
    announced
}

/// Decoys from forged addresses, as a flood has them.
fn decoys(seed: u64) -> Trick {
    let found = announced("udp-open", seed);
    Trick {
        name: "decoys",
        wanted: "300 packets/s like those of the flood, from random sources, for an hour, then \
                 300,000/s: the fingerprint is found all the same, and at least 80 % of 20 s are \
                 stopped"
            .to_owned(),
        found: found.tell(),
        is_met: found.stopped() >= 0.8 && found.tolls.calm.harm() <= 0.001,
    }
}

/// Decoys from the same 4,096 addresses all the time: so does a service that nobody opens by TCP.
fn lasting_decoys(seed: u64) -> Trick {
    let found = announced("amp-unlisted", seed);
    Trick {
        name: "lasting decoys",
        wanted:
            "likewise from 4,096 reflectors that return all the time, as a service's clients do: \
                 the rule is suggested at least, and calm is not harmed"
                .to_owned(),
        found: found.tell(),
        is_met: (found.is_suggested || found.stopped() >= 0.8) && found.tolls.calm.harm() <= 0.001,
    }
}

/// A step with a million sources observed, on 256 CPUs and 200 cards.
fn crowded(seed: u64) -> Vec<Trick> {
    let (mut world, calm) = world(&Memory::default(), Machine::LARGE, seed);
    attack(&mut world, "hash-flood", 1e8);
    let mut costs: Vec<f64> = (0..300)
        .map(|_| {
            let now = world.elapsed();
            calm.set(&mut world.flows, now);
            world.step(STEP).cost.as_secs_f64() * 1e3
        })
        .collect();
    let all = anonymous();
    costs.sort_by(f64::total_cmp);
    let (median, p99) = (trial::quantile(&costs, 0.5), trial::quantile(&costs, 0.99));
    let mut tricks = vec![Trick {
        name: "crowded",
        wanted:
            "a step with 1 M sources, some 38,000 packets observed in each, 200 interfaces: 10 ms"
                .to_owned(),
        found: format!("median {median:.1} ms, 99 % within {p99:.1} ms"),
        is_met: p99 <= 10.0,
    }];
    tricks.extend(all.map(|all| {
        Trick {
            name: "memory",
            wanted:
                "anonymous memory of the simulator then, core and world together: at most 60 MiB"
                    .to_owned(),
            found: format!("{:.1} MiB", all as f64 / 1024.0),
            is_met: all <= 60 * 1024,
        }
    }));
    tricks
}

/// Anonymous memory of this process in KiB, where the kernel tells.
fn anonymous() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
