//! A small world for tests: flows of packets become the readings that the controller gets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter, happened, observed},
        reason::Reason,
        traffic::{TRAFFIC_CLASSES, TrafficClass},
    },
    logic::packet::TcpFlags,
};
use jiff::Timestamp;

use super::{
    input::{Fate, Handshakes, InterfaceReading, Observed, Payload, Snapshot, Stack},
    sketch::Random,
};

/// Who sends a flow.
#[derive(Clone, Copy, Debug)]
pub enum Senders {
    /// So many hosts of one network.
    Hosts(u32),
    /// Any address there is, whether anybody has it or not.
    Anybody,
}

/// Packets of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub class: TrafficClass,
    /// Packets a second.
    pub rate: f64,
    pub length: u64,
    pub port: u16,
    pub senders: Senders,
    /// The first network of its hosts.
    pub network: u32,
    pub fate: Fate,
    pub is_proven: bool,
    /// How many destinations of 203.0.113.0/24 it is for.
    pub destinations: u8,
    /// Handshakes that come of it, for each packet.
    pub completes: f64,
}

impl Flow {
    /// Of a class to a port, passed.
    pub fn new(class: TrafficClass, rate: f64, port: u16) -> Self {
        Self {
            class,
            rate,
            length: 100,
            port,
            senders: Senders::Hosts(300),
            network: 0x0A00_0000,
            fate: Fate::Passed,
            is_proven: false,
            destinations: 1,
            completes: 0.0,
        }
    }

    pub fn from(self, senders: Senders) -> Self {
        Self { senders, ..self }
    }

    pub fn stopped(self, reason: Reason) -> Self {
        let fate = Fate::Stopped(reason);
        Self { fate, ..self }
    }

    pub fn proven(self) -> Self {
        Self {
            is_proven: true,
            ..self
        }
    }
}

/// Everyday life of a small web server.
pub fn calm() -> Vec<Flow> {
    vec![
        Flow {
            completes: 0.97,
            ..Flow::new(TrafficClass::Syn, 60.0, 443)
        },
        Flow::new(TrafficClass::Ack, 2_000.0, 443).proven(),
        Flow::new(TrafficClass::Close, 60.0, 443).proven(),
        Flow::new(TrafficClass::Udp, 30.0, 123),
        Flow::new(TrafficClass::Reflected, 5.0, 40_000),
        Flow::new(TrafficClass::Icmp, 2.0, 0),
    ]
}

