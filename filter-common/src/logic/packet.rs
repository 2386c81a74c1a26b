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
    /// The transport header.
    pub transport: Transport,
    /// What the parser noticed that sanity should judge; if it is that a header is cut short, lies or
    /// nests too deep, `transport` is opaque.
    pub defect: Option<Reason>,
}
