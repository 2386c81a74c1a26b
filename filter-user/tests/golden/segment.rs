//! TCP segments whose numbers and options matter, and what is in an answer.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};

use crate::frame::{ACK, SYN, TCP, ethernet, tagged, v4, v6};

/// A segment.
#[derive(Clone, Debug)]
pub struct Segment {
    pub from: IpAddr,
    pub to: IpAddr,
    pub from_port: u16,
    pub to_port: u16,
    pub sequence: u32,
    pub acknowledged: u32,
    pub flags: u8,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    /// Protocols of VLAN tags.
    pub tags: Vec<u16>,
    /// Bytes of IPv4 options.
    pub network_options: usize,
    /// The hop limit.
    pub hops: u8,
}

/// The options that Linux sends in a SYN.
pub fn usual_options(timestamp: u32) -> Vec<u8> {
    let mut options = vec![2, 4, 0x05, 0xb4, 4, 2, 8, 10];
    options.extend(timestamp.to_be_bytes());
    options.extend([0, 0, 0, 0, 1, 3, 3, 9]);
    options
}

impl Segment {
    pub fn syn(from: &str, from_port: u16, to: &str, to_port: u16) -> Self {
        Self {
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            from_port,
            to_port,
            sequence: 0x1234_5678,
            acknowledged: 0,
            flags: SYN,
            options: Vec::new(),
            payload: Vec::new(),
            tags: Vec::new(),
            network_options: 0,
            hops: 64,
        }
    }

    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    pub fn toward(mut self, port: u16) -> Self {
        self.to_port = port;
        self
    }

    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// What a client sends upon an answer.
    pub fn acknowledging(&self, answer: &Answer) -> Self {
        Self {
            sequence: self.sequence.wrapping_add(1),
            acknowledged: answer.sequence.wrapping_add(1),
            options: Vec::new(),
            payload: Vec::new(),
            ..self.clone()
        }
        .flags(ACK)
    }

    pub fn frame(&self) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut segment = Vec::new();
        segment.extend(self.from_port.to_be_bytes());
        segment.extend(self.to_port.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledged.to_be_bytes());
        segment.extend([(length << 2) as u8, self.flags]);
        segment.extend(64_000_u16.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(&self.options);
        segment.extend(&self.payload);
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let (kind, packet) = match self.from {
            IpAddr::V4(_) => {
                let packet = v4(&from, TCP, segment).to(&to).hops(self.hops);
                (0x0800, packet.options(self.network_options).packet())
            }
            IpAddr::V6(_) => (
                0x86dd,
                v6(&from, TCP, segment).to(&to).hops(self.hops).packet(),
            ),
        };
        match self.tags.as_slice() {
            [] => ethernet(kind, &packet),
            tags => tagged(tags, kind, &packet),
        }
    }
}

/// What an answer says, as another parser reads it.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub from: IpAddr,
    pub to: IpAddr,
    pub from_port: u16,
    pub to_port: u16,
    pub sequence: u32,
    pub acknowledged: u32,
    pub window: u16,
    pub options: Vec<TcpOptionElement>,
    /// Bytes before the IP header.
    pub link: Vec<u8>,
}

impl Answer {
    /// Reads a frame, whose checksums must be right and which must be a SYN-ACK as the kernel sends
    /// it.
    pub fn read(frame: &[u8]) -> Self {
        let parsed = SlicedPacket::from_ethernet(frame).expect("a sound frame");
        let Some(TransportSlice::Tcp(tcp)) = &parsed.transport else {
            panic!("no TCP in {frame:?}")
        };
        assert!(tcp.payload().is_empty(), "an answer carries nothing");
        let header = tcp.to_header();
        assert!(header.syn && header.ack);
        assert!(!header.rst && !header.fin && !header.psh && !header.ece && !header.cwr);
        let (from, to, at, check) = match &parsed.net {
            Some(NetSlice::Ipv4(ip)) => {
                let ip = ip.header();
                let header = ip.to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                assert!(header.dont_fragment && header.options.is_empty());
                assert_eq!((header.time_to_live, header.identification), (64, 0));
                let (from, to) = (ip.source(), ip.destination());
                let check = tcp.calc_checksum_ipv4(from, to).expect("a short one");
                let addresses: (IpAddr, IpAddr) = (from.into(), to.into());
                (addresses.0, addresses.1, ip.slice(), check)
            }
            Some(NetSlice::Ipv6(ip)) => {
                let ip = ip.header();
                assert_eq!((ip.hop_limit(), ip.next_header().0), (64, TCP));
                let check = tcp.calc_checksum_ipv6(ip.source(), ip.destination());
                let addresses: (IpAddr, IpAddr) = (ip.source().into(), ip.destination().into());
                let check = check.expect("a short one");
                (addresses.0, addresses.1, ip.slice(), check)
            }
            Some(NetSlice::Arp(_)) | None => panic!("no IP in {frame:?}"),
        };
        assert_eq!(header.checksum, check, "the checksum of TCP");
        let link = at.as_ptr() as usize - frame.as_ptr() as usize;
        Self {
            from,
            to,
            from_port: header.source_port,
            to_port: header.destination_port,
            sequence: header.sequence_number,
            acknowledged: header.acknowledgment_number,
            window: header.window_size,
            options: tcp
                .options_iterator()
                .map(|it| it.expect("an option"))
                .collect(),
            link: frame[..link].to_vec(),
        }
    }
}
