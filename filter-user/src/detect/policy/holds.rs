//! Defences that are held: from when on, and until when.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use filter_common::abi::defence::{DEFENCES, Defence};

use super::{
    budget::Urgency,
    desk::Desk,
    lease::{Lease, Recall, TERM},
    wishes::{Ports, Wish},
    words,
};
use crate::{config::defence, core::command::Command, detect::Scene};

/// Ports of cookies that are told apart; beyond, all have them.
const MOST_PORTS: usize = 64;

/// A defence that is held.
#[derive(Debug)]
struct Held {
    since: Duration,
    lease: Lease,
    why: String,
    /// Of cookies: when each port needed them last, and when all did.
    ports: BTreeMap<u16, Duration>,
    all: Option<Duration>,
    sent: Ports,
}

/// The defences that are held.
#[derive(Debug, Default)]
pub struct Holds {
    held: BTreeMap<Defence, Held>,
    recalls: [Recall; DEFENCES],
}

impl Holds {
    /// For how long a defence is held already.
    pub fn age(&self, defence: Defence, elapsed: Duration) -> Option<Duration> {
        let held = self.held.get(&defence)?;
        Some(elapsed.saturating_sub(held.since))
    }

    /// Holds what is wished for, and lets go of what was not needed for long enough.
    pub fn update(
        &mut self,
        scene: &Scene<'_>,
        wishes: &BTreeMap<Defence, Wish>,
        desk: &mut Desk<'_>,
    ) {
        for (defence, wish) in wishes {
            match self.held.get_mut(defence) {
                Some(held) => held.need(scene.elapsed, wish),
                None => self.begin(scene, *defence, wish, desk),
            }
        }
        for (defence, held) in &mut self.held {
            held.go_on(*defence, scene.elapsed, desk);
        }
        self.held.retain(|defence, held| {
            if !held.lease.is_over(scene.elapsed) {
                return true;
            }
            let what = format!("let go of {}", defence::name(*defence));
            let quiet = held.lease.linger().as_secs();
            let why = format!("not needed for {quiet} s");
            desk.ease(Command::Release { defence: *defence }, what, &why);
            if let Some(recall) = self.recalls.get_mut(*defence as usize) {
                recall.end(scene.elapsed);
            }
            false
        });
    }

    /// Lets go of everything.
    pub fn let_go(&mut self) -> Vec<Command> {
        let held = std::mem::take(&mut self.held).into_keys();
        held.map(|defence| Command::Release { defence }).collect()
    }

    fn begin(&mut self, scene: &Scene<'_>, defence: Defence, wish: &Wish, desk: &mut Desk<'_>) {
        let Some(recall) = self.recalls.get_mut(defence as usize) else {
            return;
        };
        let mut after = *recall;
        let linger = after.begin(scene.elapsed, scene.config.recover);
        let mut held = Held {
            since: scene.elapsed,
            lease: Lease::new(scene.elapsed, linger),
            why: wish.why.clone(),
            ports: BTreeMap::new(),
            all: None,
            sent: Ports::Some(BTreeSet::new()),
        };
        held.need(scene.elapsed, wish);
        held.sent = held.wanted();
        if held.act(defence, desk) {
            *recall = after;
            self.held.insert(defence, held);
        }
    }
}

impl Held {
    fn need(&mut self, elapsed: Duration, wish: &Wish) {
        self.lease.need(elapsed);
        self.why.clone_from(&wish.why);
        match &wish.ports {
            Ports::All => self.all = Some(elapsed),
            Ports::Some(ports) => {
                for port in ports {
                    if self.ports.len() < MOST_PORTS || self.ports.contains_key(port) {
                        self.ports.insert(*port, elapsed);
                    } else {
                        self.all = Some(elapsed);
                    }
                }
            }
        }
    }

    fn go_on(&mut self, defence: Defence, elapsed: Duration, desk: &mut Desk<'_>) {
        let linger = self.lease.linger();
        let lasts = |needed: &Duration| elapsed.saturating_sub(*needed) < linger;
        self.ports.retain(|_, needed| lasts(needed));
        self.all = self.all.filter(lasts);
        if self.lease.is_over(elapsed) {
            return;
        }
        let wanted = self.wanted();
        let grows = match (&self.sent, &wanted) {
            (Ports::All, _) => false,
            (Ports::Some(_), Ports::All) => true,
            (Ports::Some(sent), Ports::Some(wanted)) => !wanted.is_subset(sent),
        };
        if grows {
            let before = std::mem::replace(&mut self.sent, wanted);
            if self.act(defence, desk) {
                self.lease.renew(elapsed);
            } else {
                self.sent = before;
            }
        }
        if self.lease.is_due(elapsed) {
            if !grows {
                self.sent = self.wanted();
            }
            desk.renew(self.command(defence));
            self.lease.renew(elapsed);
        }
    }

    fn wanted(&self) -> Ports {
        match self.all {
            Some(_) => Ports::All,
            None => Ports::Some(self.ports.keys().copied().collect()),
        }
    }

    fn act(&self, defence: Defence, desk: &mut Desk<'_>) -> bool {
        let at = match (defence, &self.sent) {
            (Defence::Cookies, Ports::All) => " at all TCP ports that listen".to_owned(),
            (Defence::Cookies, Ports::Some(ports)) => {
                let shown: Vec<String> = ports.iter().map(|port| format!("tcp/{port}")).collect();
                format!(" at {}", shown.join(", "))
            }
            (
                Defence::Sockets
                | Defence::ClosedPorts
                | Defence::Solicited
                | Defence::Connections
                | Defence::Icmp
                | Defence::Protocols,
                _,
            ) => String::new(),
        };
        let what = format!("hold {}{at}", defence::name(defence));
        desk.act(
            Urgency::Defence,
            self.command(defence),
            what,
            &self.why,
            TERM,
        )
    }

    fn command(&self, defence: Defence) -> Command {
        Command::Hold {
            defence,
            ports: match &self.sent {
                Ports::All => Vec::new(),
                Ports::Some(ports) => ports.iter().copied().collect(),
            },
            duration: TERM,
            reason: words::reason(&self.why),
        }
    }
}
