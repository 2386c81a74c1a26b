//! Names of reasons, and what they mean to an operator.

use filter_common::abi::reason::Reason;

use crate::rules::rule::Action;

/// The name in JSON, metrics and commands.
pub const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Clean => "clean",
        Reason::NotIp => "not_ip",
        Reason::Control => "control",
        Reason::Lifeline => "lifeline",
        Reason::Allowed => "allowed",
        Reason::RulePass => "rule_pass",
        Reason::Established => "established",
        Reason::CookieAccepted => "cookie_accepted",
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
        Reason::CookieAnswered => "cookie_answered",
        Reason::CookieCeiling => "cookie_ceiling",
        Reason::CookieRefused => "cookie_refused",
        Reason::NoSocket => "no_socket",
        Reason::ClosedTcp => "closed_tcp",
        Reason::ClosedUdp => "closed_udp",
        Reason::Unsolicited => "unsolicited",
        Reason::Blocked => "blocked",
        Reason::Banned => "banned",
        Reason::Listed => "listed",
        Reason::RuleDrop => "rule_drop",
        Reason::RuleLimit => "rule_limit",
        Reason::FragmentOfDropped => "fragment_of_dropped",
        Reason::FragmentUnknown => "fragment_unknown",
        Reason::LimitFragments => "limit_fragments",
        Reason::LimitAll => "limit_packets",
        Reason::LimitSyn => "limit_syn",
        Reason::LimitUdp => "limit_udp",
        Reason::LimitIcmp => "limit_icmp",
        Reason::LimitBytes => "limit_bytes",
        Reason::PrefixAll => "prefix_packets",
        Reason::PrefixSyn => "prefix_syn",
        Reason::PrefixUdp => "prefix_udp",
        Reason::PrefixIcmp => "prefix_icmp",
        Reason::PrefixBytes => "prefix_bytes",
        Reason::CeilingNew => "ceiling_new",
        Reason::CeilingHeavy => "ceiling_heavy",
        Reason::CeilingFull => "ceiling_full",
        Reason::LimitConnections => "limit_connections",
        Reason::PrefixConnections => "prefix_connections",
        Reason::LimitIcmpErrors => "limit_icmp_errors",
        Reason::LimitEcho => "limit_echo",
        Reason::ProtocolDrop => "protocol_drop",
        Reason::LimitProtocols => "limit_protocols",
    }
}

/// The reason that a rule's action gives; a limit's is that of packets above it.
pub const fn of_action(action: Action) -> Reason {
    match action {
        Action::Drop => Reason::RuleDrop,
        Action::Pass => Reason::RulePass,
        Action::Limit { .. } => Reason::RuleLimit,
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
        Reason::RulePass => "a rule passes it",
        Reason::Established => "belongs to a connection of this host",
        Reason::CookieAccepted => "completes a handshake with a valid cookie",
        Reason::Truncated => "a header is cut short",
        Reason::Malformed => "a header contradicts itself or its frame",
        Reason::VlanDepth => "more than two VLAN tags",
        Reason::ExtensionDepth => "more than six IPv6 extension headers",
        Reason::HeaderSpan => "headers reach beyond the first buffer",
        Reason::MartianSource => "a source that no host can have",
        Reason::Land => "source and destination are the same",
        Reason::TcpFlags => "TCP flags that no client sends, or a SYN in fragments",
        Reason::PortZero => "TCP or UDP port 0",
        Reason::TinyFragment => "a first fragment too small for its header",
        Reason::FragmentOffset => "a TCP fragment that overwrites the flags",
        Reason::FragmentOverrun => "a fragment that ends beyond 65,535 bytes",
        Reason::ForgedDiscovery => "neighbour discovery that did not come from this link",
        Reason::CookieAnswered => "a SYN, answered with a cookie",
        Reason::CookieCeiling => "a SYN above the ceiling of answers",
        Reason::CookieRefused => "acknowledges no valid cookie",
        Reason::NoSocket => "TCP that belongs to no socket of this host",
        Reason::ClosedTcp => "a TCP port that nobody listens on",
        Reason::ClosedUdp => "a UDP port that nobody listens on",
        Reason::Unsolicited => "UDP from a reflector that nobody here asked",
        Reason::Blocked => "source is on the blocklist",
        Reason::Banned => "source is banned for a time",
        Reason::Listed => "source is on an imported list",
        Reason::RuleDrop => "a rule drops it",
        Reason::RuleLimit => "above the limit of a rule",
        Reason::FragmentOfDropped => "a later fragment of a packet that was dropped",
        Reason::FragmentUnknown => "a later fragment whose first was not seen",
        Reason::LimitFragments => "more fragments than their limit",
        Reason::LimitAll => "source sends more packets than its limit",
        Reason::LimitSyn => "source opens more connections than its limit",
        Reason::LimitUdp => "source sends more UDP than its limit",
        Reason::LimitIcmp => "source sends more ICMP than its limit",
        Reason::LimitBytes => "source sends more bytes than its limit",
        Reason::PrefixAll => "prefix sends more packets than its limit",
        Reason::PrefixSyn => "prefix opens more connections than its limit",
        Reason::PrefixUdp => "prefix sends more UDP than its limit",
        Reason::PrefixIcmp => "prefix sends more ICMP than its limit",
        Reason::PrefixBytes => "prefix sends more bytes than its limit",
        Reason::CeilingNew => "a newcomer to a service above its ceiling",
        Reason::CeilingHeavy => "more than its share of a service above its ceiling",
        Reason::CeilingFull => "a service above its ceiling even without newcomers",
        Reason::LimitConnections => "source completed more handshakes than its limit",
        Reason::PrefixConnections => "prefix completed more handshakes than its limit",
        Reason::LimitIcmpErrors => "more ICMP errors of no flow of this host than their limit",
        Reason::LimitEcho => "more echo requests than their limit",
        Reason::ProtocolDrop => "an IP protocol whose policy is to drop it",
        Reason::LimitProtocols => "more packets of other IP protocols than their limit",
    }
}

/// The reason with this name.
pub fn by_name(wanted: &str) -> Option<Reason> {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| name(*reason) == wanted)
}
