//! What an attack does to the stack: whether it loses anything, and whether handshakes complete.

use std::{collections::BTreeMap, time::Duration};

use crate::detect::{
    Scene, Target, Threat, Vector,
    input::{Handshakes, Stack},
};

/// Losses a second from which on the stack counts as losing.
const LOSING: f64 = 10.0;
/// The time over which rates are smoothed, in seconds.
const SMOOTH: f64 = 1.0;
/// The share of SYNs whose handshakes complete from which on they come from visitors.
const CROWD: f64 = 0.5;

/// A counter and its rate.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    count: u64,
    rate: f64,
    is_known: bool,
}

/// What the stack lost of late.
#[derive(Debug, Default)]
pub struct Strain {
    at: Option<Duration>,
    stack: Stack,
    connections: f64,
    cookies: f64,
    datagrams: f64,
    completed: BTreeMap<u16, Meter>,
}

impl Strain {
    /// Reads what a step tells.
    pub fn read(&mut self, scene: &Scene<'_>) {
        let stack = scene.snapshot.stack;
        let passed = match self.at.replace(scene.elapsed) {
            Some(at) => scene.elapsed.saturating_sub(at).as_secs_f64(),
            None => 0.0,
        };
        let before = std::mem::replace(&mut self.stack, stack);
        if passed > 0.0 {
            let lost = |now: u64, then: u64| now.saturating_sub(then);
            let dropped = lost(stack.listen_drops, before.listen_drops);
            smooth(&mut self.connections, dropped, passed);
            let answered = lost(stack.cookies_sent, before.cookies_sent);
            smooth(&mut self.cookies, answered, passed);
            let dropped = lost(stack.udp_drops, before.udp_drops);
            smooth(&mut self.datagrams, dropped, passed);
        }
        self.read_handshakes(scene, passed);
    }

    fn read_handshakes(&mut self, scene: &Scene<'_>, passed: f64) {
        let ports = scene.threats.iter().filter_map(tcp_port);
        let mut completed = BTreeMap::new();
        for port in ports {
            let Some(handshakes) = scene.snapshot.handshakes.get(&port) else {
                continue;
            };
            let count = total(handshakes);
            let meter = match self.completed.get(&port) {
                Some(before) if passed > 0.0 => {
                    let new = count.saturating_sub(before.count);
                    let mut rate = before.rate;
                    if before.is_known {
                        smooth(&mut rate, new, passed);
                    } else {
                        rate = new as f64 / passed;
                    }
                    Meter {
                        count,
                        rate,
                        is_known: true,
                    }
                }
                Some(before) => *before,
                None => Meter {
                    count,
                    ..Meter::default()
                },
            };
            completed.insert(port, meter);
        }
        self.completed = completed;
    }

    /// Whether connections find no place. What the kernel answers with cookies of its own counts
    /// while the filter does not answer, for then the kernel always does.
    pub fn loses_connections(&self, filter_answers: bool) -> bool {
        self.connections >= LOSING || (!filter_answers && self.cookies >= LOSING)
    }

    /// Datagrams a second that find no place, if that is many.
    pub fn loses_datagrams(&self) -> Option<f64> {
        (self.datagrams >= LOSING).then_some(self.datagrams)
    }

    /// Whether so many SYNs of a threat become connections that visitors send them.
    pub fn is_crowd(&self, threat: &Threat) -> bool {
        tcp_port(threat)
            .filter(|_| threat.vector == Vector::Syn)
            .and_then(|port| self.completed.get(&port))
            .is_some_and(|meter| meter.is_known && meter.rate >= threat.rate * CROWD)
    }
}

const fn tcp_port(threat: &Threat) -> Option<u16> {
    match threat.target {
        Target::Service { protocol: 6, port } => Some(port),
        Target::Service { .. } | Target::Host | Target::Prefix { .. } => None,
    }
}

fn total(handshakes: &Handshakes) -> u64 {
    handshakes.completed.max(handshakes.accepted)
}

/// Takes `new` events of the last `passed` seconds into a rate.
fn smooth(rate: &mut f64, new: u64, passed: f64) {
    let weight = passed / (SMOOTH + passed);
    *rate += (new as f64 / passed - *rate) * weight;
}
