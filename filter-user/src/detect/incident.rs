//! Incidents: from the first vector that is under attack to the last that has recovered.
//!
//! One incident is open at a time, with all vectors. Its times are reckoned from the moment of its
//! detection by the time that never jumps, so that a clock that is set does not bend them. It is told
//! when it opens, when it closes, and at most once a second in between, when something changed.
//!
//! Memory: [`VECTORS`] vectors, [`ACTIONS`] actions, 512 sources and 4,096 proven addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    account::Account,
    harm::{Harm, Hit},
    input::{Snapshot, Stack},
    output::{Action, News, Report, SourceReport, VectorReport},
    profile::Profile,
    rates::Rates,
    sketch::TopK,
    strain::Strain,
    threat::Threat,
    vector::{Phase, Target, Vector},
    watch::Watch,
};
use crate::render::number;

/// Vectors at targets that a report has at most.
const VECTORS: usize = 64;
/// Actions that a report has at most: the first of them.
const ACTIONS: usize = 512;
/// Sources that a report has at most.
const SOURCES: usize = 32;
/// Addresses that are remembered to be proven.
const PROVEN: usize = 4_096;
/// How often changes are told at most.
const OFTEN: Duration = Duration::from_secs(1);
/// How often an open incident is told at least.
const SELDOM: Duration = Duration::from_secs(10);
/// The share of an attack that must be stopped for it to be mitigated.
const MITIGATED: f64 = 0.95;

/// What an incident is made of in a step.
#[derive(Clone, Copy, Debug)]
pub struct Scenery<'a> {
    /// What was read.
    pub snapshot: &'a Snapshot,
    /// The meter.
    pub rates: &'a Rates,
    /// What was observed.
    pub profile: &'a Profile,
    /// Everything that is watched.
    pub watch: &'a Watch,
    /// What is not calm.
    pub threats: &'a [Threat],
    /// What this host loses.
    pub strain: &'a Strain,
}

/// The book of incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    open: Option<Open>,
    proven: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Open {
    report: Report,
    detected: Duration,
    vectors: BTreeMap<(Vector, Target), Account>,
    sources: TopK<IpNet>,
    /// Packets that an observed one stood for at most: what makes sources uncertain.
    unit: f64,
    ended: Duration,
    told: Option<Duration>,
    seconds: Duration,
    is_changed: bool,
    strongest: f64,
    before: Stack,
    lost_before: BTreeMap<String, u64>,
    dropped_actions: usize,
    unmeasured: BTreeSet<String>,
    last: Duration,
    passed: f64,
    stopped: f64,
    good_stopped: f64,
    harm: Harm,
}

impl Incidents {
    /// Opens an incident if there is an attack and none is open. `next` is the number of the next
    /// one, and rises.
    pub fn open(&mut self, scenery: &Scenery<'_>, next: &mut u64) {
        let mut phases = scenery.threats.iter().map(|threat| threat.phase);
        if self.open.is_none() && phases.any(|phase| phase == Phase::Attack) {
            // Numbers begin with 1.
            let id = (*next).max(1);
            *next = id.saturating_add(1);
            self.open = Some(Open::new(id, scenery));
        }
    }

    /// Takes a step, after what was done in it, and tells of it.
    pub fn step(&mut self, scenery: &Scenery<'_>) -> Option<News> {
        self.learn_proofs(scenery.snapshot);
        let open = self.open.as_mut()?;
        let phases = || scenery.threats.iter().map(|threat| threat.phase);
        let is_attacked = phases().any(|phase| phase == Phase::Attack);
        let is_over = !is_attacked && !phases().any(|phase| phase == Phase::Recovering);
        open.step(scenery, is_attacked);
        let now = scenery.snapshot.elapsed;
        if is_over {
            open.report.end = Some(open.at(open.ended));
            let report = open.report(&self.proven);
            self.open = None;
            return Some(News::Closed(Box::new(report)));
        }
        if !open.is_due(now) {
            return None;
        }
        open.is_changed = false;
        let is_told = open.told.replace(now).is_some();
        let report = Box::new(open.report(&self.proven));
        Some(if is_told {
            News::Updated(report)
        } else {
            News::Opened(report)
        })
    }

