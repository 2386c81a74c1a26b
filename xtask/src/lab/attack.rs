//! The named attacks, as data: what a packet looks like and what varies in it.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, bail};
use etherparse::{
    IpFragOffset, IpHeaders, Ipv4Header, PacketBuilder, PacketBuilderStep, TcpHeader, ip_number,
};

use super::{
    sandbox::hosts,
    shape::{self, Layout, abi::Shape},
};

/// The smallest frame on the wire without its check sequence, rounded up to 8 bytes: the
/// generator puts templates back in words.
const SHORTEST: usize = 64;

/// One kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// How it is carried.
    pub packet: Packet,
    /// Who seems to send it.
    pub sources: Sources,
    /// What else differs from packet to packet.
    pub varies: &'static [Varies],
}

/// What a packet of a flood is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// TCP with these flags (RFC 9293's bits, FIN lowest) to a port.
    Tcp {
        /// The flags' byte.
        flags: u8,
        /// Destination port.
        port: u16,
    },
    /// UDP with a payload of zeros.
    Udp {
        /// Destination port.
        port: u16,
        /// Bytes of payload.
        payload: usize,
    },
    /// An ICMP echo request.
    Echo {
        /// Bytes of payload.
        payload: usize,
    },
    /// A later fragment of a UDP datagram.
    Fragment {
        /// Its offset in bytes.
        offset: u16,
        /// Bytes of payload.
        payload: usize,
    },
}

/// Who seems to send a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// 198.18.0.1.
    One,
    /// 2^bits addresses from 198.18.0.0 on.
    Many {
        /// The number of addresses, as a power of two.
        bits: u32,
    },
    /// Any of 2^30 addresses, 128.0.0.0/2, which holds nobody whom no packet can come from.
    Random,
    /// Random /64s of 3fff::/20.
    RandomV6,
}

/// A field beside the source address that differs from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// The source port, from 1024 on.
    SourcePort,
    /// The destination port, from 1024 on.
    DestinationPort,
    /// TCP's sequence number.
    Sequence,
    /// TCP's acknowledgement number.
    Acknowledgement,
    /// IPv4's identification.
    Identification,
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const HTTP: u16 = super::http::PORT;
/// A port where the sandbox has nobody listening.
const CLOSED: u16 = 27_015;

/// Every attack the lab knows.
pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "syn-random",
        about: "SYNs to the web server's port, each from another forged address",
        packet: Packet::Tcp {
            flags: SYN,
            port: HTTP,
        },
        sources: Sources::Random,
        varies: &[Varies::SourcePort, Varies::Sequence],
    },
    Attack {
        name: "syn-one",
        about: "SYNs to the web server's port from one address",
        packet: Packet::Tcp {
            flags: SYN,
            port: HTTP,
        },
        sources: Sources::One,
        varies: &[Varies::SourcePort, Varies::Sequence],
    },
    Attack {
        name: "syn-16",
        about: "SYNs to the web server's port from a botnet of 16 addresses",
        packet: Packet::Tcp {
            flags: SYN,
            port: HTTP,
        },
        sources: Sources::Many { bits: 4 },
        varies: &[Varies::SourcePort, Varies::Sequence],
    },
    Attack {
        name: "syn6-random",
        about: "IPv6 SYNs to the web server's port, each from another forged /64",
        packet: Packet::Tcp {
            flags: SYN,
            port: HTTP,
        },
        sources: Sources::RandomV6,
        varies: &[Varies::SourcePort, Varies::Sequence],
    },
    Attack {
        name: "ack-random",
        about: "ACKs that belong to no connection, each from another forged address",
        packet: Packet::Tcp {
            flags: ACK,
            port: HTTP,
        },
        sources: Sources::Random,
        varies: &[
            Varies::SourcePort,
            Varies::Sequence,
            Varies::Acknowledgement,
        ],
    },
    Attack {
        name: "udp-random",
        about: "UDP to random ports, each from another forged address",
        packet: Packet::Udp {
            port: CLOSED,
            payload: 22,
        },
        sources: Sources::Random,
        varies: &[Varies::SourcePort, Varies::DestinationPort],
    },
    Attack {
        name: "udp-one",
        about: "UDP to a closed port from one address",
        packet: Packet::Udp {
            port: CLOSED,
            payload: 22,
        },
        sources: Sources::One,
        varies: &[Varies::SourcePort],
    },
    Attack {
        name: "udp-64k",
        about: "UDP to a closed port from a botnet of 65,536 addresses",
        packet: Packet::Udp {
            port: CLOSED,
            payload: 22,
        },
        sources: Sources::Many { bits: 16 },
        varies: &[Varies::SourcePort],
    },
    Attack {
        name: "udp6-random",
        about: "IPv6 UDP to random ports, each from another forged /64",
        packet: Packet::Udp {
            port: CLOSED,
            payload: 22,
        },
        sources: Sources::RandomV6,
        varies: &[Varies::SourcePort, Varies::DestinationPort],
    },
    Attack {
        name: "udp-frag",
        about: "later fragments of large datagrams, as amplifiers send them",
        packet: Packet::Fragment {
            offset: 1480,
            payload: 1200,
        },
        sources: Sources::Random,
        varies: &[Varies::Identification],
    },
    Attack {
        name: "icmp-echo",
        about: "echo requests, each from another forged address",
        packet: Packet::Echo { payload: 56 },
        sources: Sources::Random,
        varies: &[Varies::Sequence],
    },
];

