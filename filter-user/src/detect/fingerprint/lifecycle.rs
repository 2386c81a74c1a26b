//! When fingerprints are looked for, tried, installed, kept and let go.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use filter_common::abi::reason::Reason;

use super::{
    calm::Calm,
    condition::fits,
    find::find,
    held::{Held, Stage, stay},
    score::{Aim, FEWEST, Fingerprint, again},
    share::{CONNECTIONS, TRAFFIC, grouped},
    stored::{self, Restored, Stored},
};
use crate::{
    config::detection::{Act, Detection},
    detect::{
        input::{Fate, Observed},
        output::{Action, Deed},
        scene::{Decided, Scene},
        threat::Threat,
        vector::{Phase, Target, Vector},
    },
    rules::{
        Rule,
        rule::{self, Matches},
    },
};

/// Fingerprints that are in force or tried at a time.
pub const MOST: usize = 8;
/// Samples of what passes that are kept during an attack.
const RECENT: usize = 4_096;
/// Older ones are of another attack.
const OLDEST: Duration = Duration::from_secs(3);
/// Likewise while all is calm: what began of late may turn out to be one.
const ONSET: Duration = Duration::from_millis(400);
/// So long others may meet what passes before a fingerprint is looked for.
const PATIENCE: Duration = Duration::from_millis(700);
/// Likewise, where the flood hurts.
const URGENCY: Duration = Duration::from_millis(300);
/// Between two searches, of whatever attack.
const REST: Duration = Duration::from_millis(500);
/// An attack that has no fingerprint is looked at again so late at most.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// Nobody needs to be told of the same more often.
const SILENCE: Duration = Duration::from_secs(600);
/// What turned out useless, or was taken away by somebody, is not tried again for so long.
const BARRED: Duration = Duration::from_secs(600);
/// Part of what passes unusually that a fingerprint must catch.
const WORTHWHILE: f64 = 0.3;
/// A flood hurts if so many times what is usual passes.
const MANY_TIMES: f64 = 10.0;
/// Matches that are remembered for the next pulse.
const REMEMBERED: usize = 16;
/// Threats, matches and suggestions that are remembered at a time.
const LISTED: usize = 64;

/// A vector at a target.
pub(super) type Attack = (Vector, Target);

/// Fingerprints over time. Memory is bounded: samples of calm and of attack, [`MOST`] fingerprints
/// and short lists.
#[derive(Debug)]
pub struct Fingerprints {
    calm: Calm,
    /// What passed of late, oldest first.
    recent: VecDeque<(Duration, Observed)>,
    held: Vec<Held>,
    leaks: BTreeMap<Attack, Leak>,
    /// Matches that were of use, the last one first.
    past: VecDeque<Matches>,
    barred: VecDeque<(Matches, Duration)>,
    told: VecDeque<(String, Duration)>,
    searched: Option<Duration>,
    hurts: bool,
    earlier: Earlier,
}

/// What an earlier daemon found.
#[derive(Debug)]
enum Earlier {
    /// As it is written down, until it is known what time it is.
    Unread(Vec<Stored>),
    /// Read at a moment.
    Read(Duration, Vec<Restored>),
}

/// An attack of which too much passes.
#[derive(Clone, Copy, Debug)]
struct Leak {
    since: Duration,
    /// Not looked at before.
    next: Duration,
    rest: Duration,
}

impl Fingerprints {
    /// None but those that an earlier daemon had in force, and nothing known of calm traffic. The same
    /// seed chooses the same samples.
    pub fn new(seed: u64, stored: Vec<Stored>) -> Self {
        Self {
            calm: Calm::new(seed),
            recent: VecDeque::new(),
            held: Vec::new(),
            leaks: BTreeMap::new(),
            past: VecDeque::new(),
            barred: VecDeque::new(),
            told: VecDeque::new(),
            searched: None,
            hurts: false,
            earlier: Earlier::Unread(stored),
        }
    }

    /// What is to outlive a restart.
    pub fn stored(&self, elapsed: Duration) -> Vec<Stored> {
        let is_held = |one: &&Restored| {
            let mut held = self.held.iter();
            held.any(|held| held.found.matches == one.found.matches)
        };
        let earlier = self.earlier(elapsed).filter(|one| !is_held(one));
        let earlier = earlier.map(|one| one.stored.clone());
        let held = self.held.iter().filter_map(Held::stored);
        held.chain(earlier).take(MOST).collect()
    }

    /// The sample of calm traffic.
    pub const fn calm(&self) -> &Calm {
        &self.calm
    }

