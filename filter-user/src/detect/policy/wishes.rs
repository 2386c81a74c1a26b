//! Which defence meets which threat.
//!
//! | threat | defence | limits, where the defence does not do or there is none |
//! | --- | --- | --- |
//! | SYNs to an open port | cookies, unless it is a crowd that the stack bears | `syn` |
//! | SYNs to a closed port | closed ports | `syn` |
//! | SYNs to many ports | closed ports, and cookies at all that listen | `syn` |
//! | SYN-ACKs, ACKs, RST and FIN | sockets | `packets` |
//! | handshakes | connections, with its limits | `connections` |
//! | UDP to closed or many ports | closed ports | `udp` |
//! | UDP to an open port | | `udp`, and shares for all where the stack loses |
//! | UDP from reflectors | solicited | |
//! | ICMP | ICMP | `icmp`, `icmp.echo`, `icmp.errors` |
//! | fragments | | `fragments` |
//! | other protocols | protocols | `protocols` |
//!
//! Limits of sources and prefixes come down for real and unknown sources only, and where strangers
//! send most of what is too much ([`ladder`](super::ladder)); bans follow from handshakes alone
//! ([`evidence`](super::evidence)).

use std::collections::{BTreeMap, BTreeSet};

use filter_common::abi::defence::Defence;

use super::{strain::Strain, words};
use crate::detect::{Phase, Target, Threat, Vector};

/// That a defence is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of cookies: at which ports.
    pub ports: Ports,
    /// Why.
    pub why: String,
}

/// Ports of cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All that listen.
    All,
    /// These.
    Some(BTreeSet<u16>),
}

/// What a wish depends on beside the threats.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Ports that somebody listens on.
    pub listening: &'a [(u8, u16)],
    /// What the stack loses.
    pub strain: &'a Strain,
    /// Whether the filter answers SYNs already.
    pub holds_cookies: bool,
    /// Whether sources complete so many handshakes that their limits are wanted.
    pub limits_connections: bool,
}

/// Whether a threat is there now. Detection ends it a second after its last packets.
pub fn is_active(threat: &Threat) -> bool {
    threat.phase == Phase::Attack
}

/// The defences that are needed now.
pub fn wishes(threats: &[Threat], around: Circumstances<'_>) -> BTreeMap<Defence, Wish> {
    let mut wishes = BTreeMap::new();
    for threat in threats.iter().filter(|threat| is_active(threat)) {
        for (defence, ports) in around.against(threat) {
            add(&mut wishes, defence, ports, threat);
        }
    }
    wishes
}

fn add(wishes: &mut BTreeMap<Defence, Wish>, defence: Defence, ports: Ports, threat: &Threat) {
    let wish = wishes.entry(defence).or_insert_with(|| Wish {
        ports: Ports::Some(BTreeSet::new()),
        why: words::describe(threat),
    });
    match (&mut wish.ports, ports) {
        (Ports::Some(all), Ports::Some(more)) => all.extend(more),
        (all, Ports::All) => *all = Ports::All,
        (Ports::All, Ports::Some(_)) => {}
    }
}

impl Circumstances<'_> {
    fn against(&self, threat: &Threat) -> Vec<(Defence, Ports)> {
        let plain = |defence| vec![(defence, Ports::Some(BTreeSet::new()))];
        match threat.vector {
            Vector::Syn => self.against_syns(threat),
            Vector::SynAck | Vector::Ack | Vector::Close => plain(Defence::Sockets),
            Vector::Connections if self.limits_connections => plain(Defence::Connections),
            Vector::Udp if !self.is_open(&threat.target) => plain(Defence::ClosedPorts),
            Vector::Reflection => plain(Defence::Solicited),
            Vector::Icmp => plain(Defence::Icmp),
            Vector::Protocols => plain(Defence::Protocols),
            // At an open port of UDP the kernel's ceilings and fingerprints tell good from bad;
            // fragments have a limit; what is malformed never passes.
            Vector::Connections | Vector::Udp | Vector::Fragments | Vector::Malformed => Vec::new(),
        }
    }

    /// Cookies cost visitors nothing but their prefix's share of answers, which a crowd behind few
    /// addresses may exceed; so a crowd has them only where it would lose connections otherwise. They
    /// charge nobody, so that SYNs forged in a partner's name take nothing from the partner; that is
    /// why they come before limits of sources, real or not.
    fn against_syns(&self, threat: &Threat) -> Vec<(Defence, Ports)> {
        let wants_cookies =
            self.strain.loses_connections(self.holds_cookies) || !self.strain.is_crowd(threat);
        let cookies = |ports| wants_cookies.then_some((Defence::Cookies, ports));
        let closed = (Defence::ClosedPorts, Ports::Some(BTreeSet::new()));
        match threat.target {
            Target::Service { port, .. } if self.is_open(&threat.target) => {
                cookies(Ports::Some(BTreeSet::from([port])))
                    .into_iter()
                    .collect()
            }
            Target::Service { .. } => vec![closed],
            // Over many ports: those that listen have cookies, the others nobody who answers.
            Target::Host | Target::Prefix { .. } => {
                std::iter::once(closed).chain(cookies(Ports::All)).collect()
            }
        }
    }

    fn is_open(&self, target: &Target) -> bool {
        is_open(target, self.listening)
    }
}

/// The defence that has to show what it does before limits are lowered. That of completed handshakes
/// works by limits.
pub fn first_defence(threat: &Threat, listening: &[(u8, u16)]) -> Option<Defence> {
    match threat.vector {
        Vector::Syn if matches!(threat.target, Target::Service { .. }) => {
            Some(if is_open(&threat.target, listening) {
                Defence::Cookies
            } else {
                Defence::ClosedPorts
            })
        }
        Vector::Syn => Some(Defence::ClosedPorts),
        Vector::SynAck | Vector::Ack | Vector::Close => Some(Defence::Sockets),
        Vector::Udp if !is_open(&threat.target, listening) => Some(Defence::ClosedPorts),
        Vector::Reflection => Some(Defence::Solicited),
        Vector::Icmp => Some(Defence::Icmp),
        Vector::Protocols => Some(Defence::Protocols),
        Vector::Connections | Vector::Udp | Vector::Fragments | Vector::Malformed => None,
    }
}

fn is_open(target: &Target, listening: &[(u8, u16)]) -> bool {
    match target {
        Target::Service { protocol, port } => listening.contains(&(*protocol, *port)),
        Target::Host | Target::Prefix { .. } => false,
    }
}

/// Whether a threat is aimed at a port of UDP that somebody listens on.
pub fn is_at_open_udp(threat: &Threat, listening: &[(u8, u16)]) -> bool {
    threat.vector == Vector::Udp && is_open(&threat.target, listening)
}