/// The attack of this name.
pub fn named(name: &str) -> Result<Attack> {
    let known = || {
        ATTACKS
            .iter()
            .map(|attack| attack.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    ATTACKS
        .iter()
        .find(|attack| attack.name == name)
        .copied()
        .with_context(|| format!("there is no attack {name}; there are {}", known()))
}

impl Attack {
    /// The frame before anything varies, addressed to the sandbox's server.
    pub fn template(&self) -> Result<Vec<u8>> {
        let (from, to) = (hosts::GATEWAY, hosts::SERVER);
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let mut frame = self.frame(match self.sources {
            Sources::RandomV6 => ethernet.ipv6(SOURCES_V6.octets(), to.v6.octets(), HOPS),
            Sources::One | Sources::Many { .. } | Sources::Random => {
                let source = Ipv4Addr::from(SOURCES_V4).octets();
                match self.packet {
                    Packet::Fragment { offset, payload } => {
                        ethernet.ip(later_fragment(source, to.v4.octets(), offset, payload)?)
                    }
                    Packet::Tcp { .. } | Packet::Udp { .. } | Packet::Echo { .. } => {
                        ethernet.ipv4(source, to.v4.octets(), HOPS)
                    }
                }
            }
        })?;
        let padded = frame.len().next_multiple_of(8).max(SHORTEST);
        frame.resize(padded, 0);
        Ok(frame)
    }

    /// What the generator's program needs to make this flood.
    pub fn shape(&self, ifindex: u32) -> Result<Shape> {
        let frame = self.template()?;
        let layout = Layout::of(&frame)?;
        let mut patches = vec![match self.sources {
            Sources::One => layout.source(0, SOURCES_V4, 0),
            Sources::Many { bits } => layout.source(0, SOURCES_V4, mask(bits)),
            Sources::Random => layout.source(0, 0x8000_0000, mask(30)),
            // The second half of the /64; the first is 3fff:0.
            Sources::RandomV6 => layout.source(4, 0, u32::MAX),
        }];
        for varies in self.varies {
            patches.push(match (varies, self.packet) {
                (Varies::SourcePort, _) => layout.l4_field(0, 2, 0x8000, 0x7fff),
                (Varies::DestinationPort, _) => layout.l4_field(2, 2, 0x8000, 0x7fff),
                (Varies::Sequence, Packet::Echo { .. }) => layout.l4_field(6, 2, 0, 0xffff),
                (Varies::Sequence, _) => layout.l4_field(4, 4, 0, u32::MAX),
                (Varies::Acknowledgement, _) => layout.l4_field(8, 4, 0, u32::MAX),
                (Varies::Identification, _) => layout.identification(0xffff),
            });
        }
        shape::shape(&frame, &patches, ifindex)
    }

    fn frame(&self, step: PacketBuilderStep<IpHeaders>) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        let is_v6 = self.sources == Sources::RandomV6;
        match self.packet {
            Packet::Tcp { flags, port } => {
                let mut header = TcpHeader::new(1024, port, 1, 64_240);
                set_flags(&mut header, flags);
                step.tcp_header(header).write(&mut frame, &[])?;
            }
            Packet::Udp { port, payload } => {
                step.udp(1024, port).write(&mut frame, &vec![0; payload])?;
            }
            Packet::Echo { payload } if is_v6 => {
                step.icmpv6_echo_request(7, 0)
                    .write(&mut frame, &vec![0; payload])?;
            }
            Packet::Echo { payload } => {
                step.icmpv4_echo_request(7, 0)
                    .write(&mut frame, &vec![0; payload])?;
            }
            Packet::Fragment { .. } if is_v6 => bail!("{}: fragments are IPv4", self.name),
            Packet::Fragment { payload, .. } => {
                step.write(&mut frame, ip_number::UDP, &vec![0; payload])?;
            }
        }
        Ok(frame)
    }
}

fn later_fragment(from: [u8; 4], to: [u8; 4], offset: u16, payload: usize) -> Result<IpHeaders> {
    let length = u16::try_from(payload).context("a fragment is at most 65,515 bytes long")?;
    let mut header = Ipv4Header::new(length, HOPS, ip_number::UDP, from, to)?;
    header.dont_fragment = false;
    header.fragment_offset = IpFragOffset::try_new(offset / 8)?;
    Ok(IpHeaders::Ipv4(header, Default::default()))
}

const HOPS: u8 = 60;

/// The first half of every forged IPv6 source is this one's; documentation (RFC 9637).
const SOURCES_V6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1);

/// 198.18.0.1, of the network for benchmarks (RFC 2544).
const SOURCES_V4: u32 = 0xc612_0001;

fn mask(bits: u32) -> u32 {
    (1_u32 << bits).wrapping_sub(1)
}

fn set_flags(header: &mut TcpHeader, flags: u8) {
    header.fin = flags & 0x01 != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & 0x04 != 0;
    header.psh = flags & 0x08 != 0;
    header.ack = flags & ACK != 0;
    header.urg = flags & 0x20 != 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_has_a_shape_and_a_name_of_its_own() {
        for (index, attack) in ATTACKS.iter().enumerate() {
            let shape = attack.shape(1).expect(attack.name);
            assert_ne!(shape.patches[0].width, 0, "{}", attack.name);
            assert!(
                ATTACKS[..index]
                    .iter()
                    .all(|other| other.name != attack.name)
            );
        }
    }
}