    /// Takes what is seen at a moment, and gives what is to be done. `hurts` says whether the stack
    /// loses packets or connections, so that no trial can be waited for; `may_act` takes one of the
    /// minute's actions, if one is left.
    pub fn consider(
        &mut self,
        scene: &Scene<'_>,
        hurts: bool,
        mut may_act: impl FnMut() -> bool,
    ) -> Decided {
        let mut decided = Decided::default();
        self.hurts = hurts;
        if is_suggestion(scene.config) {
            // What is in force of an earlier word ends by itself, and is not renewed.
            self.held.clear();
        }
        self.look(scene);
        self.restore(scene, &mut decided);
        for held in &mut self.held {
            held.watch(scene, &self.calm);
        }
        self.settle(scene, &mut may_act, &mut decided);
        self.held.retain(|held| held.until > scene.elapsed);
        self.find_leaks(scene);
        if let Some(threat) = self.most_urgent(scene) {
            self.search(scene, threat, &mut may_act, &mut decided);
        }
        decided
    }

    /// Goes on with what an earlier daemon had in force: the kernel may have lost it with that one.
    fn restore(&mut self, scene: &Scene<'_>, decided: &mut Decided) {
        let Earlier::Unread(stored) = &mut self.earlier else {
            return;
        };
        let restored = stored::read(std::mem::take(stored), scene.now, stay(scene));
        if !is_suggestion(scene.config) {
            let harmless = restored
                .iter()
                .filter(|one| one.is_harmless(scene.config.max_collateral));
            for one in harmless.filter(|one| !one.left.is_zero()) {
                let (attack, found) = (one.attack.clone(), one.found.clone());
                let held = Held::installed(attack, found, scene, one.left);
                decided.commands.push(held.command(one.left));
                self.held.push(held);
            }
        }
        self.earlier = Earlier::Read(scene.elapsed, restored);
    }

    /// What an earlier daemon found, as long as it says something and nothing was said against it.
    fn earlier(&self, elapsed: Duration) -> impl Iterator<Item = &Restored> {
        let (since, restored) = match &self.earlier {
            Earlier::Read(since, restored) => (*since, restored.as_slice()),
            Earlier::Unread(_) => (Duration::ZERO, Default::default()),
        };
        let age = elapsed.saturating_sub(since);
        restored
            .iter()
            .filter(move |one| age < one.holds && self.is_allowed(&one.found.matches, elapsed))
    }

    /// Whether a match did not turn out useless of late, and nobody took it away.
    fn is_allowed(&self, matches: &Matches, elapsed: Duration) -> bool {
        let is_barred = |(other, since): &(Matches, Duration)| {
            (other.covers(matches) || matches.covers(other))
                && elapsed.saturating_sub(*since) < BARRED
        };
        !self.barred.iter().any(is_barred)
    }

    fn look(&mut self, scene: &Scene<'_>) {
        let oldest = if scene.calm {
            self.calm.observe(scene.elapsed, &scene.snapshot.observed);
            ONSET
        } else {
            self.calm.disturb();
            OLDEST
        };
        let observed = scene.snapshot.observed.iter();
        let passed: Vec<_> = observed.filter(|seen| seen.fate == Fate::Passed).collect();
        let each = passed.len().div_ceil(RECENT).max(1);
        let fair = passed.into_iter().step_by(each);
        self.recent
            .extend(fair.map(|seen| (scene.elapsed, seen.clone())));
        let is_old = |since: Duration| scene.elapsed.saturating_sub(since) > oldest;
        let surplus = self.recent.len().saturating_sub(RECENT);
        let old = self.recent.iter().take_while(|(since, _)| is_old(*since));
        self.recent.drain(..surplus.max(old.count()));
    }

    /// Decides on what is held: trials that are over, rules that are not in force, renewals.
    fn settle(
        &mut self,
        scene: &Scene<'_>,
        may_act: &mut impl FnMut() -> bool,
        decided: &mut Decided,
    ) {
        for mut held in std::mem::take(&mut self.held) {
            match held.verdict(scene) {
                Stage::Keep => {}
                // It is tried on.
                Stage::Install if !may_act() => {}
                Stage::Install => {
                    self.install(scene, held.attack, held.found, decided);
                    continue;
                }
                Stage::Renew => {
                    decided.commands.push(held.renew(scene));
                    self.remember(held.found.matches.clone());
                }
                Stage::GiveUp(why) => {
                    let rule = text(&held.found.matches, false);
                    decided.notices.push(format!("the rule `{rule}` {why}"));
                    self.bar(held.found.matches, scene.elapsed);
                    if let Some(leak) = self.leaks.get_mut(&held.attack) {
                        leak.rest = LONGEST_REST;
                        leak.next = scene.elapsed.saturating_add(LONGEST_REST);
                    }
                    continue;
                }
            }
            self.held.push(held);
        }
    }

