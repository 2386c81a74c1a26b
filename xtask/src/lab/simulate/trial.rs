//! One attack against one world.

use std::time::Duration;

use filter_user::{
    config::detection::Detection,
    detect::{Phase, output::News, sketch::Random, view::Memory},
};
use serde::Serialize;

use super::{
    attacks::{Attack, Promise},
    calm::Calm,
    filter::PAUSES,
    host::Machine,
    world::{Attempts, Step, Toll, World},
};

/// A usual step.
pub const STEP: Duration = Duration::from_millis(100);
/// Calm before an attack, the last part of it in usual steps; and of who has learned nothing.
const BEFORE: Duration = Duration::from_secs(600);
const CLOSE: Duration = Duration::from_secs(30);
const FIRST: Duration = Duration::from_secs(60);
/// An attack, and a very strong one.
const DURING: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(10)];
/// An attack in pulses.
const PULSING: Duration = Duration::from_secs(70);
/// How long is waited at most for the end of what was done.
const AFTER: Duration = Duration::from_secs(600);
/// Steps of calm.
const SOON: Duration = Duration::from_secs(1);
/// Steps of that time.
const SLOW: Duration = Duration::from_millis(500);
/// The share of an attack that must be stopped.
const ENOUGH: f64 = 0.95;
/// Steps over which it must be.
const LASTING: usize = 10;
/// Connections a second that visitors open on average.
pub const VISITORS: f64 = 100.0;
/// Packets a second from which on an attack is sent to a larger machine.
const MEDIUM: f64 = 5e6;
const LARGE: f64 = 5e7;

/// What came of an attack.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Row of the catalogue.
    pub row: u8,
    /// The attack.
    pub name: &'static str,
    /// The seed.
    pub seed: u64,
    /// Packets a second.
    pub rate: f64,
    /// Seconds from the first packet to detection.
    pub detected: Option<f64>,
    /// Seconds from the first packet until 95 % were stopped, and stayed so.
    pub mitigated: Option<f64>,
    /// The share of the attack that was stopped, of what came to the filter.
    pub stopped: f64,
    /// The share of calm packets, or connections if that is more, that the filter took.
    pub harm: f64,
    /// The share of calm packets that link, cards and stack lost.
    pub lost: f64,
    /// The share of calm connections whose first SYN found a ceiling of answers.
    pub unanswered: f64,
    /// The share of the partner's connections of that time that came about, with up to four attempts.
    pub partner: f64,
    /// Whether the partner was ever banned.
    pub is_partner_banned: bool,
    /// Actions.
    pub actions: u32,
    /// Seconds from the last packet until nothing of it was in force.
    pub let_go: Option<f64>,
    /// Milliseconds that steps of the core took, while it was attacked.
    #[serde(skip)]
    pub costs: Vec<f64>,
    /// What was done, in words.
    pub did: Vec<String>,
}

/// The world of a seed: every other one has a CDN in front, and every fifth has learned nothing yet.
fn world(attack: &Attack, seed: u64, memory: &Memory) -> (World, Calm, Duration) {
    let mut random = Random::new(seed.wrapping_mul(0x9E37) ^ u64::from(attack.row));
    let mut calm = Calm::new(VISITORS, seed % 2 == 1);
    let at = Duration::from_secs(86_400 + random.below(6 * 86_400));
    if attack.promise == Promise::NoAttack {
        calm.crowds = vec![at + before(seed)];
    }
    let machine = match attack.rate(seed) {
        rate if rate >= LARGE => Machine::LARGE,
        rate if rate >= MEDIUM => Machine::MEDIUM,
        _ => Machine::SMALL,
    };
    let memory = if is_new(seed) {
        Memory::default()
    } else {
        memory.clone()
    };
    let world = World::new(
        calm.flows(),
        machine,
        Detection::default(),
        memory,
        random.word(),
    );
    (world, calm, at)
}

/// Whether the controller of a seed began a minute ago, and has learned nothing.
const fn is_new(seed: u64) -> bool {
    seed % 5 == 4
}

const fn before(seed: u64) -> Duration {
    if is_new(seed) { FIRST } else { BEFORE }
}