/// What is there between two readings.
#[derive(Debug)]
pub struct World {
    pub snapshot: Snapshot,
    pub step: Duration,
    random: Random,
    owed: BTreeMap<usize, f64>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let snapshot = Snapshot {
            now: Timestamp::from_second(1_764_000_000).unwrap(),
            elapsed: Duration::from_secs(5),
            traffic: [Counter::default(); TRAFFIC_CLASSES],
            interfaces: vec![InterfaceReading {
                name: "eth0".to_owned(),
                lost: Some(0),
                speed: Some(10_000_000_000),
                ..InterfaceReading::default()
            }],
            counters: Box::new([Counter::default(); COUNTERS as usize]),
            handshakes: BTreeMap::new(),
            stack: Stack {
                idle: 0.8,
                ..Stack::default()
            },
            observed: Vec::new(),
            standings: Vec::new(),
            listening: vec![(6, 443), (6, 22), (17, 123), (17, 5_060)],
        };
        Self {
            snapshot,
            step: Duration::from_millis(100),
            random: Random::new(seed),
            owed: BTreeMap::new(),
        }
    }

    /// Lets a step pass.
    pub fn pass(&mut self, flows: &[Flow]) -> &Snapshot {
        let seconds = self.step.as_secs_f64();
        self.snapshot.elapsed += self.step;
        self.snapshot.now += jiff::SignedDuration::try_from(self.step).unwrap();
        self.snapshot.observed.clear();
        self.snapshot.standings.clear();
        for (index, flow) in flows.iter().enumerate() {
            let owed = self.owed.entry(index).or_default();
            // Noise of a tenth, and fractions of packets for the next step.
            *owed += flow.rate * seconds * (0.9 + 0.2 * self.random.unit());
            let packets = owed.floor();
            *owed -= packets;
            self.count(flow, packets as u64);
        }
        self.observe(flows, false, 10);
        self.observe(flows, true, 40);
        let traffic = self.snapshot.traffic;
        for interface in &mut self.snapshot.interfaces {
            interface.traffic = traffic;
        }
        &self.snapshot
    }

    fn count(&mut self, flow: &Flow, packets: u64) {
        let bytes = packets * flow.length;
        add(
            &mut self.snapshot.traffic[flow.class as usize],
            packets,
            bytes,
        );
        let counters = &mut self.snapshot.counters;
        match flow.fate {
            Fate::Passed => add(
                &mut counters[happened(Reason::Clean) as usize],
                packets,
                bytes,
            ),
            Fate::Watched(reason) => {
                add(
                    &mut counters[happened(Reason::Clean) as usize],
                    packets,
                    bytes,
                );
                add(
                    &mut counters[observed(reason.code()) as usize],
                    packets,
                    bytes,
                );
            }
            Fate::Stopped(reason) => {
                add(&mut counters[happened(reason) as usize], packets, bytes);
            }
        }
        if flow.completes > 0.0 {
            let port: &mut Handshakes = self.snapshot.handshakes.entry(flow.port).or_default();
            let exact = packets as f64 * flow.completes;
            let more = exact.floor() as u64 + u64::from(self.random.unit() < exact.fract());
            port.completed += more;
        }
    }

    fn observe(&mut self, flows: &[Flow], is_stopped: bool, budget: usize) {
        let of = |flow: &&Flow| matches!(flow.fate, Fate::Stopped(_)) == is_stopped;
        let all: f64 = flows.iter().filter(of).map(|flow| flow.rate).sum();
        let wanted = (all * self.step.as_secs_f64()).ceil() as usize;
        for _ in 0..budget.min(wanted) {
            let mut at = self.random.unit() * all;
            let chosen = flows.iter().filter(of).find(|flow| {
                at -= flow.rate;
                at <= 0.0
            });
            if let Some(flow) = chosen {
                let packet = self.packet(flow);
                self.snapshot.observed.push(packet);
            }
        }
    }

    fn packet(&mut self, flow: &Flow) -> Observed {
        let (source, hops) = match flow.senders {
            Senders::Hosts(count) => {
                let host = self.random.below(u64::from(count)) as u32;
                // Ten hosts to a network, each at a distance of its own.
                let address = flow.network + (host / 10) * 256 + host % 10 + 1;
                (address, 64 - (host / 10 % 20) as u8)
            }
            Senders::Anybody => {
                let word = self.random.word();
                (word as u32, (word >> 32) as u8)
            }
        };
        let last = self.random.below(u64::from(flow.destinations.max(1))) as u8;
        let (protocol, flags) = match flow.class {
            TrafficClass::Syn => (6, TcpFlags::SYN),
            TrafficClass::SynAck => (6, TcpFlags::SYN | TcpFlags::ACK),
            TrafficClass::Close => (6, TcpFlags::RST),
            TrafficClass::Ack => (6, TcpFlags::ACK),
            TrafficClass::Icmp => (1, 0),
            TrafficClass::Protocol => (47, 0),
            TrafficClass::Udp
            | TrafficClass::Reflected
            | TrafficClass::Fragment
            | TrafficClass::Malformed
            | TrafficClass::Other => (17, 0),
        };
        let has_ports = matches!(protocol, 6 | 17) && flow.class != TrafficClass::Fragment;
        let port = if flow.port == 0 {
            self.random.below(65_535) as u16 + 1
        } else {
            flow.port
        };
        Observed {
            source: IpAddr::V4(Ipv4Addr::from(source)),
            destination: IpAddr::V4(Ipv4Addr::new(203, 0, 113, last.saturating_add(1))),
            class: flow.class,
            protocol,
            ports: has_ports.then_some((40_000, port)),
            flags: TcpFlags(flags),
            icmp: (protocol == 1).then_some((8, 0)),
            is_fragment: flow.class == TrafficClass::Fragment,
            hops,
            length: flow.length as u16,
            payload: Payload::new(&[]),
            fate: flow.fate,
            is_proven: flow.is_proven,
        }
    }
}

fn add(counter: &mut Counter, packets: u64, bytes: u64) {
    counter.packets += packets;
    counter.bytes += bytes;
}
