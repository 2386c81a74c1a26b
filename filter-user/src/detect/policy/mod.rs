//! Decision: which defence meets which threat, which limits come down, and who is banned.
//!
//! A pure machine: it reads no clock, and decides the same for the same past and [`Scene`]. All it
//! remembers is bounded.

mod bans;
mod budget;
mod desk;
mod evidence;
mod holds;
mod ladder;
mod lease;
mod limits;
mod regulars;
mod sources;
mod strain;
mod wishes;
mod words;

use std::{net::IpAddr, time::Duration};

use filter_common::abi::defence::Defence;
use ipnet::IpNet;

use self::{
    bans::Bans,
    budget::{Budget, Urgency},
    desk::Desk,
    holds::Holds,
    ladder::least,
    limits::{Grounds, Limits},
    regulars::Regulars,
    sources::Sources,
    strain::Strain,
    wishes::Circumstances,
};
use super::{
    Decided, Phase, Scene, Threat,
    output::{Refused, Spoofed},
};
use crate::{
    config::detection::{Act, Detection},
    core::command::Command,
};

/// What was decided, and is still in force.
#[derive(Debug, Default)]
pub struct Policy {
    act: Option<Act>,
    elapsed: Duration,
    budget: Budget,
    strain: Strain,
    sources: Sources,
    regulars: Regulars,
    holds: Holds,
    limits: Limits,
    bans: Bans,
}

impl Policy {
    /// Decides.
    pub fn decide(&mut self, scene: &Scene<'_>) -> Decided {
        self.elapsed = scene.elapsed;
        let before = self.act.replace(scene.config.act);
        let mut undone = Vec::new();
        if before.is_some_and(|before| before != scene.config.act) {
            undone = self.let_go();
            if before == Some(Act::Suggest) {
                // Nothing of it was done.
                undone.clear();
            }
        }
        self.budget.advance(scene.elapsed);
        self.strain.read(scene);
        self.sources.learn(scene.standings, scene.elapsed);
        self.regulars.observe(scene);
        self.bans.observe(scene, &mut self.sources);

        let mut desk = Desk::new(scene, &mut self.budget);
        // Defences first: the minute may have no room for all. Only those of connections go by what
        // the limits found, a step later.
        let around = Circumstances {
            listening: &scene.snapshot.listening,
            strain: &self.strain,
            holds_cookies: self.holds.age(Defence::Cookies, scene.elapsed).is_some(),
            limits_connections: self.limits.limits_connections(),
        };
        let wishes = wishes::wishes(scene.threats, around);
        self.holds.update(scene, &wishes, &mut desk);
        let grounds = Grounds {
            sources: &self.sources,
            regulars: &self.regulars,
            strain: &self.strain,
            holds: &self.holds,
            bans: &self.bans,
        };
        self.limits.update(scene, grounds, &mut desk);
        self.bans.update(scene, &mut self.sources, &mut desk);

        let mut decided = desk.close();
        decided.commands.splice(0..0, undone);
        let wanted = wanted(scene.threats, &self.bans);
        decided.ask = self
            .sources
            .ask(wanted.into_iter(), scene.elapsed, scene.config.ban);
        decided
    }

    /// Takes one of the minute's actions for something that limits what comes in, if one is left.
    pub fn may_limit(&mut self, config: &Detection) -> bool {
        self.budget.take(Urgency::Limit, config.actions)
    }

    /// Hears what the door refused.
    pub fn refused(&mut self, refused: &Refused) {
        let Self { sources, bans, .. } = self;
        bans.refused(&refused.prefixes, sources, self.elapsed);
    }

    /// Lets go of everything that is in force: at the end, or when nothing is to be done any more.
    pub fn let_go(&mut self) -> Vec<Command> {
        let mut commands = self.holds.let_go();
        commands.extend(self.limits.let_go());
        commands.extend(self.bans.let_go(&mut self.sources, self.elapsed));
        commands
    }
}

/// Suspects that are asked about before those who send most.
const SUSPECTS: usize = sources::MOST_ASKED / 2;

/// Whose standing decides: some suspects first, then those who send most, then the other suspects.
fn wanted(threats: &[Threat], bans: &Bans) -> Vec<IpAddr> {
    let suspects: Vec<IpAddr> = bans.suspects().iter().map(IpNet::addr).collect();
    let (first, rest) = suspects.split_at(SUSPECTS.min(suspects.len()));
    let mut heavy: Vec<(f64, IpAddr)> = threats
        .iter()
        .filter(|threat| matches!(threat.phase, Phase::Suspected | Phase::Attack))
        .filter(|threat| matches!(threat.spoofed, Spoofed::Real | Spoofed::Unknown))
        .flat_map(|threat| &threat.heavy)
        .filter(|heavy| sources::unit_of(&heavy.prefix).is_some())
        .map(|heavy| (least(heavy.rate, heavy.error), heavy.prefix.addr()))
        .collect();
    heavy.sort_by(|(one, at), (other, to)| other.total_cmp(one).then(at.cmp(to)));
    let heavy = heavy.into_iter().map(|(_, address)| address);
    let first = first.iter().copied().chain(heavy);
    first.chain(rest.iter().copied()).collect()
}

#[cfg(test)]
mod tests;
