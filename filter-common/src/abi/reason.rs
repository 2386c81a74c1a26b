//! Why a packet was passed or dropped.

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Handed to the network stack.
    Pass,
    /// Thrown away, where the reason is enforced.
    Drop,
    /// Answered by the program itself, where the reason is enforced.
    Answer,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal => $action:ident,)+) => {
        /// The named reason of a verdict. The numbers are the ABI; names in words, and metrics,
        /// belong to userspace.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[must_use = "a reason is a verdict: return it"]
        pub enum Reason {
            $($(#[$doc])* $name = $code,)+
        }

        impl Reason {
            /// Every reason, by rising code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What the reason asks for. A new reason does not compile until this is decided.
            #[inline(always)]
            pub const fn action(self) -> Action {
                match self {
                    $(Self::$name => Action::$action,)+
                }
            }
        }

        impl TryFrom<u8> for Reason {
            type Error = UnknownReason;

            fn try_from(code: u8) -> Result<Self, UnknownReason> {
                match code {
                    $($code => Ok(Self::$name),)+
                    other => Err(UnknownReason(other)),
                }
            }
        }
    };
}

reasons! {
    /// Went through every stage.
    Clean = 0 => Pass,
    /// Neither IPv4 nor IPv6: ARP, LLDP, spanning tree.
    NotIp = 1 => Pass,
    /// Without it the host disappears from its network: neighbour discovery, MLD, IGMP, DHCP.
    Control = 2 => Pass,
    /// Listed as what must never be cut off.
    Lifeline = 3 => Pass,
    /// The source is on the allowlist.
    Allowed = 4 => Pass,
    /// A rule passes it.
    RulePass = 5 => Pass,
    /// It belongs to a connection of this host, which spares it limits per source.
    Established = 6 => Pass,
    /// It completes a handshake whose cookie is valid.
    CookieAccepted = 7 => Pass,

    /// A header is cut short by the end of the frame.
    Truncated = 8 => Drop,
    /// A header contradicts itself or the frame it is in.
    Malformed = 9 => Drop,
    /// More than two VLAN tags.
    VlanDepth = 10 => Drop,
    /// More than six IPv6 extension headers.
    ExtensionDepth = 11 => Drop,
    /// Headers that reach beyond the frame's first buffer.
    HeaderSpan = 12 => Drop,

    /// A source that no host can have: 0/8, 127/8, 224/3, `::`, `::1`, `ff00::/8`, `::ffff:0:0/96`.
    MartianSource = 16 => Drop,
    /// Source and destination are the same address.
    Land = 17 => Drop,
    /// TCP flags that no client sends: SYN with FIN, SYN with RST, none, or FIN with PSH and URG; or SYN
    /// in a packet of which other pieces follow.
    TcpFlags = 18 => Drop,
    /// TCP or UDP port 0.
    PortZero = 19 => Drop,
    /// A first fragment too small for its transport header (RFC 1858).
    TinyFragment = 20 => Drop,
    /// A TCP fragment at offset 1, which overwrites the flags (RFC 1858).
    FragmentOffset = 21 => Drop,
    /// A fragment that ends beyond 65,535 bytes ("ping of death").
    FragmentOverrun = 22 => Drop,
    /// Neighbour or router discovery that did not come from this link (RFC 4861).
    ForgedDiscovery = 23 => Drop,

    /// A SYN that was answered with a cookie.
    CookieAnswered = 24 => Answer,
    /// A SYN above the ceiling of answers.
    CookieCeiling = 25 => Drop,
    /// TCP to a listener whose acknowledgement is no valid cookie.
    CookieRefused = 26 => Drop,
    /// TCP that belongs to no socket of this host.
    NoSocket = 27 => Drop,
    /// A TCP port that nobody listens on.
    ClosedTcp = 28 => Drop,
    /// A UDP port that nobody listens on.
    ClosedUdp = 29 => Drop,
    /// UDP from a reflector's port that nobody here asked for.
    Unsolicited = 30 => Drop,

    /// The source is on the blocklist.
    Blocked = 32 => Drop,
    /// The source is banned for a time.
    Banned = 33 => Drop,
    /// The source is on an imported list.
    Listed = 34 => Drop,
    /// A rule drops it.
    RuleDrop = 35 => Drop,
    /// It exceeds the limit of a rule.
    RuleLimit = 36 => Drop,
    /// A later fragment of a packet whose first fragment was dropped.
    FragmentOfDropped = 37 => Drop,
    /// A later fragment whose first was not seen, where the policy is to drop these.
    FragmentUnknown = 38 => Drop,
    /// Fragments above their limit.
    LimitFragments = 39 => Drop,

    /// The source sends more packets than its limit.
    LimitAll = 40 => Drop,
    /// The source sends more SYNs than its limit.
    LimitSyn = 41 => Drop,
    /// The source sends more UDP than its limit.
    LimitUdp = 42 => Drop,
    /// The source sends more ICMP than its limit.
    LimitIcmp = 43 => Drop,
    /// The source sends more bytes than its limit.
    LimitBytes = 44 => Drop,
    /// The prefix sends more packets than its limit.
    PrefixAll = 45 => Drop,
    /// The prefix sends more SYNs than its limit.
    PrefixSyn = 46 => Drop,
    /// The prefix sends more UDP than its limit.
    PrefixUdp = 47 => Drop,
    /// The prefix sends more ICMP than its limit.
    PrefixIcmp = 48 => Drop,
    /// The prefix sends more bytes than its limit.
    PrefixBytes = 49 => Drop,
    /// A newcomer to a service above its ceiling.
    CeilingNew = 50 => Drop,
    /// A known source that sends more than its share to a service above its ceiling.
    CeilingHeavy = 51 => Drop,
    /// A service above its ceiling even without newcomers.
    CeilingFull = 52 => Drop,
    /// A SYN of a source that completed too many handshakes.
    LimitConnections = 53 => Drop,
    /// A SYN of a prefix that completed too many handshakes.
    PrefixConnections = 54 => Drop,
    /// ICMP errors that belong to no flow of this host, above their limit.
    LimitIcmpErrors = 55 => Drop,
    /// Echo requests and other ICMP above their limit.
    LimitEcho = 56 => Drop,
    /// An IP protocol whose policy is to drop it.
    ProtocolDrop = 57 => Drop,
    /// IP protocols above their limit.
    LimitProtocols = 58 => Drop,
}

/// Codes are below this, so that a set of reasons is one `u64`.
pub const CODES: u32 = 64;

impl Reason {
    /// The reason's number.
    #[inline(always)]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason as a set of one.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1_u64.wrapping_shl(self as u32)
    }

    /// The set of all reasons that do anything to a packet but pass it.
    pub const fn all_drops() -> u64 {
        let mut rest = Self::ALL;
        let mut set = 0;
        while let [first, others @ ..] = rest {
            if !matches!(first.action(), Action::Pass) {
                set |= first.bit();
            }
            rest = others;
        }
        set
    }
}

const _: () = {
    let mut rest = Reason::ALL;
    while let [first, others @ ..] = rest {
        assert!((*first as u32) < CODES);
        rest = others;
    }
};

/// A code that is no reason of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason(pub u8);