    fn find_leaks(&mut self, scene: &Scene<'_>) {
        let leaking: BTreeMap<Attack, Leak> = scene
            .threats
            .iter()
            .filter(|threat| threat.phase == Phase::Attack && threat.passed > threat.threshold)
            .take(LISTED)
            .map(|threat| {
                let attack = (threat.vector, threat.target.clone());
                let begin = Leak {
                    since: scene.elapsed,
                    next: scene.elapsed,
                    rest: REST,
                };
                let leak = self.leaks.get(&attack).copied().unwrap_or(begin);
                (attack, leak)
            })
            .collect();
        self.leaks = leaking;
    }

    /// The attack to be looked at in this step, if one is and it is time: that of which most passes.
    fn most_urgent<'s>(&self, scene: &Scene<'s>) -> Option<&'s Threat> {
        let rested = |since: Duration| scene.elapsed.saturating_sub(since) >= REST;
        if !self.searched.is_none_or(rested) || self.held.len() >= MOST {
            return None;
        }
        let is_due = |threat: &&Threat| {
            let leak = self.leaks.get(&(threat.vector, threat.target.clone()));
            let patience = if self.is_urgent(threat) {
                URGENCY
            } else {
                PATIENCE
            };
            leak.is_some_and(|leak| {
                scene.elapsed >= leak.next && scene.elapsed.saturating_sub(leak.since) >= patience
            })
        };
        // What is hardly seen yet is looked at when it is, not after the rest that a vain search takes.
        let is_seen = |threat: &&Threat| self.samples(threat).len() >= FEWEST;
        let due = scene.threats.iter().filter(is_due).filter(is_seen);
        due.max_by(|one, two| one.passed.total_cmp(&two.passed))
    }

    /// What passed of an attack of late, of strangers, but for what a fingerprint meets already.
    fn samples(&self, threat: &Threat) -> Vec<&Observed> {
        let is_met = |seen: &Observed| self.held.iter().any(|held| fits(&held.found.matches, seen));
        let recent = self.recent.iter().map(|(_, seen)| seen);
        let samples = recent.filter(|seen| is_of(threat, seen) && !is_met(seen));
        without_regulars(samples.collect(), &self.calm)
    }

    fn search(
        &mut self,
        scene: &Scene<'_>,
        threat: &Threat,
        may_act: &mut impl FnMut() -> bool,
        decided: &mut Decided,
    ) {
        let attack = (threat.vector, threat.target.clone());
        let unusual = (1.0 - threat.usual / threat.passed.max(1.0)).clamp(0.0, 1.0);
        let aim = Aim {
            least: (unusual * WORTHWHILE).max(0.1),
            most_collateral: scene.config.max_collateral,
        };
        let samples = self.samples(threat);
        let of_strangers = !samples.iter().any(|seen| self.calm.knows(seen));
        let is_allowed = |matches: &Matches| self.is_allowed(matches, scene.elapsed);
        let past = self.past.iter().filter(|matches| is_allowed(matches));
        let known = past
            .filter_map(|matches| again(matches, &samples, &self.calm, aim))
            .next();
        let earlier = self.earlier(scene.elapsed);
        let known = known.or_else(|| stored::fitting(earlier, &samples, &self.calm, aim));
        let is_known = known.is_some();
        let found = known.or_else(|| find(&samples, &self.calm, aim));
        let found = found.filter(|found| is_allowed(&found.matches));
        let rest = match found {
            Some(found) if found.doubt.is_some() || is_suggestion(scene.config) => {
                self.suggest(scene, &attack, &found, decided);
                LONGEST_REST
            }
            Some(_) if !may_act() => REST,
            Some(found) if is_known || self.is_urgent(threat) => {
                self.install(scene, attack.clone(), found, decided);
                REST
            }
            Some(found) => {
                let held = Held::trial(attack.clone(), found, scene, of_strangers);
                decided
                    .commands
                    .push(held.command(held.until - scene.elapsed));
                self.held.push(held);
                REST
            }
            None => Duration::ZERO,
        };
        self.searched = Some(scene.elapsed);
        if let Some(leak) = self.leaks.get_mut(&attack) {
            // Without a find, pulses and noise must not buy one search after another.
            leak.rest = match rest {
                Duration::ZERO => leak.rest.saturating_mul(2).min(LONGEST_REST),
                rest => rest,
            };
            leak.next = scene.elapsed.saturating_add(leak.rest);
        }
    }

    fn install(
        &mut self,
        scene: &Scene<'_>,
        attack: Attack,
        found: Fingerprint,
        decided: &mut Decided,
    ) {
        let stay = stay(scene);
        let held = Held::installed(attack, found, scene, stay);
        let command = held.command(stay);
        decided.commands.push(command.clone());
        let action = Action {
            at: scene.now,
            what: format!("added the rule `{}`", text(&held.found.matches, false)),
            why: held.reason(),
            until: scene.now.checked_add(stay).ok(),
            refused: None,
        };
        decided.deeds.push(Deed { action, command });
        self.remember(held.found.matches.clone());
        self.held.push(held);
    }

    fn suggest(
        &mut self,
        scene: &Scene<'_>,
        attack: &Attack,
        found: &Fingerprint,
        decided: &mut Decided,
    ) {
        self.told
            .retain(|(_, since)| scene.elapsed.saturating_sub(*since) < SILENCE);
        let rule = text(&found.matches, false);
        if self.told.iter().any(|(other, _)| *other == rule) {
            return;
        }
        let reason = reason(attack, found);
        let seconds = stay(scene).as_secs();
        let doubt = match &found.doubt {
            Some(doubt) => format!("; not added, for {doubt}"),
            None => String::new(),
        };
        decided.notices.push(format!(
            "{reason}: `floodwall rule add \"{rule}\" --for {seconds}s`{doubt}"
        ));
        push_bounded(&mut self.told, (rule, scene.elapsed), LISTED);
    }

    /// Whether a flood does not leave time for a trial.
    fn is_urgent(&self, threat: &Threat) -> bool {
        let Threat {
            passed,
            usual,
            threshold,
            ..
        } = *threat;
        self.hurts || (passed > usual * MANY_TIMES && passed > threshold * 2.0)
    }

    fn remember(&mut self, matches: Matches) {
        self.past.retain(|other| *other != matches);
        self.past.push_front(matches);
        self.past.truncate(REMEMBERED);
    }

    fn bar(&mut self, matches: Matches, elapsed: Duration) {
        self.past.retain(|other| *other != matches);
        self.barred
            .retain(|(_, since)| elapsed.saturating_sub(*since) < BARRED);
        push_bounded(&mut self.barred, (matches, elapsed), LISTED);
    }
}