/// Lets an attack come, and leave.
pub fn run(attack: &Attack, seed: u64, memory: &Memory) -> Outcome {
    let (mut world, calm, at) = world(attack, seed, memory);
    let mut outcome = Outcome {
        row: attack.row,
        name: attack.name,
        seed,
        rate: attack.rate(seed),
        ..Outcome::default()
    };
    let mut tolls = Tolls::default();
    let before = before(seed);
    while world.elapsed() < before {
        let now = world.elapsed();
        calm.set(&mut world.flows, at + now);
        let is_close = now + CLOSE >= before;
        let step = world.step(if is_close { STEP } else { SOON });
        tolls.add(&step);
    }
    let began = world.elapsed();
    let lasts = match (attack.pulse, attack.promise) {
        // Until all have come and most have gone.
        (_, Promise::NoAttack) => Duration::from_secs(600),
        (Some(_), _) => PULSING,
        (None, _) => DURING[usize::from(outcome.rate >= LARGE)],
    };
    let calm_flows = world.flows.len();
    world.join(attack.flows(outcome.rate));
    let full: Vec<f64> = world.flows.iter().map(|flow| flow.rate).collect();
    let mut kept = Vec::new();
    let mut partner = Vec::new();
    while world.elapsed() < began + lasts {
        let now = world.elapsed();
        calm.set(&mut world.flows, at + now);
        let is_on = is_on(attack, world.elapsed() - began);
        for (flow, full) in world.flows.iter_mut().zip(&full).skip(calm_flows) {
            flow.rate = if is_on { *full } else { 0.0 };
        }
        let step = world.step(STEP);
        let since = (world.elapsed() - began).as_secs_f64();
        outcome.note(&world, &step, since);
        outcome.costs.push(step.cost.as_secs_f64() * 1e3);
        kept.push((step.attack.came, step.attack.kept));
        partner.push(step.partner);
        tolls.add(&step);
    }
    outcome.mitigated = mitigated(&kept);
    outcome.stopped = tolls.attack.kept / tolls.attack.came.max(1.0);
    world.part();
    let ended = world.elapsed();
    while world.elapsed() < ended + AFTER {
        let now = world.elapsed();
        calm.set(&mut world.flows, at + now);
        let step = world.step(SLOW);
        tolls.add(&step);
        let since = (world.elapsed() - began).as_secs_f64();
        outcome.note(&world, &step, since);
        if world.filter.is_default() && world.controller.view().incident.is_none() {
            outcome.let_go = Some((world.elapsed() - ended).as_secs_f64());
            break;
        }
    }
    outcome.harm = tolls.calm.harm();
    outcome.lost = tolls.calm.share(tolls.calm.lost);
    outcome.unanswered = tolls.calm.unanswered / tolls.calm.asked.max(1.0);
    outcome.partner = come_about(&partner);
    outcome.actions = tolls.actions;
    outcome
}

/// The share of connections that come about, if SYNs are sent again three times, when a client of Linux
/// does, and the attack goes on as in its last step.
fn come_about(steps: &[Attempts]) -> f64 {
    let (mut asked, mut failed) = (0.0, 0.0);
    for (at, step) in steps.iter().enumerate() {
        asked += step.asked;
        let mut fails = step.fails;
        let mut after = 0.0;
        for (nth, pause) in PAUSES.into_iter().enumerate() {
            after += pause;
            let then = at + (after / STEP.as_secs_f64()).round() as usize;
            let then = steps.get(then).or(steps.last());
            fails *= then
                .and_then(|it| it.again.get(nth))
                .copied()
                .unwrap_or(1.0);
        }
        failed += step.asked * fails;
    }
    1.0 - failed / asked.max(1.0)
}

fn is_on(attack: &Attack, since: Duration) -> bool {
    attack
        .pulse
        .is_none_or(|(on, off)| since.as_secs_f64() % (on + off).as_secs_f64() < on.as_secs_f64())
}

impl Outcome {
    fn note(&mut self, world: &World, step: &Step, since: f64) {
        let view = world.controller.view();
        let is_seen = view
            .vectors
            .iter()
            .any(|vector| vector.phase == Phase::Attack);
        if is_seen && self.detected.is_none() {
            self.detected = Some(since);
        }
        self.is_partner_banned |= world.filter.bans(super::calm::PARTNER);
        for news in &step.output.news {
            match news {
                News::Closed(report) => self.did.extend(
                    report
                        .actions
                        .iter()
                        .map(|action| format!("{}: {}", action.what, action.why)),
                ),
                News::Notice(text) => self.did.push(text.clone()),
                News::Opened(_) | News::Updated(_) => {}
            }
        }
    }
}

/// Seconds until 95 % are stopped, over the next second of attack as well.
fn mitigated(kept: &[(f64, f64)]) -> Option<f64> {
    let at = (0..kept.len()).find(|at| {
        let window = kept
            .iter()
            .skip(*at)
            .filter(|(came, _)| *came > 0.0)
            .take(LASTING);
        let mut sum = (0.0, 0.0);
        let mut first = None;
        for (came, kept) in window {
            sum = (sum.0 + came, sum.1 + kept);
            first.get_or_insert(kept / came);
        }
        first.is_some_and(|first| first >= ENOUGH) && sum.1 >= ENOUGH * sum.0
    })?;
    // The step in which it was stopped began so much after the first packet.
    Some(at as f64 * STEP.as_secs_f64())
}

/// Sums over steps.
#[derive(Clone, Debug, Default)]
pub struct Tolls {
    /// Calm traffic.
    pub calm: Toll,
    /// The attack.
    pub attack: Toll,
    /// Actions.
    pub actions: u32,
}

impl Tolls {
    /// Adds a step.
    pub fn add(&mut self, step: &Step) {
        self.calm.add(&step.calm);
        self.attack.add(&step.attack);
        self.actions += step.actions;
    }
}

/// What a controller knows after so many days of calm.
pub fn learn(days: f64, seed: u64) -> Memory {
    let calm = Calm::new(VISITORS, false);
    let config = Detection::default();
    let mut world = World::new(
        calm.flows(),
        Machine::SMALL,
        config,
        Memory::default(),
        seed,
    );
    let end = Duration::from_secs_f64(days * 86_400.0);
    while world.elapsed() < end {
        let now = world.elapsed();
        calm.set(&mut world.flows, now);
        world.step(Duration::from_secs(10));
    }
    world.controller.memory().clone()
}

/// A quantile of what is sorted; 0 of nothing.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted
        .get((last * share).round() as usize)
        .copied()
        .unwrap_or(0.0)
}