    /// Notes what was done.
    pub fn act<'a>(&mut self, actions: impl Iterator<Item = &'a Action>) {
        let Some(open) = &mut self.open else {
            return;
        };
        for action in actions {
            open.is_changed = true;
            if open.report.actions.len() < ACTIONS {
                open.report.actions.push(action.clone());
            } else {
                open.dropped_actions += 1;
            }
        }
    }

    /// Notes who was met that should not be, in the one that is open.
    pub fn hit(&mut self, hits: &[Hit], elapsed: Duration) {
        if let Some(open) = &mut self.open {
            open.harm.add(hits, elapsed);
        }
    }

    /// What was done in the one that is open.
    pub fn actions_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Action> {
        let open = self.open.iter_mut();
        open.flat_map(|open| &mut open.report.actions)
    }

    /// Number of the one that is open.
    pub fn number(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.report.id)
    }

    /// What is known of a vector at a target in the one that is open.
    pub fn vector(&self, vector: Vector, target: &Target) -> Option<VectorReport> {
        let open = self.open.as_ref()?;
        let account = open.vectors.get(&(vector, target.clone()))?;
        Some(account.report(vector, target))
    }

    /// Whether an address can be forged, as far as is known.
    pub fn may_be_forged(&self, prefix: &IpNet) -> bool {
        let is_host = prefix.prefix_len() == prefix.max_prefix_len();
        !is_host || !self.proven.contains(&prefix.addr())
    }

    fn learn_proofs(&mut self, snapshot: &Snapshot) {
        let told = snapshot
            .standings
            .iter()
            .filter(|standing| standing.is_proven);
        let seen = snapshot.observed.iter().filter(|packet| packet.is_proven);
        let sources = told
            .map(|standing| standing.source)
            .chain(seen.map(|packet| packet.source));
        for source in sources {
            if self.proven.len() >= PROVEN {
                if self.open.is_some() {
                    return;
                }
                self.proven.clear();
            }
            self.proven.insert(source);
        }
    }
}

impl Open {
    fn new(id: u64, scenery: &Scenery<'_>) -> Self {
        let snapshot = scenery.snapshot;
        let (now, elapsed) = (snapshot.now, snapshot.elapsed);
        let since = |threat: &Threat| {
            let level = threat.usual + (threat.threshold - threat.usual) / 4.0;
            scenery.rates.since_above(threat.vector, level)
        };
        let attacks = scenery.threats.iter().filter(|t| t.phase == Phase::Attack);
        let earlier = attacks.map(since).max().unwrap_or_default();
        let interfaces = snapshot.interfaces.iter();
        Self {
            report: Report {
                id,
                first: shifted(now, -signed(earlier)),
                detected: now,
                peak: now,
                ..Report::default()
            },
            detected: elapsed,
            vectors: BTreeMap::new(),
            sources: TopK::new(512),
            unit: 1.0,
            ended: elapsed,
            told: None,
            seconds: elapsed,
            is_changed: false,
            strongest: 0.0,
            before: snapshot.stack,
            lost_before: interfaces
                .filter_map(|interface| Some((interface.name.clone(), interface.lost?)))
                .collect(),
            dropped_actions: 0,
            unmeasured: BTreeSet::new(),
            last: elapsed,
            passed: 0.0,
            stopped: 0.0,
            good_stopped: 0.0,
            harm: Harm::default(),
        }
    }

    /// The wall-clock time of a moment, as it was set when the incident was detected.
    fn at(&self, elapsed: Duration) -> Timestamp {
        shifted(
            self.report.detected,
            signed(elapsed.saturating_sub(self.detected)),
        )
    }

    fn is_due(&self, now: Duration) -> bool {
        self.told.is_none_or(|told| {
            let since = now.saturating_sub(told);
            since >= SELDOM || self.is_changed && since >= OFTEN
        })
    }

    fn step(&mut self, scenery: &Scenery<'_>, is_attacked: bool) {
        let now = scenery.snapshot.elapsed;
        let seconds = now.saturating_sub(self.last).as_secs_f64();
        if seconds > 1.5 {
            self.unmeasured
                .insert("some time between readings that came late".to_owned());
        }
        self.last = now;
        if is_attacked {
            self.ended = now;
        }
        self.good_stopped += scenery.profile.proven_stopped();
        self.keep_accounts(scenery, seconds.min(10.0));
        self.look_at_peak(scenery);
        if is_attacked && self.report.mitigated.is_none() {
            self.look_for_mitigation(scenery);
        }
        if now.saturating_sub(self.seconds) >= Duration::from_secs(1) || self.sources.is_empty() {
            self.seconds = now;
            self.count_sources(scenery);
        }
        self.report.losses = self.losses(scenery.snapshot);
        self.unmeasured
            .extend(scenery.strain.mute.iter().take(8).cloned());
        if !scenery.watch.counts_handshakes() {
            self.unmeasured
                .insert("completed handshakes: none was counted".to_owned());
        } else {
            self.unmeasured
                .remove("completed handshakes: none was counted");
        }
    }

