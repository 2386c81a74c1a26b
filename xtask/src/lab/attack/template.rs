//! Floods whose packets are alike: one frame, and the fields of it that differ.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{
    super::{
        frame::{self, Ip, Part, Tags, protocol},
        sandbox::hosts,
        shape::{
            self, Layout, Varying,
            abi::{Patch, Shape, TEMPLATE_BYTES},
        },
    },
    Carrier,
    reflector::Reflector,
};

/// The smallest frame on the wire without its check sequence, rounded up to 8 bytes: the
/// generator puts templates back in words.
const SHORTEST: usize = 64;

/// A frame and what varies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// What is sent.
    pub packet: Packet,
    /// Who seems to send it.
    pub sources: Sources,
    /// What else differs from packet to packet.
    pub varies: &'static [Varies],
}

/// What a packet of a flood is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// TCP with these flags (RFC 9293's bits, FIN lowest).
    Tcp {
        /// The flags' byte.
        flags: u8,
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// Bytes of payload.
        payload: usize,
    },
    /// UDP.
    Udp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// What is in it.
        payload: Payload,
    },
    /// An ICMP echo request.
    Echo {
        /// Bytes of payload.
        payload: usize,
    },
    /// A fragment.
    Fragment {
        /// Of TCP or UDP.
        protocol: u8,
        /// Its offset in bytes.
        offset: u16,
        /// Whether it says that more follow.
        more: bool,
        /// Bytes behind IP's header.
        payload: usize,
    },
    /// Another protocol over IP.
    Other {
        /// Its number.
        protocol: u8,
        /// Bytes behind IP's header.
        payload: usize,
    },
}

/// What a UDP datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// So many zeros.
    Zeros(usize),
    /// A DNS query for a name under `example.org`.
    DnsQuery,
    /// An answer nobody asked for.
    Answer(Reflector),
}

/// Who seems to send a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// 198.18.0.1; 3fff::1.
    One,
    /// 2^bits addresses from 198.18.0.0 on; as many /64s from 3fff::/64 on.
    Many {
        /// The number of addresses, as a power of two.
        bits: u32,
    },
    /// 2^bits addresses all over [`Self::Random`]'s.
    Scattered {
        /// The number of addresses, as a power of two.
        bits: u32,
    },
    /// Any of 2^30 addresses, 128.0.0.0/2, which holds nobody whom no packet can come from; any
    /// of the 2^32 /64s of 3fff::/32.
    Random,
    /// Another one each time, in order, and all alike in the low bits that a careless hash looks
    /// at: 128.0.0.0, 128.0.1.0, ….
    InOrder,
    /// All addresses of 3fff::/64. In IPv4, one.
    Walk,
    /// The server itself.
    Server,
    /// A partner in whose name is forged.
    Partner,
}

/// A field beside the source address that differs from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// The source port, from 32,768 on.
    SourcePort,
    /// The destination port, from 32,768 on.
    DestinationPort,
    /// The destination address, within the /24 that is routed to the server.
    Destination,
    /// TCP's sequence number, or ICMP echo's.
    Sequence,
    /// TCP's acknowledgement number.
    Acknowledgement,
    /// The hop limit, below 128.
    HopLimit,
    /// IPv4's identification, or that of IPv6's fragment header.
    Identification,
    /// ESP's index of the security association.
    Association,
    /// The name that is asked for.
    Name,
}

impl Template {
    /// The frame before anything varies, addressed to the sandbox's server.
    pub fn frame(&self, carrier: Carrier) -> Vec<u8> {
        let server = carrier.address_of(hosts::SERVER);
        let source = match (self.sources, carrier.v6) {
            (Sources::Server, _) => server,
            (Sources::Partner, true) => PARTNER_V6.into(),
            (Sources::Partner, false) => PARTNER_V4.into(),
            (_, true) => SOURCES_V6.into(),
            (_, false) => Ipv4Addr::from(SOURCES_V4).into(),
        };
        let (protocol, payload) = self.packet.build(carrier.v6);
        let mut ip = Ip::new(source, self.destination(server), protocol);
        if let Packet::Fragment { offset, more, .. } = self.packet {
            let id = 1;
            ip.part = Some(Part { id, offset, more });
        }
        let mut frame = ip.frame([hosts::GATEWAY.mac, hosts::SERVER.mac], &payload);
        carrier.tags.insert(&mut frame);
        if frame.len() < TEMPLATE_BYTES {
            frame.resize(frame.len().next_multiple_of(8).max(SHORTEST), 0);
        }
        frame
    }