/// Samples of an attack are of whoever comes meanwhile. Who came in calm is left out, so that the match
/// is not made to fit him too, unless most of it is of such: then they are who floods.
fn without_regulars<'a>(samples: Vec<&'a Observed>, calm: &Calm) -> Vec<&'a Observed> {
    let is_strange = |seen: &&&Observed| !calm.knows(seen);
    let strangers: Vec<&Observed> = samples.iter().filter(is_strange).copied().collect();
    if strangers.len() * 2 > samples.len() {
        strangers
    } else {
        samples
    }
}

fn push_bounded<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}

/// Whether fingerprints are only told of.
fn is_suggestion(config: &Detection) -> bool {
    match (config.act, config.fingerprints) {
        (Act::Apply, Act::Apply) => false,
        (Act::Suggest, _) | (_, Act::Suggest) => true,
    }
}

/// Whether a packet is one of an attack, or looks like one.
pub(super) fn is_of(threat: &Threat, seen: &Observed) -> bool {
    // Each handshake begins with a SYN.
    let is_handshakes = threat.vector == Vector::Connections;
    let vector = if is_handshakes {
        Vector::Syn
    } else {
        threat.vector
    };
    let at_target = match &threat.target {
        Target::Host => true,
        Target::Service { protocol, port } => {
            seen.protocol == *protocol && seen.ports.is_some_and(|(_, to)| to == *port)
        }
        Target::Prefix { prefix } => prefix.contains(&seen.destination),
    };
    at_target && Vector::of(seen.class) == Some(vector)
}

/// Whether a rule stopped a packet, or would have.
pub(super) fn is_ruled(fate: Fate) -> bool {
    match fate {
        Fate::Stopped(reason) | Fate::Watched(reason) => reason == Reason::RuleDrop,
        Fate::Passed => false,
    }
}

/// The rule that drops what matches.
pub(super) fn rule(matches: &Matches, shadow: bool) -> Rule {
    Rule {
        shadow,
        action: rule::Action::Drop,
        matches: matches.clone(),
    }
}

fn text(matches: &Matches, shadow: bool) -> String {
    rule(matches, shadow).to_string()
}

/// `UDP flood at udp/53: catches 97.3 % of the attack (n=412), at most 0.21 % of calm traffic
/// (n=2,048)`.
pub(super) fn reason((vector, target): &Attack, found: &Fingerprint) -> String {
    let connections = found.connections.map(|share| share.tell(CONNECTIONS));
    let connections = connections.map_or_else(String::new, |told| format!(", {told}"));
    format!(
        "{} at {target}: catches {:.1} % of the attack (n={}), {}{connections}",
        vector.text(),
        found.caught * 100.0,
        grouped(found.samples),
        found.calm.tell(TRAFFIC)
    )
}
