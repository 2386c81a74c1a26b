//! Frames put together.

use std::net::IpAddr;

use super::{mend, protocol};

/// The VLAN tags of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tags {
    /// None.
    #[default]
    None,
    /// One, IEEE 802.1Q.
    One,
    /// Two, 802.1ad and 802.1Q within ("Q in Q").
    Two,
}

impl Tags {
    /// Puts the tags into a frame that has none.
    pub fn insert(self, frame: &mut Vec<u8>) {
        let tags: &[u8] = match self {
            Self::None => &[],
            Self::One => &[0x81, 0x00, 0x00, 0x07],
            Self::Two => &[0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x2a],
        };
        frame.splice(12..12, tags.iter().copied());
    }
}

/// Which part of a datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The datagram that it belongs to.
    pub id: u32,
    /// Its place in it, in bytes; a multiple of 8.
    pub offset: u16,
    /// Whether more of it follows.
    pub more: bool,
}

/// An IP packet without what it carries.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Who seems to send it; of the same family as the destination.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// What it carries.
    pub protocol: u8,
    /// Which fragment it is.
    pub part: Option<Part>,
    /// IPv4's options; a multiple of 4 bytes, at most 40.
    pub options: Vec<u8>,
    /// IPv6's extension headers: their numbers, and their bytes behind the first.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Ip {
    /// An unfragmented packet without options.
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            hops: 60,
            protocol,
            part: None,
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// The whole frame, with right checksums.
    pub fn frame(&self, macs: [[u8; 6]; 2], payload: &[u8]) -> Vec<u8> {
        let [from, to] = macs;
        let mut frame = [to, from].concat();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                self.put_v4(&mut frame, source.octets(), destination.octets(), payload);
            }
            (source, destination) => {
                frame.extend([0x86, 0xdd]);
                let addresses = [mapped(source), mapped(destination)];
                self.put_v6(&mut frame, addresses, payload);
            }
        }
        frame.extend(payload);
        mend(&mut frame);
        frame
    }

    fn put_v4(&self, frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4], payload: &[u8]) {
        let header = 20 + self.options.len();
        let length = (header + payload.len()) as u16;
        let (id, place) = match self.part {
            None => (0, 0x4000),
            Some(part) => (
                part.id as u16,
                (part.offset / 8) | if part.more { 0x2000 } else { 0 },
            ),
        };
        frame.extend([0x40 | (header / 4) as u8, 0]);
        for word in [length, id, place] {
            frame.extend(word.to_be_bytes());
        }
        frame.extend([self.hops, self.protocol, 0, 0]);
        frame.extend(source);
        frame.extend(destination);
        frame.extend(&self.options);
    }

    fn put_v6(&self, frame: &mut Vec<u8>, addresses: [[u8; 16]; 2], payload: &[u8]) {
        let mut chain = self.extensions.clone();
        if let Some(part) = self.part {
            let place = part.offset | u16::from(part.more);
            let mut bytes = vec![0];
            bytes.extend(place.to_be_bytes());
            bytes.extend(part.id.to_be_bytes());
            chain.push((protocol::FRAGMENT, bytes));
        }
        let headers: usize = chain.iter().map(|(_, bytes)| bytes.len() + 1).sum();
        let first = chain.first().map_or(self.protocol, |(number, _)| *number);
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(((headers + payload.len()) as u16).to_be_bytes());
        frame.extend([first, self.hops]);
        frame.extend(addresses.concat());
        for (index, (_, bytes)) in chain.iter().enumerate() {
            frame.push(
                chain
                    .get(index + 1)
                    .map_or(self.protocol, |(number, _)| *number),
            );
            frame.extend(bytes);
        }
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A TCP segment with these flags (RFC 9293's bits, FIN lowest); its checksum is the frame's affair.
pub fn tcp(from: u16, to: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0x50, flags]);
    bytes.extend(64_240_u16.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut bytes = [from, to, length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}

/// An ICMP message: type, code, the four bytes behind the checksum, and the rest.
pub fn icmp(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest);
    bytes.extend(payload);
    bytes
}