    fn destination(&self, server: IpAddr) -> IpAddr {
        match (self.varies.contains(&Varies::Destination), server) {
            (false, _) => server,
            (true, IpAddr::V4(_)) => hosts::ROUTED_V4.into(),
            (true, IpAddr::V6(_)) => hosts::ROUTED_V6.into(),
        }
    }

    /// What the generator's program needs to make this flood.
    pub fn shape(&self, carrier: Carrier, ifindex: u32) -> Result<Shape> {
        let frame = self.frame(carrier);
        let layout = Layout::of(&frame)?;
        let mut patches = if carrier.v6 {
            self.sources.patches_v6(layout)
        } else {
            self.sources.patches_v4(layout)
        };
        for varies in self.varies {
            varies.patch(layout, self.packet, carrier.v6, &mut patches);
        }
        shape::shape(&frame, &patches, ifindex)
    }
}

impl Packet {
    /// IP's protocol, and what it carries.
    fn build(self, v6: bool) -> (u8, Vec<u8>) {
        match self {
            Self::Tcp {
                flags,
                from,
                to,
                payload,
            } => (
                protocol::TCP,
                frame::tcp(from, to, flags, &vec![0; payload]),
            ),
            Self::Udp { from, to, payload } => {
                (protocol::UDP, frame::udp(from, to, &payload.bytes()))
            }
            Self::Echo { payload } => {
                let (protocol, kind) = if v6 {
                    (protocol::ICMPV6, 128)
                } else {
                    (protocol::ICMP, 8)
                };
                let message = frame::icmp(kind, 0, [0, 7, 0, 0], &vec![0; payload]);
                (protocol, message)
            }
            Self::Fragment {
                protocol,
                offset,
                payload,
                ..
            } => {
                let mut bytes = match (offset, protocol) {
                    (0, protocol::TCP) => frame::tcp(FROM, HTTP, SYN, &[]),
                    (0, _) => frame::udp(FROM, CLOSED, &[]),
                    _ => Vec::new(),
                };
                bytes.resize(payload, 0);
                (protocol, bytes)
            }
            Self::Other { protocol, payload } => (protocol, other(protocol, payload)),
        }
    }
}

/// A plausible beginning of a protocol's packet, and zeros.
fn other(number: u8, payload: usize) -> Vec<u8> {
    let mut bytes = match number {
        // No options; carries IPv4.
        protocol::GRE => vec![0, 0, 8, 0],
        protocol::IPIP => {
            let source = Ipv4Addr::from(SOURCES_V4).into();
            let inner = Ip::new(source, hosts::SERVER.v4.into(), protocol::UDP);
            let whole = inner.frame([[0; 6]; 2], &frame::udp(FROM, CLOSED, &[0; 36]));
            whole[frame::ETHERNET..].to_vec()
        }
        _ => Vec::new(),
    };
    bytes.resize(payload, 0);
    bytes
}

impl Payload {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Zeros(length) => vec![0; length],
            Self::DnsQuery => {
                let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
                query.extend(b"\x09x00000000\x07example\x03org\x00\x00\x01\x00\x01");
                query
            }
            Self::Answer(reflector) => reflector.answer(),
        }
    }
}

impl Sources {
    fn patches_v4(self, layout: Layout) -> Vec<Patch> {
        let varying = match self {
            Self::One | Self::Walk => Varying::random(SOURCES_V4, 0),
            Self::Many { bits } => Varying::random(SOURCES_V4, mask(bits)),
            Self::Scattered { bits } => Varying::random(RANDOM_V4, scattered(bits)),
            Self::Random => Varying::random(RANDOM_V4, mask(30)),
            Self::InOrder => Varying {
                base: RANDOM_V4,
                mask: mask(30),
                counting: Some(8),
            },
            Self::Server => Varying::random(hosts::SERVER.v4.into(), 0),
            Self::Partner => Varying::random(PARTNER_V4.into(), 0),
        };
        vec![layout.source(0, varying)]
    }

