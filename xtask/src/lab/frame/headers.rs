//! Where the headers of a frame lie.

use super::{ETHERNET, protocol};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Types of VLAN tags: IEEE 802.1Q, 802.1ad, and what came before it.
const TAGS: [[u8; 2]; 3] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// What of a datagram a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// All of it.
    Whole,
    /// Its first fragment.
    First,
    /// A fragment without the header of the fourth layer.
    Later,
}

/// Offsets into a frame. They lie within it as long as the frame's lengths do not lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// IPv4 or IPv6.
    pub is_v4: bool,
    /// Where IP begins.
    pub ip: usize,
    /// Where the IPv6 fragment header begins.
    pub fragment_header: Option<usize>,
    /// Where TCP, UDP, ICMP or whatever it is begins.
    pub transport: usize,
    /// Where IP ends: by its own account, but within the frame.
    pub end: usize,
    /// What begins at `transport`.
    pub protocol: u8,
    /// Whether it is all there.
    pub slice: Slice,
}

impl Headers {
    /// Reads a frame; `None` if it is not IP or is cut off before the fourth layer begins.
    pub fn of(frame: &[u8]) -> Option<Self> {
        match ip_at(frame)? {
            (true, ip) => Self::of_v4(frame, ip),
            (false, ip) => Self::of_v6(frame, ip),
        }
    }

    fn of_v4(frame: &[u8], ip: usize) -> Option<Self> {
        let header = frame.get(ip..ip + IPV4_HEADER)?;
        let length = usize::from(header[0] & 0xf) * 4;
        let transport = ip + length;
        let end = (ip + usize::from(u16::from_be_bytes([header[2], header[3]]))).min(frame.len());
        if length < IPV4_HEADER || transport > end {
            return None;
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        Some(Self {
            is_v4: true,
            ip,
            fragment_header: None,
            transport,
            end,
            protocol: header[9],
            slice: slice(fragment & 0x1fff, fragment & 0x2000 != 0),
        })
    }

    fn of_v6(frame: &[u8], ip: usize) -> Option<Self> {
        let header = frame.get(ip..ip + IPV6_HEADER)?;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut found = Self {
            is_v4: false,
            ip,
            fragment_header: None,
            transport: ip + IPV6_HEADER,
            end: (ip + IPV6_HEADER + payload).min(frame.len()),
            protocol: header[6],
            slice: Slice::Whole,
        };
        while found.slice != Slice::Later && found.skip_extension(frame)? {}
        (found.transport <= found.end).then_some(found)
    }

    /// Whether there was one.
    fn skip_extension(&mut self, frame: &[u8]) -> Option<bool> {
        let at = self.transport;
        let units = |frame: &[u8]| Some(usize::from(*frame.get(at + 1)?));
        let length = match self.protocol {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION
            | protocol::MOBILITY => (units(frame)? + 1) * 8,
            protocol::AH => (units(frame)? + 2) * 4,
            protocol::FRAGMENT => {
                let field = u16::from_be_bytes(two(frame, at + 2)?);
                self.fragment_header = Some(at);
                self.slice = slice(field >> 3, field & 1 != 0);
                8
            }
            _ => return Some(false),
        };
        self.protocol = *frame.get(at)?;
        self.transport = at + length;
        Some(true)
    }

    /// Where the addresses lie, source first, both of the same length.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        if self.is_v4 {
            self.ip + 12..self.ip + 20
        } else {
            self.ip + 8..self.ip + 40
        }
    }

    /// Where the source address begins.
    pub fn source(&self) -> usize {
        self.addresses().start
    }

    /// Where the destination address begins.
    pub fn destination(&self) -> usize {
        let addresses = self.addresses();
        addresses.start + addresses.len() / 2
    }

    /// Where the checksum of the fourth layer lies, if the packet has one and holds it.
    pub fn transport_check(&self) -> Option<usize> {
        let at = match (self.protocol, self.is_v4) {
            (protocol::TCP, _) => 16,
            (protocol::UDP, _) => 6,
            (protocol::ICMP, true) | (protocol::ICMPV6, false) => 2,
            _ => return None,
        };
        let check = self.transport + at;
        (self.slice != Slice::Later && check + 2 <= self.end).then_some(check)
    }

    /// Whether the checksum of the fourth layer covers the addresses.
    pub fn has_pseudo_header(&self) -> bool {
        !(self.is_v4 && self.protocol == protocol::ICMP)
    }
}

/// Whether it is IPv4, else IPv6, and where IP begins; `None` if its addresses are not all there.
pub fn ip_at(frame: &[u8]) -> Option<(bool, usize)> {
    let mut ip = ETHERNET;
    let mut kind = two(frame, 12)?;
    while TAGS.contains(&kind) {
        kind = two(frame, ip + 2)?;
        ip += 4;
    }
    let (is_v4, header) = match kind {
        IPV4 => (true, IPV4_HEADER),
        IPV6 => (false, IPV6_HEADER),
        _ => return None,
    };
    (frame.len() >= ip + header).then_some((is_v4, ip))
}

fn slice(offset: u16, more: bool) -> Slice {
    match (offset, more) {
        (0, false) => Slice::Whole,
        (0, true) => Slice::First,
        _ => Slice::Later,
    }
}

fn two(frame: &[u8], at: usize) -> Option<[u8; 2]> {
    frame.get(at..at + 2)?.try_into().ok()
}
