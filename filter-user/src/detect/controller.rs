//! The order of a step.

use std::collections::VecDeque;

use filter_common::abi::traffic::TrafficClass;

use super::{
    fingerprint::Fingerprints,
    harm::Harm,
    incident::{Incidents, Scenery},
    input::Snapshot,
    output::{Action, Deed, News, Output, Refused, SourceReport, VectorReport},
    policy::Policy,
    profile::Profile,
    rates::{FAST, Rates, STEADY},
    scene::{Decided, Scene},
    strain::Meter,
    threat::Threat,
    vector::{Phase, Target, Vector},
    view::{ClassRate, Memory, Total, View},
    watch::Watch,
    watched::Moment,
};
use crate::config::detection::Detection;

/// Actions that the view has at most.
const ACTIONS: usize = 64;
/// Chooses which samples of calm are kept: the same for the same input.
const SEED: u64 = 0x666C_6F6F_6477_616C;
/// Sources that the view has at most.
const SOURCES: usize = 32;

/// The machine. Whoever drives it gives it a [`Snapshot`] ten times a second.
#[derive(Debug)]
pub struct Controller {
    config: Detection,
    memory: Memory,
    view: View,
    rates: Rates,
    profile: Profile,
    strain: Meter,
    watch: Watch,
    harm: Harm,
    incidents: Incidents,
    decision: Decision,
    actions: VecDeque<Action>,
    seconds: usize,
}

/// What decides: defences, limits and bans first, then fingerprints of what still passes.
#[derive(Debug)]
struct Decision {
    policy: Policy,
    fingerprints: Fingerprints,
}

impl Decision {
    fn new(memory: &Memory) -> Self {
        Self {
            policy: Policy::default(),
            fingerprints: Fingerprints::new(SEED, memory.fingerprints.clone()),
        }
    }

    fn decide(&mut self, scene: &Scene<'_>, hurts: bool) -> Decided {
        let mut decided = self.policy.decide(scene);
        let may_act = || self.policy.may_limit(scene.config);
        let found = self.fingerprints.consider(scene, hurts, may_act);
        decided.commands.extend(found.commands);
        decided.ask.extend(found.ask);
        decided.deeds.extend(found.deeds);
        decided.notices.extend(found.notices);
        decided
    }
}

impl Controller {
    /// A controller that remembers what an earlier one learned.
    pub fn new(config: Detection, memory: Memory) -> Self {
        let decision = Decision::new(&memory);
        Self {
            config,
            memory,
            view: View::default(),
            rates: Rates::default(),
            profile: Profile::default(),
            strain: Meter::default(),
            watch: Watch::default(),
            harm: Harm::default(),
            incidents: Incidents::default(),
            decision,
            actions: VecDeque::new(),
            seconds: 0,
        }
    }

    /// Takes another configuration; what was learned stays.
    pub fn configure(&mut self, config: Detection) {
        self.config = config;
    }

    /// Takes what was read of a moment, and gives what is to be done.
    pub fn step(&mut self, snapshot: &Snapshot) -> Output {
        self.strain.read(snapshot);
        let mut news = Vec::new();
        if self.rates.read(snapshot) {
            news = self.detect(snapshot);
        }
        let threats = self.watch.threats(&self.profile, snapshot.elapsed);
        let scenery = Scenery {
            snapshot,
            rates: &self.rates,
            profile: &self.profile,
            watch: &self.watch,
            threats: &threats,
            strain: self.strain.strain(),
        };
        let next = &mut self.memory.next_incident;
        self.incidents.open(&scenery, next);
        let scene = Scene {
            now: snapshot.now,
            elapsed: snapshot.elapsed,
            threats: &threats,
            standings: &snapshot.standings,
            snapshot,
            config: &self.config,
            // What is suspected for days is not calm either way; what becomes an attack is forgotten.
            calm: !threats
                .iter()
                .any(|threat| matches!(threat.phase, Phase::Attack | Phase::Recovering)),
            incident: self.incidents.number(),
        };
        let decided = self.decision.decide(&scene, scenery.strain.hurts());
        self.memory.fingerprints = self.decision.fingerprints.stored(snapshot.elapsed);
        self.incidents
            .act(decided.deeds.iter().map(|deed| &deed.action));
        news.extend(self.incidents.step(&scenery));
        for deed in &decided.deeds {
            if self.actions.len() >= ACTIONS {
                self.actions.pop_back();
            }
            self.actions.push_front(deed.action.clone());
        }
        news.extend(decided.notices.into_iter().map(News::Notice));
        self.look(snapshot, &threats);
        Output {
            commands: decided.commands,
            deeds: decided.deeds,
            ask: decided.ask,
            news,
        }
    }

