//! What a loaded program can do. Code of what is off is not there: the verifier sees the
//! constant, and leaves out the branches behind it.

/// A part of the program that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Feature {
    /// Lifelines and administrators' sessions.
    Lifelines = 0,
    /// The allowlist.
    Allow = 1,
    /// The blocklist's single entries.
    Block = 2,
    /// Bans.
    Bans = 3,
    /// Big sets of IPv4 prefixes.
    Set4 = 4,
    /// Big sets of IPv6 prefixes.
    Set6 = 5,
    /// Rules.
    Rules = 6,
    /// Ceilings of services.
    Services = 7,
    /// Limits for each source, in packets.
    SourcePackets = 8,
    /// Limits for each source, in bytes.
    SourceBytes = 9,
    /// Limits for each prefix, in packets.
    PrefixPackets = 10,
    /// Limits for each prefix, in bytes.
    PrefixBytes = 11,
    /// Fragments share the fate of the first; a policy and a limit for them.
    Fragments = 12,
    /// Samples.
    Samples = 13,
    /// Frames in several buffers.
    Frags = 14,
    /// SYN cookies.
    Cookies = 15,
    /// TCP that belongs to no socket.
    Sockets = 16,
    /// Closed ports of TCP and UDP.
    ClosedPorts = 17,
    /// UDP that nobody asked for.
    Solicited = 18,
    /// Rates of completed handshakes.
    Connections = 19,
    /// ICMP errors of no flow, and echo.
    Icmp = 20,
    /// Policies of IP protocols.
    Protocols = 21,
}

/// Number of [`Feature`]s.
pub const FEATURES: usize = 22;

impl Feature {
    /// Every feature, by rising number.
    pub const ALL: [Self; FEATURES] = [
        Self::Lifelines,
        Self::Allow,
        Self::Block,
        Self::Bans,
        Self::Set4,
        Self::Set6,
        Self::Rules,
        Self::Services,
        Self::SourcePackets,
        Self::SourceBytes,
        Self::PrefixPackets,
        Self::PrefixBytes,
        Self::Fragments,
        Self::Samples,
        Self::Frags,
        Self::Cookies,
        Self::Sockets,
        Self::ClosedPorts,
        Self::Solicited,
        Self::Connections,
        Self::Icmp,
        Self::Protocols,
    ];

    /// The feature as a set of one.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1_u64.wrapping_shl(self as u32)
    }
}
