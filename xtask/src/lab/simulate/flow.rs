//! Flows: packets of one kind from one population, as aggregates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::{
    abi::{reason::Reason, traffic::TrafficClass},
    logic::packet::{TcpFlags, protocol},
};
use filter_user::{
    core::reflectors::REFLECTORS,
    detect::{Fate, Observed, input::Payload, sketch::Random},
};

use super::people::People;

/// The network of this host, 203.0.113.0/24, and its first address.
const HOST: u32 = 0xCB00_7100;

/// For whose sake a flow is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Calm traffic, which must not be touched.
    Calm,
    /// An attack.
    Attack,
    /// What the Internet sends to everybody: scans, backscatter. Nobody misses it.
    Noise,
}

/// What this host has to do with the packets of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// Nothing.
    None,
    /// They belong to its connections, or to questions that it asked.
    Established,
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This one.
    Is(u16),
    /// Any.
    Any,
}

/// Hop limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// As systems begin and paths are long.
    Natural,
    /// Any number.
    Random,
    /// What one sender far away makes of it.
    Is(u8),
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What all of them begin with.
    pub begin: &'static [u8],
    /// How many bytes of noise follow.
    pub noise: u8,
}

/// Packets of one kind.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its name.
    pub name: &'static str,
    /// For whose sake it is there.
    pub side: Side,
    /// Who sends it.
    pub who: People,
    /// Its class.
    pub class: TrafficClass,
    /// Packets a second.
    pub rate: f64,
    /// How much of that comes and goes.
    pub wave: f64,
    /// IP protocol.
    pub protocol: u8,
    /// Source and destination port.
    pub ports: Option<(Port, Port)>,
    /// TCP flags.
    pub flags: u8,
    /// Type and code of ICMP.
    pub icmp: Option<(u8, u8)>,
    /// Pieces of packets.
    pub is_fragment: bool,
    /// Hop limits.
    pub hops: Hops,
    /// Shortest and longest IP packet.
    pub length: (u16, u16),
    /// What it carries.
    pub load: Load,
    /// How many addresses of this host's network it is for.
    pub destinations: u32,
    /// What this host has to do with it.
    pub bond: Bond,
    /// Share of its packets from sources that proved their address.
    pub proven: f64,
    /// Share of its sources that were here, and good, on another day.
    pub good: f64,
    /// Share of those sources' packets that arrive with a hop limit that they are known to have.
    pub expected: f64,
    /// Share of its SYNs that become connections, if they are let in.
    pub completes: f64,
    /// The reason that a sane filter drops it for at once.
    pub defect: Option<Reason>,
    /// Name of the flow without which it does not come: connections follow SYNs.
    pub follows: Option<&'static str>,
    /// Whether it shares the fate of that flow in the filter as well: later fragments.
    pub shares_fate: bool,
    /// Whether all of it comes over one CPU.
    pub is_single: bool,
}

impl Flow {
    fn new(name: &'static str, who: People, class: TrafficClass, rate: f64) -> Self {
        Self {
            name,
            side: Side::Calm,
            who,
            class,
            rate,
            wave: 0.1,
            protocol: protocol::TCP,
            ports: None,
            flags: 0,
            icmp: None,
            is_fragment: false,
            hops: Hops::Natural,
            length: (60, 60),
            load: Load {
                begin: &[],
                noise: 0,
            },
            destinations: 1,
            bond: Bond::None,
            proven: 0.0,
            good: 0.0,
            expected: 1.0,
            completes: 0.0,
            defect: None,
            follows: None,
            shares_fate: false,
            is_single: false,
        }
    }

    /// TCP with these flags to a port.
    pub fn tcp(name: &'static str, who: People, flags: u8, to: Port, rate: f64) -> Self {
        Self {
            flags,
            ports: Some((Port::Any, to)),
            ..Self::new(name, who, TrafficClass::of_tcp(TcpFlags(flags)), rate)
        }
    }

    /// UDP between ports.
    pub fn udp(name: &'static str, who: People, ports: (Port, Port), rate: f64) -> Self {
        let class = match ports.0 {
            Port::Is(from) if is_reflector(from) => TrafficClass::Reflected,
            Port::Is(_) | Port::Any => TrafficClass::Udp,
        };
        Self {
            protocol: protocol::UDP,
            ports: Some(ports),
            load: Load {
                begin: &[],
                noise: 48,
            },
            ..Self::new(name, who, class, rate)
        }
    }

