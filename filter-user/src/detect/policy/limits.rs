//! Limits that are lowered: from when on, how far, and back up again.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    bans::Bans,
    budget::Urgency,
    desk::Desk,
    holds::Holds,
    ladder::{Ladder, Loads, Scope, ladders, limit},
    lease::{Lease, Recall, TERM},
    regulars::Regulars,
    sources::Sources,
    strain::Strain,
    wishes::{first_defence, is_active, is_at_open_udp},
    words,
};
use crate::{
    config::{
        limit::{LimitName, Sender},
        units::Rate,
    },
    core::command::Command,
    detect::{Scene, Threat, Vector, output::Spoofed},
    render::number,
};

/// How long to see what a step did before the next.
const STEP: Duration = Duration::from_secs(1);
/// How long too little must pass before a limit goes up again in an attack.
const TIGHT: Duration = Duration::from_secs(10);

/// How long a defence has to show what it does before limits are lowered.
const DEFENCE: Duration = Duration::from_secs(2);

/// The share of what is too much of which nothing more has to be stopped.
const MET: f64 = 0.9;
/// A step helps if it leaves no more than this share.
const HELPS: f64 = 0.9;

/// What lowering depends on beside the scene.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// Who is a stranger.
    pub sources: &'a Sources,
    /// Who sends much without any attack.
    pub regulars: &'a Regulars,
    /// What the stack loses.
    pub strain: &'a Strain,
    /// Which defences hold.
    pub holds: &'a Holds,
    /// What is held against sources.
    pub bans: &'a Bans,
}

/// A limit that is lowered.
#[derive(Debug)]
struct Lowered {
    ladder: &'static Ladder,
    lease: Lease,
    rung: usize,
    /// How many rungs it was down when it was needed last: it comes back by as many steps.
    depth: usize,
    stepped: Duration,
    /// What passed of the threat when it went down the last time, packets a second.
    passed: f64,
    /// Since when less passes than should.
    tight: Option<Duration>,
    /// The rung below which too little passed.
    bottom: Option<usize>,
    why: String,
}

/// The limits that are lowered.
#[derive(Debug, Default)]
pub struct Limits {
    lowered: BTreeMap<LimitName, Lowered>,
    recalls: BTreeMap<LimitName, Recall>,
}

impl Limits {
    /// Whether limits of completed handshakes are lowered, which take their defence to hold.
    pub fn limits_connections(&self) -> bool {
        self.lowered
            .keys()
            .any(|name| matches!(name, LimitName::Connections(_)))
    }

    /// Lowers what helps, and brings back what is no longer needed.
    pub fn update(&mut self, scene: &Scene<'_>, grounds: Grounds<'_>, desk: &mut Desk<'_>) {
        for threat in scene.threats.iter().filter(|threat| is_active(threat)) {
            for ladder in ladders(threat.vector) {
                if let Some(lowered) = self.lowered.get_mut(&ladder.name) {
                    lowered.need(scene.elapsed, threat, desk);
                }
            }
            if threat.passed > threat.threshold && !is_met(threat) {
                self.lower(scene, threat, grounds, desk);
            }
        }
        if let Some(lowered) = self
            .lowered
            .get_mut(&LimitName::Connections(Sender::Source))
            && grounds.bans.leave_the_good(grounds.sources)
        {
            lowered.spare(scene.elapsed, desk);
        }
        for lowered in self.lowered.values_mut() {
            lowered.go_on(scene.elapsed, desk);
        }
        self.lowered.retain(|name, lowered| {
            if !lowered.lease.is_over(scene.elapsed) {
                return true;
            }
            let quiet = lowered.lease.linger().as_secs();
            let why = format!("not needed for {quiet} s");
            let raise = Command::Raise { name: name.clone() };
            desk.ease(raise, format!("give {name} back"), &why);
            self.recalls
                .entry(name.clone())
                .or_default()
                .end(scene.elapsed);
            false
        });
    }

    /// Gives all of them back.
    pub fn let_go(&mut self) -> Vec<Command> {
        let lowered = std::mem::take(&mut self.lowered).into_keys();
        lowered.map(|name| Command::Raise { name }).collect()
    }

