//! Who is kept out, and for how long.
//!
//! Only sources that proved their address, hold no healthy session, are not known good, and whose
//! misbehaviour itself cannot have been forged; and neighbourhoods of many such. Everybody else is
//! limited at most.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use super::{
    budget::Urgency,
    desk::Desk,
    evidence::{Evidence, WINDOW},
    sources::{Judgement, Sources, lengthened, neighbourhood, unit},
    wishes::is_active,
    words,
};
use crate::{
    api::types::ListKind,
    core::command::Command,
    detect::{Fate, Scene, Threat, Vector},
};

/// Sources in one command at most.
const MOST_TOGETHER: usize = 32;
/// Sources that are banned at the same time at most.
const MOST_BANNED: usize = 1_024;
/// Neighbourhoods that are remembered at most.
const MOST_PREFIXES: usize = 256;
/// Banned neighbours that make a neighbourhood one.
const NEIGHBOURS: usize = 8;
/// Stopped SYNs that say something of a limit.
const SOME: u32 = 16;
/// How long to gather sources before they are banned together.
const ROUND: Duration = Duration::from_secs(1);
/// How long after a ban it is told whether the door refused it.
const SETTLE: Duration = Duration::from_secs(2);

/// A neighbourhood that was banned.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbourhood {
    level: u32,
    until: Duration,
}

/// Who is banned, and the evidence of the last seconds.
#[derive(Debug, Default)]
pub struct Bans {
    evidence: Evidence,
    prefixes: BTreeMap<IpNet, Neighbourhood>,
    round: Option<Duration>,
}

/// Sources that are banned for the same time; a doubtful one alone.
type Group = (Duration, Option<IpNet>);

impl Bans {
    /// Takes what was observed, where there is something that could be held against anybody.
    pub fn observe(&mut self, scene: &Scene<'_>, sources: &mut Sources) {
        let matters = scene.threats.iter().any(is_provable);
        if !matters {
            self.evidence.clear();
            return;
        }
        let observed = &scene.snapshot.observed;
        self.evidence.observe(observed, sources, scene.elapsed);
        for packet in observed.iter().filter(|it| it.fate == Fate::Passed) {
            let Some(source) = sources.get_mut(&unit(packet.source)) else {
                continue;
            };
            let settled = |at| scene.elapsed.saturating_sub(at) > SETTLE;
            if source.is_banned(scene.elapsed) && source.banned_at().is_some_and(settled) {
                source.is_doubtful = true;
            }
        }
    }

    /// Sources against which there is evidence, most first.
    pub fn suspects(&self) -> Vec<IpNet> {
        self.evidence.guilty()
    }

    /// Whether the limit of completed handshakes meets rather those for whom something speaks, as it
    /// does once the others are banned: a carrier's addresses, behind which some misbehave.
    pub fn leave_the_good(&self, sources: &Sources) -> bool {
        let (mut good, mut bad) = (0_u32, 0_u32);
        for (count, unit) in self.evidence.all() {
            match sources.judgement(&unit) {
                Judgement::Good | Judgement::Healthy => good = good.saturating_add(count),
                Judgement::Stranger => bad = bad.saturating_add(count),
                Judgement::Unknown => {}
            }
        }
        good >= SOME && good > bad
    }

    /// Bans who has earned it, once a second.
    pub fn update(&mut self, scene: &Scene<'_>, sources: &mut Sources, desk: &mut Desk<'_>) {
        let waits = |round| scene.elapsed.saturating_sub(round) < ROUND;
        if scene.config.ban.is_zero() || self.round.is_some_and(waits) {
            return;
        }
        self.round = Some(scene.elapsed);
        let Some(threat) = scene.threats.iter().find(|threat| is_provable(threat)) else {
            return;
        };
        let room = MOST_BANNED.saturating_sub(sources.banned(scene.elapsed).count());
        let mut groups: BTreeMap<Group, Vec<IpNet>> = BTreeMap::new();
        let guilty = self.suspects().into_iter();
        let guilty = guilty.filter(|unit| !self.is_covered(unit, scene.elapsed));
        for (unit, source) in guilty
            .filter_map(|unit| Some((unit, sources.get(&unit)?)))
            .filter(|(_, source)| source.may_be_banned(scene.elapsed))
            .take(room)
        {
            let duration = source.next_ban(scene.elapsed, scene.config);
            let alone = source.is_doubtful.then_some(unit);
            let group = groups.entry((duration, alone)).or_default();
            if group.len() < MOST_TOGETHER {
                group.push(unit);
            }
        }
        for ((duration, _), units) in groups {
            self.ban(threat, units, duration, scene, sources, desk);
        }
        self.ban_neighbourhoods(scene, sources, desk);
    }

    /// Notes who could not be banned: whoever speaks for one spares no other next time, and for the
    /// members of a neighbourhood that is spared nothing else holds.
    pub fn refused(&mut self, prefixes: &[IpNet], sources: &mut Sources, elapsed: Duration) {
        for prefix in prefixes {
            if let Some(source) = sources.get_mut(prefix) {
                source.is_doubtful = true;
            }
            if let Some(neighbourhood) = self.prefixes.get_mut(prefix) {
                neighbourhood.until = elapsed;
            }
        }
    }

