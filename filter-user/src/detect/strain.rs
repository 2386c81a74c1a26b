//! What this host loses besides what the filter drops, and what gives out first.

use std::{collections::BTreeMap, time::Duration};

use super::{
    input::{InterfaceReading, Snapshot, Stack},
    vector::Vector,
};
use crate::render::number;

/// Interfaces that are kept apart at most.
const INTERFACES: usize = 256;
/// Share of a link's speed above which it is full.
const FULL: f64 = 0.9;
/// Share of a CPU in soft interrupts above which it has no time left.
const BUSY: f32 = 0.85;
/// Share of all CPUs that is idle above which it is not for lack of CPU that somebody is slow.
const IDLE: f32 = 0.2;
/// Losses a second below which they are the noise of any busy host.
const NOISE: f64 = 10.0;

/// Losses, a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strain {
    /// Connections that found a listener's queue full.
    pub listen: f64,
    /// Datagrams that found a socket's buffer full.
    pub udp: f64,
    /// Packets that a CPU's backlog had no room for.
    pub backlog: f64,
    /// Packets lost before the filter.
    pub card: f64,
    /// Names of the interfaces that lose them.
    pub losing: Vec<String>,
    /// Name of an interface whose link is full, and its share of the speed.
    pub full: Option<(String, f64)>,
    /// Share of the busiest CPU in soft interrupts.
    pub softirq: f32,
    /// Share of all CPUs that is idle.
    pub idle: f32,
    /// Interfaces that do not say what they lose, or how fast they are.
    pub mute: Vec<String>,
}

/// Reads losses.
#[derive(Debug, Default)]
pub struct Meter {
    last: Option<(Duration, Stack, BTreeMap<String, InterfaceReading>)>,
    strain: Strain,
}

impl Meter {
    /// Takes a reading. Losses are averaged over about a second.
    pub fn read(&mut self, snapshot: &Snapshot) {
        let interfaces = snapshot.interfaces.iter().take(INTERFACES);
        let now: BTreeMap<String, InterfaceReading> = interfaces
            .map(|interface| (interface.name.clone(), interface.clone()))
            .collect();
        if let Some((elapsed, stack, before)) = &self.last {
            let seconds = snapshot.elapsed.saturating_sub(*elapsed).as_secs_f64();
            if seconds < 0.02 {
                return;
            }
            let mix = seconds.min(1.0);
            let blend = |old: f64, new: u64, last: u64| {
                let rate = new.saturating_sub(last) as f64 / seconds;
                old + (rate - old) * mix
            };
            let (old, new) = (&self.strain, &snapshot.stack);
            let mut next = Strain {
                listen: blend(old.listen, new.listen_drops, stack.listen_drops),
                udp: blend(old.udp, new.udp_drops, stack.udp_drops),
                backlog: blend(old.backlog, new.backlog_drops, stack.backlog_drops),
                softirq: new.softirq,
                idle: new.idle,
                ..Strain::default()
            };
            let mut lost = 0;
            for (name, interface) in &now {
                let Some(before) = before.get(name) else {
                    continue;
                };
                next.look(interface, before, seconds);
                if let (Some(new), Some(old)) = (interface.lost, before.lost) {
                    lost += new.saturating_sub(old);
                }
            }
            next.card = blend(old.card, lost, 0);
            self.strain = next;
        }
        self.last = Some((snapshot.elapsed, snapshot.stack, now));
    }

    /// What is lost now.
    pub const fn strain(&self) -> &Strain {
        &self.strain
    }
}

impl Strain {
    fn look(&mut self, now: &InterfaceReading, before: &InterfaceReading, seconds: f64) {
        let bytes = |reading: &InterfaceReading| -> u64 {
            let counters = reading.traffic.iter();
            counters.fold(0, |sum, counter| sum.saturating_add(counter.bytes))
        };
        let bits = bytes(now).saturating_sub(bytes(before)) as f64 * 8.0 / seconds;
        match now.speed {
            Some(speed) if speed > 0 => {
                let share = bits / speed as f64;
                if share >= FULL && self.full.as_ref().is_none_or(|(_, most)| share > *most) {
                    self.full = Some((now.name.clone(), share));
                }
            }
            Some(_) | None => self
                .mute
                .push(format!("{} does not say how fast it is", now.name)),
        }
        match (now.lost, before.lost) {
            (Some(new), Some(old)) if new > old => self.losing.push(now.name.clone()),
            (Some(_), _) => {}
            (None, _) => self.mute.push(format!(
                "{} does not say what it loses before the filter",
                now.name
            )),
        }
    }

