//! What the stages know of a packet.

use super::address::Address;
use crate::abi::reason::Reason;

/// IP protocol numbers (IANA).
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// The flags of a TCP header: the low eight bits of its 13th and 14th byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 16;
    /// The urgent pointer is significant.
    pub const URG: u8 = 32;

    /// Whether the packet opens a connection.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }
}

/// What the IP packet carries, as far as it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// Flags.
        flags: TcpFlags,
    },
    /// UDP.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// ICMP or ICMPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Another protocol, or the rest of a fragmented packet, or ESP.
    Opaque,
}

/// A [`Transport`] in integers that always have a value. An enum leaves what a variant lacks
/// undefined, and the verifier refuses a program that as much as copies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// Source port.
    first: u16,
    /// Destination port.
    second: u16,
    /// A [`HeaderKind`].
    kind: u8,
    /// TCP flags, or ICMP type.
    third: u8,
    /// ICMP code, or the length of the TCP header in words of four bytes.
    fourth: u8,
    reserved: u8,
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum HeaderKind {
    Opaque = 0,
    Tcp = 1,
    Udp = 2,
    Icmp = 3,
}

impl Header {
    /// Of a packet whose transport header is not seen.
    pub const OPAQUE: Self = Self {
        first: 0,
        second: 0,
        kind: HeaderKind::Opaque as u8,
        third: 0,
        fourth: 0,
        reserved: 0,
    };

    /// TCP, with ports and flags.
    #[inline(always)]
    pub const fn tcp(source_port: u16, destination_port: u16, flags: TcpFlags) -> Self {
        Self {
            first: source_port,
            second: destination_port,
            kind: HeaderKind::Tcp as u8,
            third: flags.0,
            ..Self::OPAQUE
        }
    }

    /// The same, with the header's length in words of four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn with_words(self, words: u8) -> Self {
        Self {
            fourth: words,
            ..self
        }
    }

    /// UDP, with ports.
    #[inline(always)]
    pub const fn udp(source_port: u16, destination_port: u16) -> Self {
        Self {
            first: source_port,
            second: destination_port,
            kind: HeaderKind::Udp as u8,
            ..Self::OPAQUE
        }
    }

    /// ICMP or ICMPv6, with type and code.
    #[inline(always)]
    pub const fn icmp(kind: u8, code: u8) -> Self {
        Self {
            kind: HeaderKind::Icmp as u8,
            third: kind,
            fourth: code,
            ..Self::OPAQUE
        }
    }
}

impl From<Transport> for Header {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp {
                source_port,
                destination_port,
                flags,
            } => Self::tcp(source_port, destination_port, flags),
            Transport::Udp {
                source_port,
                destination_port,
            } => Self::udp(source_port, destination_port),
            Transport::Icmp { kind, code } => Self::icmp(kind, code),
            Transport::Opaque => Self::OPAQUE,
        }
    }
}

/// Whether the packet is a piece of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// The piece with the transport header.
    First,
    /// A later piece, without ports.
    Later,
}

/// A parsed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The upper protocol: the last next-header that was reached.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// Piece or whole.
    pub fragment: Fragment,
    /// Identification of the packet that a fragment is a piece of; zero where it is none.
    pub fragment_id: u32,
    /// Length of the IP packet, header included, in bytes. A longer one (IPv6) is 65,535.
    pub length: u16,
    /// Where in the frame the payload of TCP, UDP or ICMP begins; zero where there is none.
    pub payload: u16,
    /// Where in the frame the IP packet ends, by its own word: padding may follow. Nothing has
    /// checked it where there is no payload.
    pub end: u32,
    /// The transport header.
    pub header: Header,
    /// What the parser noticed that sanity should judge; if it is that a header is cut short, lies or
    /// nests too deep, `transport` is opaque.
    pub defect: Option<Reason>,
}

impl Packet {
    /// Where in the frame the IP packet begins.
    #[inline(always)]
    pub const fn network_at(&self) -> u32 {
        self.end.wrapping_sub(self.length as u32)
    }

    /// Where in the frame the header of a TCP segment begins that the parser saw.
    #[inline(always)]
    pub const fn tcp_at(&self) -> u32 {
        (self.payload as u32).wrapping_sub(self.tcp_length())
    }

    /// Length of that header in bytes, options included.
    #[inline(always)]
    pub const fn tcp_length(&self) -> u32 {
        (self.header.fourth as u32).wrapping_mul(4)
    }

    /// The transport header.
    #[inline(always)]
    pub const fn transport(&self) -> Transport {
        let Header {
            first,
            second,
            kind,
            third,
            fourth,
            ..
        } = self.header;
        const TCP: u8 = HeaderKind::Tcp as u8;
        const UDP: u8 = HeaderKind::Udp as u8;
        const ICMP: u8 = HeaderKind::Icmp as u8;
        match kind {
            TCP => Transport::Tcp {
                source_port: first,
                destination_port: second,
                flags: TcpFlags(third),
            },
            UDP => Transport::Udp {
                source_port: first,
                destination_port: second,
            },
            ICMP => Transport::Icmp {
                kind: third,
                code: fourth,
            },
            _ => Transport::Opaque,
        }
    }
}