    fn patches_v6(self, layout: Layout) -> Vec<Patch> {
        // The second half of the /64; the first is 3fff:0.
        let net = |mask| vec![layout.source(4, Varying::random(0, mask))];
        match self {
            Self::One => net(0),
            Self::Many { bits } => net(mask(bits)),
            Self::Scattered { bits } => net(scattered(bits)),
            Self::Random => net(u32::MAX),
            Self::InOrder => {
                let varying = Varying {
                    base: 0,
                    mask: u32::MAX,
                    counting: Some(8),
                };
                vec![layout.source(4, varying)]
            }
            Self::Walk => [8, 12]
                .map(|at| layout.source(at, Varying::random(0, u32::MAX)))
                .into(),
            Self::Server | Self::Partner => Vec::new(),
        }
    }
}

impl Varies {
    fn patch(self, layout: Layout, packet: Packet, v6: bool, patches: &mut Vec<Patch>) {
        let any = Varying::random(0, u32::MAX);
        let port = Varying::random(0x8000, 0x7fff);
        match self {
            Self::SourcePort => patches.push(layout.transport(0, 2, port)),
            Self::DestinationPort => patches.push(layout.transport(2, 2, port)),
            Self::Destination if v6 => {
                patches.push(layout.destination(12, Varying::random(0, 0xff)));
            }
            Self::Destination => {
                let base = hosts::ROUTED_V4.into();
                patches.push(layout.destination(0, Varying::random(base, 0xff)));
            }
            Self::Sequence if matches!(packet, Packet::Echo { .. }) => {
                patches.push(layout.transport(6, 2, any));
            }
            Self::Sequence => patches.push(layout.transport(4, 4, any)),
            Self::Acknowledgement => patches.push(layout.transport(8, 4, any)),
            Self::HopLimit => patches.push(layout.hop_limit()),
            Self::Identification => patches.push(layout.identification()),
            Self::Association => patches.push(layout.transport(0, 4, any)),
            Self::Name => {
                // Eight digits of eight kinds.
                let digits = Varying::random(0x3030_3030, 0x0707_0707);
                patches.extend([22, 26].map(|at| layout.transport(at, 4, digits)));
            }
        }
    }
}

/// The partner in whose name is forged: one of the client's addresses.
pub const PARTNER_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
/// The same partner in IPv6.
pub const PARTNER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc1, 0xfa, 0, 0, 0, 1);

/// TCP's SYN flag.
pub const SYN: u8 = 0x02;
/// TCP's ACK flag.
pub const ACK: u8 = 0x10;
/// Where the sandbox's web server listens.
pub const HTTP: u16 = super::super::http::PORT;
/// A port where the sandbox has nobody listening.
pub const CLOSED: u16 = 27_015;
/// Where the sandbox's game listens, over UDP.
pub const GAME: u16 = 7777;
/// Where the sandbox's DNS server listens.
pub const DNS: u16 = 53;
/// A client's port.
pub const FROM: u16 = 1024;

/// The first half of every forged IPv6 source is this one's; documentation (RFC 9637).
const SOURCES_V6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1);

/// 198.18.0.1, of the network for benchmarks (RFC 2544).
const SOURCES_V4: u32 = 0xc612_0001;

/// 128.0.0.0.
const RANDOM_V4: u32 = 0x8000_0000;

fn mask(bits: u32) -> u32 {
    (1_u32 << bits).wrapping_sub(1)
}

/// So many bits, every other one.
fn scattered(bits: u32) -> u32 {
    0x2aaa_aaaa & mask(2 * bits)
}

impl Carrier {
    /// Untagged IPv4.
    pub const V4: Self = Self {
        v6: false,
        tags: Tags::None,
    };
    /// Untagged IPv6.
    pub const V6: Self = Self {
        v6: true,
        tags: Tags::None,
    };
}