    /// ICMP.
    pub fn icmp(name: &'static str, who: People, kind: (u8, u8), rate: f64) -> Self {
        Self {
            protocol: if who.is_v6() {
                protocol::ICMPV6
            } else {
                protocol::ICMP
            },
            icmp: Some(kind),
            length: (84, 84),
            ..Self::new(name, who, TrafficClass::Icmp, rate)
        }
    }

    /// Later fragments.
    pub fn fragments(name: &'static str, who: People, protocol: u8, rate: f64) -> Self {
        Self {
            protocol,
            is_fragment: true,
            length: (1_228, 1_500),
            ..Self::new(name, who, TrafficClass::Fragment, rate)
        }
    }

    /// Another IP protocol.
    pub fn other(name: &'static str, who: People, protocol: u8, rate: f64) -> Self {
        Self {
            protocol,
            length: (84, 84),
            ..Self::new(name, who, TrafficClass::Protocol, rate)
        }
    }

    /// What cannot be parsed.
    pub fn malformed(name: &'static str, who: People, rate: f64) -> Self {
        Self {
            defect: Some(Reason::Malformed),
            ..Self::new(name, who, TrafficClass::Malformed, rate)
        }
    }

    /// The port of this host, if there is one that is always the same.
    pub fn port(&self) -> Option<u16> {
        match self.ports {
            Some((_, Port::Is(port))) => Some(port),
            Some((_, Port::Any)) | None => None,
        }
    }

    /// Mean length of its IP packets.
    pub fn mean_length(&self) -> f64 {
        f64::midpoint(f64::from(self.length.0), f64::from(self.length.1))
    }

    /// One of its packets.
    pub fn packet(&self, fate: Fate, random: &mut Random) -> Observed {
        let source = self.who.pick(random);
        let last = random.below(u64::from(self.destinations.max(1))) as u32;
        let destination = if self.who.is_v6() {
            IpAddr::V6(Ipv6Addr::from_bits(
                0x2001_0db8 << 96 | u128::from(last + 1),
            ))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(HOST + (last + 80) % 256))
        };
        let mut port = |port| match port {
            Port::Is(port) => port,
            Port::Any => random.below(64_511) as u16 + 1_024,
        };
        let ports = self.ports.map(|(from, to)| (port(from), port(to)));
        let hops = match self.hops {
            Hops::Natural => People::hops(source),
            Hops::Random => random.word() as u8,
            Hops::Is(hops) => hops,
        };
        let span = u64::from(self.length.1.saturating_sub(self.length.0)) + 1;
        let mut payload = self.load.begin.to_vec();
        payload.extend((0..self.load.noise).map(|_| random.word() as u8));
        Observed {
            source,
            destination,
            class: self.class,
            protocol: self.protocol,
            ports,
            flags: TcpFlags(self.flags),
            icmp: self.icmp,
            is_fragment: self.is_fragment,
            hops,
            length: self.length.0 + random.below(span) as u16,
            payload: Payload::new(&payload),
            fate,
            is_proven: self.bond == Bond::Established && self.protocol == protocol::TCP
                || random.unit() < self.proven,
        }
    }
}

fn is_reflector(port: u16) -> bool {
    REFLECTORS.iter().any(|reflector| reflector.port == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_what_its_flow_says() {
        let mut random = Random::new(3);
        let who = People::one(0xC6_3364);
        let flow = Flow {
            length: (100, 140),
            load: Load {
                begin: b"\x17",
                noise: 8,
            },
            ..Flow::udp("ntp", who, (Port::Is(123), Port::Any), 10.0)
        };
        assert_eq!(flow.class, TrafficClass::Reflected);
        for _ in 0..100 {
            let packet = flow.packet(Fate::Passed, &mut random);
            assert_eq!(who.rank(packet.source), Some(0));
            assert!((100..=140).contains(&packet.length));
            assert_eq!(packet.ports.map(|(from, _)| from), Some(123));
            assert_eq!(packet.payload.as_slice().first(), Some(&0x17));
            assert!(!packet.is_proven);
        }
    }
}
