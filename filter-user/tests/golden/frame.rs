//! Frames, made by hand so that every byte of them can lie.

use std::net::{Ipv4Addr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// An Ethernet frame.
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    tagged(&[], ethertype, payload)
}

/// An Ethernet frame with VLAN tags, each given by its protocol.
pub fn tagged(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend(100_u16.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A segment of TCP without data.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header
}

/// The first packet of a connection.
pub fn syn(destination: u16) -> Vec<u8> {
    tcp(40_000, destination, SYN)
}

/// A datagram with four bytes of data.
pub fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(source.to_be_bytes());
    datagram.extend(destination.to_be_bytes());
    datagram.extend(12_u16.to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(b"data");
    datagram
}

/// A datagram with other data.
pub fn datagram(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = udp(source, destination);
    let length = u16::try_from(8 + data.len()).expect("a short datagram");
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram.truncate(8);
    datagram.extend(data);
    datagram
}

/// A message of ICMP or ICMPv6 with 16 bytes of body.
pub fn icmp(kind: u8, code: u8) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend([0; 20]);
    message
}

/// An IPv4 packet in the making.
#[derive(Clone)]
pub struct V4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    hops: u8,
    options: Vec<u8>,
    pieces: u16,
    version_and_length: Option<u8>,
    total_length: Option<u16>,
    payload: Vec<u8>,
}

/// The address of the protected host in these packets.
pub const HERE4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// An IPv4 packet from `source` to [`HERE4`].
pub fn v4(source: &str, protocol: u8, payload: Vec<u8>) -> V4 {
    V4 {
        source: source.parse().expect("an IPv4 address"),
        destination: HERE4,
        protocol,
        hops: 64,
        options: Vec::new(),
        pieces: 0,
        version_and_length: None,
        total_length: None,
        payload,
    }
}

impl V4 {
    pub fn to(mut self, destination: &str) -> Self {
        self.destination = destination.parse().expect("an IPv4 address");
        self
    }

    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// So many bytes of options, a multiple of four: no-operations.
    pub fn options(mut self, bytes: usize) -> Self {
        self.options = vec![1; bytes];
        self
    }

    /// A piece of a packet, at an offset in units of eight bytes.
    pub fn piece(mut self, offset: u16, more: bool) -> Self {
        self.pieces = offset | if more { 0x2000 } else { 0 };
        self
    }

    pub fn version_and_length(mut self, byte: u8) -> Self {
        self.version_and_length = Some(byte);
        self
    }

    pub fn total_length(mut self, length: u16) -> Self {
        self.total_length = Some(length);
        self
    }

    /// The packet without its frame.
    pub fn packet(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = u16::try_from(header + self.payload.len()).expect("a short packet");
        let mut packet = vec![
            self.version_and_length.unwrap_or(0x40 | (header / 4) as u8),
            0,
        ];
        packet.extend(self.total_length.unwrap_or(total).to_be_bytes());
        packet.extend([0, 7]);
        packet.extend(self.pieces.to_be_bytes());
        packet.extend([self.hops, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.options);
        packet.extend(&self.payload);
        packet
    }

    pub fn frame(&self) -> Vec<u8> {
        ethernet(0x0800, &self.packet())
    }
}

/// An IPv6 packet in the making.
#[derive(Clone)]
pub struct V6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hops: u8,
    version: u8,
    payload_length: Option<u16>,
    chain: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const AUTHENTICATION: u8 = 51;
pub const DESTINATION: u8 = 60;
pub const MOBILITY: u8 = 135;
pub const HIP: u8 = 139;
pub const SHIM6: u8 = 140;

/// An IPv6 packet from `source` to `2001:db8:ffff::1`.
pub fn v6(source: &str, protocol: u8, payload: Vec<u8>) -> V6 {
    V6 {
        source: source.parse().expect("an IPv6 address"),
        destination: "2001:db8:ffff::1".parse().expect("an IPv6 address"),
        protocol,
        hops: 64,
        version: 6,
        payload_length: None,
        chain: Vec::new(),
        payload,
    }
}

impl V6 {
    pub fn to(mut self, destination: &str) -> Self {
        self.destination = destination.parse().expect("an IPv6 address");
        self
    }

    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    pub fn payload_length(mut self, length: u16) -> Self {
        self.payload_length = Some(length);
        self
    }

    /// An extension header of eight bytes, or of `more` units beyond its least.
    pub fn header(mut self, kind: u8, more: u8) -> Self {
        let length = match kind {
            AUTHENTICATION => (usize::from(more) + 2) * 4,
            _ => (usize::from(more) + 1) * 8,
        };
        let mut bytes = vec![0; length];
        bytes[1] = more;
        self.chain.push((kind, bytes));
        self
    }

    /// A fragment header, at an offset in units of eight bytes.
    pub fn piece(mut self, offset: u16, more: bool) -> Self {
        let mut bytes = vec![0; 8];
        bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
        self.chain.push((FRAGMENT, bytes));
        self
    }

    /// The packet without its frame.
    pub fn packet(&self) -> Vec<u8> {
        let mut behind = Vec::new();
        let following = self.chain.iter().skip(1).map(|(kind, _)| *kind);
        for ((_, header), next) in self.chain.iter().zip(following.chain([self.protocol])) {
            let start = behind.len();
            behind.extend(header);
            behind[start] = next;
        }
        behind.extend(&self.payload);
        let length = u16::try_from(behind.len()).expect("a short packet");
        let mut packet = vec![self.version << 4, 0, 0, 0];
        packet.extend(self.payload_length.unwrap_or(length).to_be_bytes());
        let first = self.chain.first().map_or(self.protocol, |(kind, _)| *kind);
        packet.extend([first, self.hops]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(behind);
        packet
    }

    pub fn frame(&self) -> Vec<u8> {
        ethernet(0x86dd, &self.packet())
    }
}
