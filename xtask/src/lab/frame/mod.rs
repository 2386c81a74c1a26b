//! Frames as bytes: where their headers lie, their checksums, and frames put together by hand, for
//! floods are made of what no library wants to build.

mod build;
mod headers;
mod sums;

pub use build::{Ip, Part, Tags, icmp, tcp, udp};
pub use headers::{Headers, Slice, ip_at};
pub use sums::{Change, mend, mend_header, sum};

/// Numbers of IP's protocols and extension headers.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// Authentication Header.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// IPv6 mobility header.
    pub const MOBILITY: u8 = 135;
    /// Reserved.
    pub const RESERVED: u8 = 255;
}

/// Bytes of an Ethernet header without tags.
pub const ETHERNET: usize = 14;
