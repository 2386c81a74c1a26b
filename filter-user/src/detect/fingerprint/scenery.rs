//! Traffic for tests.

use std::net::IpAddr;

use filter_common::{abi::traffic::TrafficClass, logic::packet::TcpFlags};

use crate::detect::{
    input::{Fate, Observed, Payload},
    sketch::Random,
};

/// The address of this host.
pub(super) const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 80));

/// A UDP packet of a source that proved nothing.
pub(super) fn udp(source: std::net::Ipv4Addr, from: u16, to: u16, payload: &[u8]) -> Observed {
    Observed {
        source: source.into(),
        destination: HOST,
        class: TrafficClass::Udp,
        protocol: 17,
        ports: Some((from, to)),
        flags: TcpFlags(0),
        icmp: None,
        is_fragment: false,
        hops: 57,
        length: 28 + payload.len() as u16,
        payload: Payload::new(payload),
        fate: Fate::Passed,
        is_proven: false,
    }
}

/// Makes traffic at random.
pub(super) struct Scenery {
    pub random: Random,
}

impl Scenery {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
        }
    }

    pub fn within(&mut self, first: u64, last: u64) -> u64 {
        first + self.random.below(last - first + 1)
    }

    /// Bytes that nothing tells apart from others.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.random.word() as u8).collect()
    }

    /// An address that anybody may forge.
    pub fn anybody(&mut self) -> std::net::Ipv4Addr {
        (self.random.word() as u32).into()
    }

    /// One of so many addresses that come again.
    pub fn visitor(&mut self, most: u64) -> std::net::Ipv4Addr {
        (0x5000_0000 + self.random.below(most) as u32 * 7_919).into()
    }

    /// Hops that are left of what systems begin with.
    pub fn hops(&mut self) -> u8 {
        let begin = if self.random.below(3) == 0 { 128 } else { 64 };
        (begin - self.within(5, 22)) as u8
    }

    /// Packets of visitors of a web site, nearly all of whom proved their addresses.
    pub fn web(&mut self, packets: usize) -> Vec<Observed> {
        (0..packets).map(|_| self.web_packet()).collect()
    }

    fn web_packet(&mut self) -> Observed {
        let kind = self.random.below(10);
        let (flags, length, class) = match kind {
            0 => (TcpFlags::SYN, self.within(52, 60), TrafficClass::Syn),
            1 => (TcpFlags::ACK | TcpFlags::FIN, 52, TrafficClass::Close),
            2..=5 => (TcpFlags::ACK, self.within(40, 64), TrafficClass::Ack),
            _ => (
                TcpFlags::ACK | TcpFlags::PSH,
                self.within(90, 1_400),
                TrafficClass::Ack,
            ),
        };
        let payload = self.noise(if kind > 5 { 48 } else { 0 });
        let ports = (self.within(1_024, 65_535) as u16, 443);
        Observed {
            class,
            protocol: 6,
            ports: Some(ports),
            flags: TcpFlags(flags),
            hops: self.hops(),
            length: length as u16,
            payload: Payload::new(&payload),
            is_proven: kind != 0,
            ..udp(self.visitor(5_000), 0, 0, &[])
        }
    }

    /// Questions to a name server by resolvers that come again: names of a few zones.
    pub fn questions(&mut self, packets: usize) -> Vec<Observed> {
        (0..packets)
            .map(|_| {
                let host = self.within(3, 12) as usize;
                let label: Vec<u8> = (0..host).map(|_| self.within(97, 122) as u8).collect();
                let payload = self.question(&label, b"\x07example\x03org\0\0\x01\0\x01");
                Observed {
                    hops: self.hops(),
                    is_proven: self.random.below(3) == 0,
                    ..udp(
                        self.visitor(400),
                        self.within(1_024, 65_535) as u16,
                        53,
                        &payload,
                    )
                }
            })
            .collect()
    }

    /// A question (RFC 1035, section 4.1) of a first label and what follows it.
    pub fn question(&mut self, label: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut payload = self.noise(2);
        payload.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8]);
        payload.extend(label);
        payload.extend(rest);
        payload
    }

    /// Packets of players of a game, who proved their addresses where they logged in.
    pub fn players(&mut self, packets: usize) -> Vec<Observed> {
        (0..packets)
            .map(|_| {
                let length = self.within(20, 400) as usize;
                let mut payload = vec![self.within(1, 9) as u8, 0x01];
                payload.extend(self.noise(length));
                Observed {
                    hops: self.hops(),
                    length: 30 + length as u16,
                    is_proven: self.random.below(4) != 0,
                    ..udp(
                        self.visitor(300),
                        self.within(1_024, 65_535) as u16,
                        27_015,
                        &payload,
                    )
                }
            })
            .collect()
    }
}
