//! Who is kept out, and for how long.
//!
//! Only sources that proved their address, hold no healthy session, are not known good, and whose
//! misbehaviour itself cannot have been forged; and neighbourhoods of many such.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use super::{
    budget::Urgency,
    desk::Desk,
    evidence::{Evidence, WINDOW},
    ladder::least,
    sources::{Judgement, Sources, lengthened, neighbourhood, unit, unit_of},
    wishes::is_active,
    words,
};
use crate::{
    api::types::ListKind,
    core::command::Command,
    detect::{Fate, Scene, Threat, Vector, output::Spoofed},
};

/// Sources in one command at most.
const MOST_TOGETHER: usize = 32;
/// Sources that are banned at the same time at most.
const MOST_BANNED: usize = 1_024;
/// Neighbourhoods that are remembered at most.
const MOST_PREFIXES: usize = 256;
/// Banned neighbours that make a neighbourhood one.
const NEIGHBOURS: usize = 8;
/// How long to gather sources before they are banned together.
const ROUND: Duration = Duration::from_secs(1);
/// The share of a threat's threshold that one source may have.
const SHARE: f64 = 0.05;
/// What an established source may send in any case, packets a second.
const ALLOWANCE: f64 = 5_000.0;
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

/// Sources that are banned for the same, by the place of the threat, for the same time; a doubtful
/// one alone.
type Group = (usize, Duration, Option<IpNet>);

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

    /// Sources against which there is evidence.
    pub fn suspects(&self) -> impl Iterator<Item = &IpNet> {
        self.evidence.sources().filter(|unit| {
            let tally = self.evidence.of(unit);
            tally.shows_handshakes() || tally.shows_established()
        })
    }

    /// Bans who has earned it, once a second.
    pub fn update(&mut self, scene: &Scene<'_>, sources: &mut Sources, desk: &mut Desk<'_>) {
        let waits = |round| scene.elapsed.saturating_sub(round) < ROUND;
        if scene.config.ban.is_zero() || self.round.is_some_and(waits) {
            return;
        }
        self.round = Some(scene.elapsed);
        let mut groups: BTreeMap<Group, Vec<IpNet>> = BTreeMap::new();
        let mut room = MOST_BANNED.saturating_sub(sources.banned(scene.elapsed).count());
        for (index, threat) in scene.threats.iter().enumerate() {
            if !is_provable(threat) {
                continue;
            }
            for unit in self.guilty(threat) {
                if room == 0 || self.is_covered(&unit, scene.elapsed) {
                    continue;
                }
                let Some(source) = sources.get(&unit) else {
                    continue;
                };
                if !source.may_be_banned(scene.elapsed) {
                    continue;
                }
                let duration = source.next_ban(scene.elapsed, scene.config);
                let alone = source.is_doubtful.then_some(unit);
                let group = groups.entry((index, duration, alone)).or_default();
                if group.len() < MOST_TOGETHER && !group.contains(&unit) {
                    group.push(unit);
                    room = room.saturating_sub(1);
                }
            }
        }
        for ((index, duration, _), units) in groups {
            if let Some(threat) = scene.threats.get(index) {
                self.ban(scene, threat, &units, duration, sources, desk);
            }
        }
        self.ban_neighbourhoods(scene, sources, desk);
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
        scene: &Scene<'_>,
        threat: &Threat,
        units: &[IpNet],
        duration: Duration,
        sources: &mut Sources,
        desk: &mut Desk<'_>,
    ) {
        // Of two threats that a source takes part in, one has banned it.
        let prefixes: Vec<IpNet> = units
            .iter()
            .filter(|unit| {
                !sources
                    .get(unit)
                    .is_none_or(|it| it.is_banned(scene.elapsed))
            })
            .copied()
            .collect();
        let Some(first) = prefixes.first() else {
            return;
        };
        let tally = self.evidence.of(first);
        let did = if tally.shows_handshakes() {
            format!(
                "at least {} SYNs in {} s above the limit of completed handshakes",
                tally.stopped,
                WINDOW.as_secs()
            )
        } else {
            format!(
                "more than its share, {} of {} packets seen over established connections",
                tally.established,
                tally.established.saturating_add(tally.others)
            )
        };
        let why = format!(
            "{did}; address proven, no healthy session; {}",
            words::describe(threat)
        );
        let what = match prefixes.len() {
            1 => format!("ban {first} for {} s", duration.as_secs()),
            many => format!(
                "ban {first} and {} more for {} s",
                many - 1,
                duration.as_secs()
            ),
        };
        if !desk.act(
            Urgency::Ban,
            add(prefixes.clone(), duration, &why),
            what,
            &why,
            duration,
        ) {
            return;
        }
        for unit in prefixes {
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

    /// Sources that do more than their share, by evidence that cannot be forged; most first.
    fn guilty(&self, threat: &Threat) -> Vec<IpNet> {
        match threat.vector {
            Vector::Connections => {
                let sources = self.evidence.sources();
                let mut guilty: Vec<(u32, IpNet)> = sources
                    .map(|unit| (self.evidence.of(unit), *unit))
                    .filter(|(tally, _)| tally.shows_handshakes())
                    .map(|(tally, unit)| (u32::MAX - tally.stopped, unit))
                    .collect();
                guilty.sort_unstable();
                guilty.into_iter().map(|(_, unit)| unit).collect()
            }
            Vector::Ack | Vector::Close => {
                let share = (threat.threshold * SHARE).max(ALLOWANCE);
                let heavy = threat.heavy.iter();
                heavy
                    .filter(|heavy| least(heavy.rate, heavy.error) >= share)
                    .filter_map(|heavy| unit_of(&heavy.prefix))
                    .filter(|unit| self.evidence.of(unit).shows_established())
                    .collect()
            }
            Vector::Syn
            | Vector::SynAck
            | Vector::Udp
            | Vector::Reflection
            | Vector::Icmp
            | Vector::Fragments
            | Vector::Protocols
            | Vector::Malformed => Vec::new(),
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
    is_active(threat)
        && match threat.vector {
            Vector::Connections => true,
            Vector::Ack | Vector::Close => threat.spoofed == Spoofed::Real,
            Vector::Syn
            | Vector::SynAck
            | Vector::Udp
            | Vector::Reflection
            | Vector::Icmp
            | Vector::Fragments
            | Vector::Protocols
            | Vector::Malformed => false,
        }
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