    /// Lowers the first limit that helps against a threat by one step.
    fn lower(
        &mut self,
        scene: &Scene<'_>,
        threat: &Threat,
        grounds: Grounds<'_>,
        desk: &mut Desk<'_>,
    ) {
        let defence = first_defence(threat, &scene.snapshot.listening);
        let waits = |defence| {
            let age = grounds.holds.age(defence, scene.elapsed);
            age.is_none_or(|age| age < DEFENCE)
        };
        // What only limits shows at once what it leaves.
        let only_limits = ladders(threat.vector)
            .iter()
            .any(|ladder| ladder.scope == Scope::All);
        if !only_limits && defence.is_some_and(waits) {
            return;
        }
        let mut of_sources = None;
        for ladder in ladders(threat.vector) {
            let lowered = self.lowered.get(&ladder.name);
            if lowered.is_some_and(|it| scene.elapsed.saturating_sub(it.stepped) < STEP) {
                // What the last step did is not seen yet.
                return;
            }
            let now = lowered.map(|it| it.rung);
            if ladder.scope == Scope::Source {
                of_sources = now.and_then(|rung| ladder.rate(rung));
            }
            let before = lowered.map(|it| it.passed);
            let Some((rung, because)) =
                choose(ladder, now, before, of_sources, scene, threat, grounds)
            else {
                continue;
            };
            let bottom = lowered.and_then(|it| it.bottom);
            if bottom.is_some_and(|bottom| rung > bottom) {
                continue;
            }
            let why = format!("{}; {because}", words::describe(threat));
            self.step(scene, ladder, rung, threat.passed, why, desk);
            return;
        }
    }

    fn step(
        &mut self,
        scene: &Scene<'_>,
        ladder: &'static Ladder,
        rung: usize,
        passed: f64,
        why: String,
        desk: &mut Desk<'_>,
    ) {
        let Some(command) = command(ladder, rung, &why) else {
            return;
        };
        let what = describe(ladder, rung);
        if !desk.act(Urgency::Limit, command, what, &why, TERM) {
            return;
        }
        let depth = rung.saturating_add(1);
        match self.lowered.get_mut(&ladder.name) {
            Some(lowered) => {
                lowered.rung = rung;
                lowered.passed = passed;
                lowered.depth = depth;
                lowered.stepped = scene.elapsed;
                lowered.lease.renew(scene.elapsed);
                lowered.why = why;
            }
            None => {
                let recall = self.recalls.entry(ladder.name.clone()).or_default();
                let linger = recall.begin(scene.elapsed, scene.config.recover);
                let lowered = Lowered {
                    ladder,
                    lease: Lease::new(scene.elapsed, linger),
                    rung,
                    passed,
                    depth,
                    stepped: scene.elapsed,
                    tight: None,
                    bottom: None,
                    why,
                };
                self.lowered.insert(ladder.name.clone(), lowered);
            }
        }
    }
}

/// Whether nearly all that is too much is stopped already: who sends it is not who passes, and a
/// limit would hit only those.
fn is_met(threat: &Threat) -> bool {
    let stopped = threat.rate - threat.passed;
    threat.passed <= 2.0 * threat.threshold && stopped >= MET * (threat.rate - threat.threshold)
}

/// The rung that a limit should go down to, and why. Sources have a limit `of_sources` already, and
/// `before` it went down the last time, so much passed.
fn choose(
    ladder: &Ladder,
    now: Option<usize>,
    before: Option<f64>,
    of_sources: Option<Rate>,
    scene: &Scene<'_>,
    threat: &Threat,
    grounds: Grounds<'_>,
) -> Option<(usize, String)> {
    if ladder.scope == Scope::All {
        let fits = match ladder.name {
            LimitName::IcmpErrors => has_icmp(scene, true),
            LimitName::IcmpEcho => has_icmp(scene, false) || !has_icmp(scene, true),
            LimitName::Fragments
            | LimitName::Protocols
            | LimitName::Source(_)
            | LimitName::Prefix(_)
            | LimitName::Connections(_)
            | LimitName::Service(..) => true,
        };
        let rung = ladder.lowest(now, threat).filter(|_| fits)?;
        return Some((rung, "twice what is usual still passes".to_owned()));
    }
    // Who forges sources has as many as he likes, and each of them is under any limit; reflectors
    // are met by what they send.
    match threat.spoofed {
        Spoofed::Forged | Spoofed::Reflected => return None,
        Spoofed::Real | Spoofed::Unknown => {}
    }
    if grounds.strain.is_crowd(threat) {
        return None;
    }
    let loads = match ladder.scope {
        Scope::Prefix => Loads::of_prefixes(threat, grounds.sources, of_sources),
        Scope::Source | Scope::All => Loads::of_sources(threat, grounds.sources),
    }
    .sparing(grounds.regulars);
    if let Some(gain) = ladder.useful(now, threat, &loads) {
        let because = format!(
            "{} senders for whom nothing speaks are above, by {}",
            gain.strangers,
            number::rate(gain.strange)
        );
        return Some((gain.rung, because));
    }
    // Nothing tells good from bad: everybody gets his share, where the stack loses anyway, and while
    // that takes anything off; else it hits only those who always send much.
    if before.is_some_and(|before| threat.passed > HELPS * before) {
        return None;
    }
    let lost = grounds
        .strain
        .loses_datagrams()
        .filter(|_| is_at_open_udp(threat, &scene.snapshot.listening))?;
    let because = format!("the stack loses {} of datagrams", number::rate(lost));
    Some((ladder.step(now)?, because))
}

