//! Names of reasons, and what they mean to an operator.

use filter_common::abi::reason::Reason;

/// The name in JSON, metrics and commands.
pub const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Clean => "clean",
        Reason::NotIp => "not_ip",
        Reason::Control => "control",
        Reason::Lifeline => "lifeline",
        Reason::Allowed => "allowed",
        Reason::Truncated => "truncated",
        Reason::Malformed => "malformed",
        Reason::VlanDepth => "vlan_depth",
        Reason::ExtensionDepth => "extension_depth",
        Reason::HeaderSpan => "header_span",
        Reason::MartianSource => "martian_source",
        Reason::Land => "land",
        Reason::TcpFlags => "tcp_flags",
        Reason::PortZero => "port_zero",
        Reason::TinyFragment => "tiny_fragment",
        Reason::FragmentOffset => "fragment_offset",
        Reason::FragmentOverrun => "fragment_overrun",
        Reason::ForgedDiscovery => "forged_discovery",
        Reason::Blocked => "blocked",
        Reason::LimitAll => "limit_packets",
        Reason::LimitSyn => "limit_syn",
        Reason::LimitUdp => "limit_udp",
        Reason::LimitIcmp => "limit_icmp",
    }
}

/// What it means, in a few words.
pub const fn text(reason: Reason) -> &'static str {
    match reason {
        Reason::Clean => "nothing spoke against it",
        Reason::NotIp => "not IP (ARP, LLDP, spanning tree)",
        Reason::Control => "keeps the host on its network (neighbour discovery, MLD, IGMP, DHCP)",
        Reason::Lifeline => "named as what must never be cut off",
        Reason::Allowed => "source is on the allowlist",
        Reason::Truncated => "a header is cut short",
        Reason::Malformed => "a header contradicts itself or its frame",
        Reason::VlanDepth => "more than two VLAN tags",
        Reason::ExtensionDepth => "more than six IPv6 extension headers",
        Reason::HeaderSpan => "headers reach beyond the first buffer",
        Reason::MartianSource => "a source that no host can have",
        Reason::Land => "source and destination are the same",
        Reason::TcpFlags => "TCP flags that no client sends",
        Reason::PortZero => "TCP or UDP port 0",
        Reason::TinyFragment => "a first fragment too small for its header",
        Reason::FragmentOffset => "a TCP fragment that overwrites the flags",
        Reason::FragmentOverrun => "a fragment that ends beyond 65,535 bytes",
        Reason::ForgedDiscovery => "neighbour discovery that did not come from this link",
        Reason::Blocked => "source is on the blocklist",
        Reason::LimitAll => "source sends more packets than its limit",
        Reason::LimitSyn => "source opens more connections than its limit",
        Reason::LimitUdp => "source sends more UDP than its limit",
        Reason::LimitIcmp => "source sends more ICMP than its limit",
    }
}

/// The reason with this name.
pub fn by_name(wanted: &str) -> Option<Reason> {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| name(*reason) == wanted)
}