    /// What gives out first, if anything does, from the wire upwards.
    pub fn bottleneck(&self) -> Option<String> {
        if let Some((name, share)) = &self.full {
            return Some(format!("link: {name} is {:.0} % full", share * 100.0));
        }
        if self.softirq >= BUSY {
            let share = self.softirq * 100.0;
            return Some(format!(
                "CPU: soft interrupts take {share:.0} % of the busiest"
            ));
        }
        if self.card >= NOISE {
            let (names, lost) = (self.losing.join(", "), self.card);
            let of = if names.is_empty() { "" } else { " of " };
            return Some(format!(
                "card: loses {} packets/s{of}{names}",
                number::whole(lost)
            ));
        }
        if self.backlog >= NOISE {
            let lost = self.backlog;
            return Some(format!(
                "stack: a CPU's backlog loses {} packets/s",
                number::whole(lost)
            ));
        }
        if self.udp >= NOISE && self.idle < IDLE {
            return Some(format!(
                "stack: {} datagrams/s find their buffer full",
                number::whole(self.udp)
            ));
        }
        if self.listen >= NOISE && self.idle < IDLE {
            let lost = self.listen;
            return Some(format!(
                "stack: {} connections/s find the queue full",
                number::whole(lost)
            ));
        }
        let slow = self.listen.max(self.udp);
        (slow >= NOISE).then(|| {
            let idle = self.idle * 100.0;
            let what = if self.listen >= self.udp {
                "connections/s are not accepted in time"
            } else {
                "datagrams/s are not read in time"
            };
            let slow = number::whole(slow);
            format!("application: {slow} {what}, while {idle:.0} % of the CPUs are idle")
        })
    }

    /// Whether anything is lost that the filter could have kept away.
    pub fn hurts(&self) -> bool {
        let losses = [self.listen, self.udp, self.backlog, self.card];
        losses.iter().any(|lost| *lost >= NOISE)
    }

    /// What a vector makes this host lose, a second, and in words.
    pub fn of(&self, vector: Vector) -> Option<(f64, &'static str)> {
        let own = match vector {
            Vector::Syn | Vector::Connections => {
                (self.listen, "connections/s find a listener's queue full")
            }
            Vector::Udp | Vector::Reflection | Vector::Fragments => {
                (self.udp, "datagrams/s find a socket's buffer full")
            }
            Vector::SynAck
            | Vector::Ack
            | Vector::Close
            | Vector::Icmp
            | Vector::Protocols
            | Vector::Malformed => (0.0, ""),
        };
        if own.0 >= NOISE {
            return Some(own);
        }
        (self.backlog >= NOISE).then_some((self.backlog, "packets/s find a CPU's backlog full"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_thing_that_gives_out_is_named() {
        let mut strain = Strain {
            listen: 50.0,
            idle: 0.9,
            ..Strain::default()
        };
        let says = |strain: &Strain, word: &str| {
            strain
                .bottleneck()
                .is_some_and(|text| text.starts_with(word))
        };
        assert!(says(&strain, "application"));
        strain.idle = 0.01;
        assert!(says(&strain, "stack"));
        strain.card = 500.0;
        assert!(says(&strain, "card"));
        strain.softirq = 0.9;
        assert!(says(&strain, "CPU"));
        strain.full = Some(("eth0".to_owned(), 0.97));
        assert_eq!(
            strain.bottleneck().as_deref(),
            Some("link: eth0 is 97 % full")
        );
        assert_eq!(Strain::default().bottleneck(), None);
    }
}