    /// Hears what of a step's output was not done, so that nobody is told that it was, and returns
    /// that output's news put right.
    pub fn refused(
        &mut self,
        refused: &[Refused],
        deeds: &[Deed],
        mut news: Vec<News>,
    ) -> Vec<News> {
        for refusal in refused {
            self.decision.policy.refused(refusal);
            let by = |deed: &&Deed| deed.command == refusal.command;
            let Some(Deed { action, .. }) = deeds.iter().find(by) else {
                continue;
            };
            let told = news.iter_mut().filter_map(|news| match news {
                News::Opened(report) | News::Updated(report) | News::Closed(report) => Some(report),
                News::Notice(_) => None,
            });
            let told = told.flat_map(|report| report.actions.iter_mut().rev());
            let kept = self.incidents.actions_mut().rev();
            for told in told.chain(kept).chain(&mut self.actions) {
                if *told == *action {
                    refusal.mark(told);
                }
            }
        }
        news
    }

    /// What is to outlive a restart.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What it sees at the moment, for whoever looks.
    pub fn view(&self) -> &View {
        &self.view
    }

    fn detect(&mut self, snapshot: &Snapshot) -> Vec<News> {
        let moment = Moment {
            now: snapshot.now,
            elapsed: snapshot.elapsed,
            config: &self.config,
            rates: &self.rates,
            strain: self.strain.strain(),
        };
        for vector in self.watch.onsets(&moment, &self.memory.baselines) {
            self.profile.restart(vector, snapshot.elapsed);
        }
        let is_calm = Vector::ALL.iter().all(|vector| self.watch.is_calm(*vector));
        self.profile.read(snapshot, &self.rates, is_calm);
        self.harm.add(self.profile.hits(), snapshot.elapsed);
        self.incidents.hit(self.profile.hits(), snapshot.elapsed);
        self.watch
            .step(&moment, &self.profile, &mut self.memory.baselines)
    }

    fn look(&mut self, snapshot: &Snapshot, threats: &[Threat]) {
        let steady = self.rates.over(STEADY);
        let baselines = &self.memory.baselines;
        let rates = TrafficClass::ALL.iter().map(|class| {
            let usual = Vector::of(*class).and_then(|vector| {
                baselines
                    .normal(vector, &Target::Host, snapshot.now, &self.config)
                    .usual
            });
            let of = |by_class: &[f64]| {
                let sum = by_class.get(*class as usize).copied().unwrap_or(0.0);
                steady.per_second(sum)
            };
            ClassRate {
                class: Vector::of(*class).map_or("other", Vector::name).to_owned(),
                packets: of(&steady.packets),
                bits: of(&steady.bytes) * 8.0,
                usual,
            }
        });
        let view = &mut self.view;
        view.at = snapshot.now;
        view.rates = rates.collect();
        view.incident = self.incidents.number();
        view.bottleneck = self.strain.strain().bottleneck();
        view.actions = self.actions.iter().cloned().collect();
        view.vectors = threats
            .iter()
            .map(|threat| report(threat, &self.incidents))
            .collect();
        view.vectors_now = threats.iter().map(|threat| threat.rate).collect();
        view.sources = sources(threats, &self.incidents);
        let fast = self.rates.over(FAST);
        // A step's estimate leaps; a second's mean does not.
        let good = fast.per_second(self.profile.proven_stopped());
        view.good_dropped += (good - view.good_dropped) * fast.seconds.clamp(0.0, 1.0);
        if view.good_dropped < 0.01 {
            view.good_dropped = 0.0;
        }
        let seconds = self.rates.seconds();
        if seconds != self.seconds {
            self.seconds = seconds;
            self.harm.forget(snapshot.elapsed);
            view.hit = self.harm.report();
            view.history = self
                .rates
                .history()
                .map(|second| Total {
                    packets: second.packets,
                    stopped: second.stopped,
                    bits: second.bits,
                })
                .collect();
        }
    }
}

/// A vector that is not calm: as the open incident knows it, else as it is now.
fn report(threat: &Threat, incidents: &Incidents) -> VectorReport {
    if let Some(report) = incidents.vector(threat.vector, &threat.target) {
        return report;
    }
    VectorReport {
        vector: threat.vector,
        target: threat.target.clone(),
        phase: threat.phase,
        spoofed: threat.spoofed,
        usual: threat.usual,
        peak_packets: threat.rate,
        peak_bits: 0.0,
        mean_packets: threat.rate,
        mean_bits: 0.0,
        evidence: threat.evidence.clone(),
    }
}

/// Sources that send most of what is not calm.
fn sources(threats: &[Threat], incidents: &Incidents) -> Vec<SourceReport> {
    let loud = threats
        .iter()
        .filter(|threat| matches!(threat.phase, Phase::Suspected | Phase::Attack));
    let mut sources: Vec<SourceReport> = Vec::new();
    for heavy in loud.flat_map(|threat| &threat.heavy) {
        let (packets, error) = (heavy.rate as u64, heavy.error as u64);
        match sources.iter_mut().find(|s| s.prefix == heavy.prefix) {
            // The same observed packets tell two targets of one vector.
            Some(source) => {
                source.packets = source.packets.max(packets);
                source.error = source.error.max(error);
            }
            None => sources.push(SourceReport {
                prefix: heavy.prefix,
                packets,
                error,
                may_be_forged: incidents.may_be_forged(&heavy.prefix),
            }),
        }
    }
    sources.sort_by(|a, b| b.packets.cmp(&a.packets).then(a.prefix.cmp(&b.prefix)));
    sources.truncate(SOURCES);
    sources
}

#[cfg(test)]
mod tests;
