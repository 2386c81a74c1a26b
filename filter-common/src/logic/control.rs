//! What always passes, because without it the host disappears from its network.

use super::{
    address::{Address, Family},
    packet::{Fragment, Packet, Transport, protocol},
};

/// What a packet is to the host's place in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Neighbour or router discovery from this link (RFC 4861), duplicate address detection
    /// (RFC 4862).
    Discovery,
    /// IGMP or MLD (RFC 3376, RFC 3810).
    Membership,
    /// DHCP or DHCPv6 (RFC 2131, RFC 8415).
    Dhcp,
    /// Discovery that did not come from this link.
    Forged,
    /// None of these.
    No,
}

/// Hop limit of a packet that no router forwarded.
const ON_LINK: u8 = 255;

mod icmpv6 {
    pub const LISTENER_QUERY: u8 = 130;
    pub const LISTENER_REPORT: u8 = 131;
    pub const LISTENER_DONE: u8 = 132;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const LISTENER_REPORT_V2: u8 = 143;
}

/// Tells what a packet is.
#[inline(always)]
pub fn classify(packet: &Packet) -> Control {
    match packet.transport() {
        Transport::Icmp { kind, code } if packet.protocol == protocol::ICMPV6 => {
            icmpv6(packet, kind, code)
        }
        Transport::Udp {
            source_port,
            destination_port,
        } => dhcp(packet, source_port, destination_port),
        Transport::Opaque if is_igmp(packet) => Control::Membership,
        Transport::Tcp { .. } | Transport::Icmp { .. } | Transport::Opaque => Control::No,
    }
}

#[inline(always)]
fn icmpv6(packet: &Packet, kind: u8, code: u8) -> Control {
    if !matches!(packet.source.family(), Family::V6) {
        return Control::No;
    }
    match kind {
        icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT => {
            let on_link = packet.hops == ON_LINK
                && code == 0
                && matches!(packet.fragment, Fragment::Whole)
                && match kind {
                    icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT => {
                        is_link_local(&packet.source)
                    }
                    icmpv6::ROUTER_SOLICITATION
                    | icmpv6::NEIGHBOUR_SOLICITATION
                    | icmpv6::NEIGHBOUR_ADVERTISEMENT => true,
                    _ => false,
                };
            if on_link {
                Control::Discovery
            } else {
                Control::Forged
            }
        }
        icmpv6::LISTENER_QUERY
        | icmpv6::LISTENER_REPORT
        | icmpv6::LISTENER_DONE
        | icmpv6::LISTENER_REPORT_V2
            if packet.hops == 1
                && (is_link_local(&packet.source) || is_unspecified(&packet.source)) =>
        {
            Control::Membership
        }
        _ => Control::No,
    }
}

#[inline(always)]
fn dhcp(packet: &Packet, source_port: u16, destination_port: u16) -> Control {
    let is_dhcp = match (packet.source.family(), source_port, destination_port) {
        (Family::V4, 67, 68) => true,
        // To a server on this host, from one that has no address yet.
        (Family::V4, 68, 67) => is_unspecified(&packet.source),
        (Family::V6, 547, 546) | (Family::V6, 546, 547) => is_link_local(&packet.source),
        _ => false,
    };
    if is_dhcp { Control::Dhcp } else { Control::No }
}

#[inline(always)]
fn is_igmp(packet: &Packet) -> bool {
    packet.protocol == protocol::IGMP
        && packet.hops == 1
        && matches!(packet.source.family(), Family::V4)
        && matches!(packet.fragment, Fragment::Whole)
}

#[inline(always)]
const fn is_link_local(address: &Address) -> bool {
    address.high32() >> 22 == 0xfe80 >> 6
}

#[inline(always)]
const fn is_unspecified(address: &Address) -> bool {
    let words = address.words();
    words[0] | words[1] | words[2] | words[3] == 0
}