    /// Takes all bans away that last.
    pub fn let_go(&mut self, sources: &mut Sources, elapsed: Duration) -> Vec<Command> {
        let hosts = sources.banned(elapsed).map(|(unit, _)| *unit);
        let lasting = |(_, it): &(&IpNet, &Neighbourhood)| elapsed < it.until;
        let prefixes = self.prefixes.iter().filter(lasting);
        // One by one: a list that misses one of several keeps all.
        let remove = |prefix| Command::Remove {
            list: ListKind::Ban,
            prefixes: vec![prefix],
        };
        let commands = hosts
            .chain(prefixes.map(|(prefix, _)| *prefix))
            .map(remove)
            .collect();
        sources.pardon();
        *self = Self::default();
        commands
    }

    fn ban(
        &mut self,
        threat: &Threat,
        units: Vec<IpNet>,
        duration: Duration,
        scene: &Scene<'_>,
        sources: &mut Sources,
        desk: &mut Desk<'_>,
    ) {
        let Some(first) = units.first() else {
            return;
        };
        let least = units.iter().map(|unit| self.evidence.of(unit)).min();
        let why = format!(
            "at least {} SYNs in {} s above the limit of completed handshakes; address proven, no \
             healthy session; {}",
            least.unwrap_or_default(),
            WINDOW.as_secs(),
            words::describe(threat)
        );
        let more = match units.len() {
            1 => String::new(),
            many => format!(" and {} more", many.saturating_sub(1)),
        };
        let what = format!("ban {first}{more} for {} s", duration.as_secs());
        let command = add(units.clone(), duration, &why);
        if !desk.act(Urgency::Ban, command, what, &why, duration) {
            return;
        }
        for unit in units {
            self.evidence.answer(&unit);
            if let Some(source) = sources.get_mut(&unit) {
                source.ban(scene.elapsed, scene.config);
            }
        }
    }

    /// Bans neighbourhoods of which many were banned since their last ban.
    fn ban_neighbourhoods(&mut self, scene: &Scene<'_>, sources: &Sources, desk: &mut Desk<'_>) {
        let mut crowds: BTreeMap<IpNet, usize> = BTreeMap::new();
        for (unit, source) in sources.banned(scene.elapsed) {
            let prefix = neighbourhood(unit);
            let last = self.prefixes.get(&prefix).map(|it| it.until);
            let is_new = last.is_none_or(|last| source.banned_at().is_some_and(|at| at >= last));
            if is_new && !source.is_doubtful {
                *crowds.entry(prefix).or_default() += 1;
            }
        }
        for (prefix, count) in crowds {
            if count < NEIGHBOURS || self.is_covered(&prefix, scene.elapsed) {
                continue;
            }
            let spares = |judgement| matches!(judgement, Judgement::Good | Judgement::Healthy);
            if sources.within(prefix).any(|(_, it)| spares(it.judgement())) {
                continue;
            }
            self.ban_neighbourhood(scene, prefix, count, desk);
        }
    }

    fn ban_neighbourhood(
        &mut self,
        scene: &Scene<'_>,
        prefix: IpNet,
        count: usize,
        desk: &mut Desk<'_>,
    ) {
        if self.prefixes.len() >= MOST_PREFIXES && !self.prefixes.contains_key(&prefix) {
            self.prefixes.retain(|_, it| scene.elapsed < it.until);
            if self.prefixes.len() >= MOST_PREFIXES {
                return;
            }
        }
        let before = self.prefixes.get(&prefix).copied().unwrap_or_default();
        let step = scene.config.ban.saturating_mul(10).as_secs().max(60);
        let good = scene.elapsed.saturating_sub(before.until).as_secs() / step;
        let level = before
            .level
            .saturating_sub(u32::try_from(good).unwrap_or(u32::MAX));
        let duration = lengthened(scene.config.ban, level, scene.config.ban_most);
        let why =
            format!("{count} of its members are banned, and nothing speaks for any other asked");
        let what = format!("ban {prefix} for {} s", duration.as_secs());
        let command = add(vec![prefix], duration, &why);
        if desk.act(Urgency::Ban, command, what, &why, duration) {
            let banned = Neighbourhood {
                level: level.saturating_add(1),
                until: scene.elapsed.saturating_add(duration),
            };
            self.prefixes.insert(prefix, banned);
        }
    }

    fn is_covered(&self, unit: &IpNet, elapsed: Duration) -> bool {
        self.prefixes
            .get(&neighbourhood(unit))
            .is_some_and(|it| elapsed < it.until)
    }
}

/// Whether a source can take part in this only under its own address.
fn is_provable(threat: &Threat) -> bool {
    is_active(threat) && threat.vector == Vector::Connections
}

fn add(prefixes: Vec<IpNet>, duration: Duration, why: &str) -> Command {
    Command::Add {
        list: ListKind::Ban,
        prefixes,
        duration: Some(duration),
        reason: words::reason(why),
        force: false,
    }
}
