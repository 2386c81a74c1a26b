//! The host behind the filter: what its links, cards, CPUs and stack can bear.

use std::collections::BTreeSet;

use filter_common::abi::traffic::TrafficClass;
use filter_user::detect::input::Stack;

use super::{
    filter::Verdict,
    flow::{Bond, Flow},
};

/// Bytes of frame and gap around an IP packet on Ethernet.
const FRAME: f64 = 38.0;
/// Packets a second that a CPU can look at in XDP.
const XDP: f64 = 5e6;
/// Packets a second that a CPU's stack can take.
const STACK: f64 = 600_000.0;
/// Half-open connections a second from which on the kernel sends cookies of its own.
const HALF_OPEN: f64 = 1_000.0;
/// Connections a second that are accepted, for each CPU.
const ACCEPTED: f64 = 15_000.0;
/// Datagrams a second that a server reads.
const READ: f64 = 250_000.0;

/// What a host is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// CPUs that receive.
    pub cpus: u32,
    /// Cards, each an interface.
    pub cards: u32,
    /// Bits a second of each card.
    pub speed: u64,
}

impl Machine {
    /// A server with two cards.
    pub const SMALL: Self = Self {
        cpus: 4,
        cards: 2,
        speed: 25_000_000_000,
    };
    /// One with four fast cards.
    pub const MEDIUM: Self = Self {
        cpus: 16,
        cards: 4,
        speed: 100_000_000_000,
    };
    /// What takes a terabit a second.
    pub const LARGE: Self = Self {
        cpus: 256,
        cards: 200,
        speed: 10_000_000_000,
    };

    /// The share of what is sent that comes over the wire, and of that the share that the cards
    /// do not lose.
    pub fn arrives(self, flows: &[Flow], rates: &[f64]) -> (f64, f64) {
        let all = flows.iter().zip(rates);
        let (packets, bits) = all.fold((0.0, 0.0), |(packets, bits), (flow, rate)| {
            let length = flow.mean_length() + FRAME;
            (packets + rate, bits + rate * length * 8.0)
        });
        let wire = f64::from(self.cards) * self.speed as f64;
        let through = (wire / bits).min(1.0);
        let card = f64::from(self.cpus) * XDP;
        (through, (card / (packets * through)).min(1.0))
    }
}

/// What the stack does in a step.
#[derive(Debug, Default)]
pub struct Behind {
    /// What it lost so far.
    pub stack: Stack,
    owed: [f64; 4],
}

impl Behind {
    /// Takes what the filter lets through. Gives the share of it that a full backlog loses.
    pub fn take(
        &mut self,
        machine: Machine,
        flows: &[Flow],
        rates: &[f64],
        verdicts: &[Verdict],
        listening: &BTreeSet<(u8, u16)>,
        seconds: f64,
    ) -> f64 {
        let (mut all, mut half_open, mut opened, mut read, mut came) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((flow, rate), verdict) in flows.iter().zip(rates).zip(verdicts) {
            let passed = rate * verdict.left;
            all += passed;
            came += rate;
            let is_open = flow
                .port()
                .is_some_and(|port| listening.contains(&(flow.protocol, port)));
            match flow.class {
                TrafficClass::Syn if is_open => {
                    half_open += passed * (1.0 - flow.completes);
                    opened += (passed + rate * verdict.answered()) * flow.completes;
                }
                TrafficClass::Udp | TrafficClass::Reflected
                    if is_open && flow.bond == Bond::None =>
                {
                    read += passed;
                }
                TrafficClass::Syn
                | TrafficClass::SynAck
                | TrafficClass::Close
                | TrafficClass::Ack
                | TrafficClass::Udp
                | TrafficClass::Reflected
                | TrafficClass::Icmp
                | TrafficClass::Fragment
                | TrafficClass::Protocol
                | TrafficClass::Malformed
                | TrafficClass::Other => {}
            }
        }
        let cpus = f64::from(machine.cpus);
        let excess = |rate: f64, capacity: f64| (rate - capacity).max(0.0);
        let lost = [
            excess(opened, ACCEPTED * cpus),
            excess(half_open, HALF_OPEN),
            excess(read, READ),
            excess(all, STACK * cpus),
        ];
        let mut whole = [0_u64; 4];
        for ((owed, lost), whole) in self.owed.iter_mut().zip(lost).zip(&mut whole) {
            *owed += lost * seconds;
            *whole = *owed as u64;
            *owed = owed.fract();
        }
        let [listen, cookies, udp, backlog] = whole;
        let stack = &mut self.stack;
        stack.listen_drops += listen;
        stack.cookies_sent += cookies;
        stack.udp_drops += udp;
        stack.backlog_drops += backlog;
        let busy = all / (STACK * cpus) + came / (XDP * cpus);
        stack.softirq = busy.min(1.0) as f32;
        stack.idle = (0.8 - busy).clamp(0.0, 1.0) as f32;
        let [_, _, _, backlog] = lost;
        if all > 0.0 { backlog / all } else { 0.0 }
    }
}