    fn keep_accounts(&mut self, scenery: &Scenery<'_>, seconds: f64) {
        for account in self.vectors.values_mut() {
            account.phase = Phase::Calm;
        }
        for (vector, target, watched) in scenery.watch.restless() {
            let phase = watched.track.phase;
            let key = (vector, target.clone());
            if phase == Phase::Suspected && !self.vectors.contains_key(&key)
                || self.vectors.len() >= VECTORS && !self.vectors.contains_key(&key)
            {
                continue;
            }
            let account = self.vectors.entry(key).or_insert_with(|| {
                self.is_changed = true;
                Account::default()
            });
            let (passed, stopped) = account.step(watched, vector, phase, seconds);
            self.passed += passed;
            self.stopped += stopped;
            self.is_changed |= account.take_changed();
        }
    }

    fn look_at_peak(&mut self, scenery: &Scenery<'_>) {
        let attacks = scenery.threats.iter().filter(|t| t.phase == Phase::Attack);
        let rate: f64 = attacks.map(|threat| threat.rate).sum();
        if rate > self.strongest {
            self.is_changed |= rate > 1.1 * self.strongest;
            self.strongest = rate;
            self.report.peak = self.at(scenery.snapshot.elapsed);
        }
    }

    fn look_for_mitigation(&mut self, scenery: &Scenery<'_>) {
        let (mut excess, mut stopped) = (0.0, 0.0);
        for threat in scenery.threats {
            if threat.phase == Phase::Attack && threat.rate >= threat.threshold {
                excess += (threat.passed - threat.usual).max(0.0);
                stopped += (threat.rate - threat.passed).max(0.0);
            }
        }
        if stopped > 0.0 && stopped >= MITIGATED * (stopped + excess) {
            self.report.mitigated = Some(self.at(scenery.snapshot.elapsed));
            self.is_changed = true;
        }
    }

    fn count_sources(&mut self, scenery: &Scenery<'_>) {
        for threat in scenery.threats {
            if threat.phase != Phase::Attack {
                continue;
            }
            for heavy in threat.heavy.iter().take(SOURCES) {
                let packets = heavy.rate.round().max(1.0);
                self.sources.add(heavy.prefix, packets as u64);
                // The error of a count of k units is 1.96 √k of them.
                let unit = (heavy.error / 1.96).powi(2) / packets;
                self.unit = self.unit.max(unit);
            }
        }
    }

    fn losses(&self, snapshot: &Snapshot) -> Vec<String> {
        let (new, old) = (&snapshot.stack, &self.before);
        let mut losses: Vec<String> = [
            (
                new.listen_drops.saturating_sub(old.listen_drops),
                "connections found a listener's queue full",
            ),
            (
                new.udp_drops.saturating_sub(old.udp_drops),
                "datagrams found a socket's buffer full",
            ),
            (
                new.backlog_drops.saturating_sub(old.backlog_drops),
                "packets found a CPU's backlog full",
            ),
        ]
        .into_iter()
        .filter(|(lost, _)| *lost > 0)
        .map(|(lost, what)| format!("{} {what}", number::grouped(lost)))
        .collect();
        for interface in snapshot.interfaces.iter().take(64) {
            let before = self.lost_before.get(&interface.name);
            if let (Some(new), Some(old)) = (interface.lost, before)
                && new > *old
            {
                let lost = number::grouped(new.saturating_sub(*old));
                let name = &interface.name;
                losses.push(format!(
                    "{lost} packets were lost before the filter at {name}"
                ));
            }
        }
        losses
    }

    fn report(&self, proven: &BTreeSet<IpAddr>) -> Report {
        let mut report = self.report.clone();
        let vectors = self.vectors.iter();
        report.vectors = vectors
            .map(|((vector, target), account)| account.report(*vector, target))
            .collect();
        let sources = self.sources.top(SOURCES).into_iter();
        report.sources = sources
            .map(|source| {
                let is_host = source.key.prefix_len() == source.key.max_prefix_len();
                let chance = 1.96 * (source.count as f64 * self.unit).sqrt();
                SourceReport {
                    prefix: source.key,
                    packets: source.count,
                    error: source.error.saturating_add(chance as u64).min(source.count),
                    may_be_forged: !(is_host && proven.contains(&source.key.addr())),
                }
            })
            .collect();
        report.passed = self.passed as u64;
        report.stopped = self.stopped as u64;
        report.good_stopped = self.good_stopped as u64;
        report.hit = self.harm.report();
        report.unmeasured = self.unmeasured.iter().cloned().collect();
        if self.dropped_actions > 0 {
            let more = self.dropped_actions;
            report
                .unmeasured
                .push(format!("{more} more actions are not listed"));
        }
        report
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// A time that far away, or the same where there is none.
fn shifted(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(time)
}