/// Whether ICMP errors, or ICMP that is no error, came in.
fn has_icmp(scene: &Scene<'_>, errors: bool) -> bool {
    let is_error = |source: IpAddr, kind: u8| match source {
        IpAddr::V4(_) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        IpAddr::V6(_) => kind < 128,
    };
    let observed = scene.snapshot.observed.iter();
    observed
        .filter_map(|packet| Some((packet.source, packet.icmp?.0)))
        .any(|(source, kind)| is_error(source, kind) == errors)
}

impl Lowered {
    /// It is needed; if far less than usual passes, it hurts, and goes up.
    fn need(&mut self, elapsed: Duration, threat: &Threat, desk: &mut Desk<'_>) {
        self.lease.need(elapsed);
        self.depth = self.rung.saturating_add(1);
        if threat.passed >= threat.usual / 2.0 || threat.vector == Vector::Connections {
            self.tight = None;
            return;
        }
        let since = *self.tight.get_or_insert(elapsed);
        if elapsed.saturating_sub(since) < TIGHT {
            return;
        }
        self.tight = None;
        if let Some(up) = self.rung.checked_sub(1) {
            self.bottom = Some(up);
            let why = format!("{}; less than half passes", words::describe(threat));
            self.up(up, &why, elapsed, desk);
        }
    }

    /// It meets those who should be spared, and goes up.
    fn spare(&mut self, elapsed: Duration, desk: &mut Desk<'_>) {
        if elapsed.saturating_sub(self.stepped) < STEP {
            return;
        }
        if let Some(up) = self.rung.checked_sub(1) {
            self.bottom = Some(up);
            self.depth = self.rung;
            let why = "of whom it stops, most have healthy sessions or are known good";
            self.up(up, why, elapsed, desk);
        }
    }

    fn go_on(&mut self, elapsed: Duration, desk: &mut Desk<'_>) {
        let quiet = self.lease.quiet(elapsed);
        if self.lease.is_over(elapsed) {
            return;
        }
        // Back up in as many steps as down, over the time that it is held.
        let share = quiet.as_secs_f64() / self.lease.linger().as_secs_f64();
        let back = (share * self.depth as f64) as usize;
        let rung = self.depth.saturating_sub(back.saturating_add(1));
        if rung < self.rung {
            let why = format!("not needed for {} s", quiet.as_secs());
            self.up(rung, &why, elapsed, desk);
        } else if self.lease.is_due(elapsed)
            && let Some(command) = command(self.ladder, self.rung, &self.why)
        {
            desk.renew(command);
            self.lease.renew(elapsed);
        }
    }

    fn up(&mut self, rung: usize, why: &str, elapsed: Duration, desk: &mut Desk<'_>) {
        if let Some(command) = command(self.ladder, rung, &self.why) {
            let what = format!("raise {}", rate_of(self.ladder, rung));
            desk.ease(command, what, why);
            self.rung = rung;
            self.stepped = elapsed;
            self.lease.renew(elapsed);
        }
    }
}

fn command(ladder: &Ladder, rung: usize, why: &str) -> Option<Command> {
    Some(Command::Lower {
        name: ladder.name.clone(),
        rate: limit(ladder.rate(rung)?),
        duration: TERM,
        reason: words::reason(why),
    })
}

fn describe(ladder: &Ladder, rung: usize) -> String {
    format!("lower {}", rate_of(ladder, rung))
}

fn rate_of(ladder: &Ladder, rung: usize) -> String {
    let rate = ladder.rate(rung).map(|rate| rate.to_string());
    format!("{} to {}", ladder.name, rate.unwrap_or_default())
}
