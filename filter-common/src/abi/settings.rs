//! What the kernel reads once a packet.

use super::{cpu::CONTROLS, defence::CookieSettings, map_value};
use crate::logic::{bucket::Limit, hash::HashKey};

/// Classes of traffic that a source is limited in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Every packet.
    All = 0,
    /// TCP packets that open a connection: SYN without ACK.
    Syn = 1,
    /// UDP.
    Udp = 2,
    /// ICMP and ICMPv6.
    Icmp = 3,
    /// Every packet, by its bytes.
    Bytes = 4,
}

/// Number of [`Class`]es.
pub const CLASSES: usize = 5;
/// Number of [`Class`]es that count packets: those before [`Class::Bytes`].
pub const PACKET_CLASSES: usize = 4;

impl Class {
    /// Every class, by rising number.
    pub const ALL: [Self; CLASSES] = [Self::All, Self::Syn, Self::Udp, Self::Icmp, Self::Bytes];

    /// The class as a set of one.
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1_u32.wrapping_shl(self as u32)
    }
}

/// Limits of one kind of sender: sources, or prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Metering {
    /// The limits, by [`Class`].
    pub limits: [Limit; CLASSES],
    /// The set of classes whose limit holds in calm too.
    pub always: u32,
    /// The set of classes whose limit holds under pressure.
    pub pressed: u32,
}

/// What becomes of a later fragment whose first was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FragmentPolicy {
    /// Goes on.
    Pass = 0,
    /// Goes on within the limit of fragments.
    Limit = 1,
    /// Dropped.
    Drop = 2,
}

/// The row of the map `SETTINGS` with what operators want.
pub const OPERATOR_ROW: u32 = 0;
/// The row with what the controller holds beside that, as complete settings.
pub const HELD_ROW: u32 = 1;
/// Beside either: the policy before a change that nobody has confirmed yet. Rows, as numbers, are a set
/// of this bit and that of [`HELD_ROW`].
pub const BEFORE_ROW: u32 = 2;
/// Rows of the map `SETTINGS`: a power of two.
pub const SETTINGS_ROWS: u32 = 4;

/// Policies that there are at one time: as changed, and as before a change that is not confirmed.
pub const POLICIES: u32 = 2;

/// The policy that a row of settings belongs to: 0 as changed, 1 as before.
#[inline(always)]
pub const fn policy(row: u32) -> u32 {
    row.wrapping_shr(1) & 1
}

/// In [`Settings::rule_bank`]: neither a rule nor a service is in that bank, and nobody need look.
pub const NO_RULES: u32 = 4;

/// A row of the map `SETTINGS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// In the operator's row: the tick until which the held row is in force instead; 0 if nothing is
    /// held. The held row's own is not looked at.
    pub held_until: u64,
    /// In the operator's row: the tick from which on the policy before is in force, for nobody
    /// confirmed the change; 0 if none waits for that. The other rows' own is not looked at.
    pub confirm_by: u64,
    /// The set of reasons that are enforced; zero is monitor mode.
    pub enforced: u64,
    /// The set of reasons that are not even looked at.
    pub unchecked: u64,
    /// Ports of lifelines, as [`super::lifeline::gate_bit`].
    pub lifeline_gate: u64,
    /// The secret of the map set, so that nobody can choose sources that share a set.
    pub key: HashKey,
    /// Limits per source: an IPv4 address or an IPv6 /64.
    pub source: Metering,
    /// Limits per prefix, of the lengths that the masks say.
    pub prefix: Metering,
    /// All fragments of all sources.
    pub fragments: Limit,
    /// The bits of an IPv4 address, as a number, that make its prefix.
    pub prefix_mask_v4: u64,
    /// The bits of the first half of an IPv6 address, as a number, that make its prefix.
    pub prefix_mask_v6: u64,
    /// Packets on one CPU above which the default limits bite.
    pub pressure: Limit,
    /// Ceilings of what always passes, by kind.
    pub control: [Limit; CONTROLS],
    /// The ceiling of packets in administrators' sessions, for each CPU.
    pub sessions: Limit,
    /// Samples of passed packets, for each CPU.
    pub sample_passed: Limit,
    /// Samples of dropped packets, for each CPU.
    pub sample_dropped: Limit,
    /// Sources that are noted as seen in calm, for each CPU.
    pub seen: Limit,
    /// How long pressure lasts after the last packet above the floor, in ticks.
    pub pressure_hold: u64,
    /// Seconds since 1970 when a command without a daemon went to monitor mode; 0 if none did.
    pub emergency: u64,
    /// How long the fate of a fragmented packet is remembered, in ticks.
    pub fragment_hold: u64,
    /// Which bank of rules is in force, and [`NO_RULES`] beside it.
    pub rule_bank: u32,
    /// A [`FragmentPolicy`].
    pub fragment_policy: u32,
    /// 1: no gate, for IPv6 entries shorter than /20 exist.
    pub open_gate_v6: u32,
    /// Ticks in a generation of the sources seen in calm, as a power of two.
    pub seen_log2: u32,
    /// The set of [`Defence`](super::defence::Defence)s that hold in calm too.
    pub defences_always: u32,
    /// The set of those that hold under pressure.
    pub defences_pressed: u32,
    /// How SYNs are answered.
    pub cookies: CookieSettings,
    /// Completed handshakes of one source, of one prefix.
    pub connections: [Limit; 2],
    /// ICMP errors that belong to no flow of this host.
    pub icmp_errors: Limit,
    /// Echo requests, and other ICMP that is no error.
    pub echo: Limit,
    /// IP protocols that are neither TCP, UDP nor ICMP.
    pub protocols: Limit,
    /// The tick from which on all that this host asks for is noted; `u64::MAX` while it is not.
    pub solicited_since: u64,
    /// Identifies the network namespace that this host's sockets are in (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// Ticks in a generation of what this host asked for, as a power of two.
    pub solicited_log2: u32,
    /// The day, counted from 1970, for what is known good.
    pub day: u32,
}

impl Settings {
    /// Which bank of rules is in force.
    #[inline(always)]
    pub const fn bank(&self) -> u32 {
        self.rule_bank & 3
    }

    /// Whether there is neither a rule nor a service in it.
    #[inline(always)]
    pub const fn has_no_rules(&self) -> bool {
        self.rule_bank & NO_RULES != 0
    }

    /// The row in force at a tick, by the operator's row.
    #[inline(always)]
    pub const fn row_at(&self, tick: u64) -> u32 {
        let is_held = tick < self.held_until;
        // Zero becomes a tick that never comes.
        let is_before = self.confirm_by.wrapping_sub(1) < tick;
        (is_held as u32) | (is_before as u32).wrapping_shl(1)
    }

    /// Whether a change waits for confirmation, or was not confirmed in time.
    pub const fn is_on_trial(&self) -> bool {
        self.confirm_by != 0
    }
}

map_value!(Metering: 128, Settings: 848);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_goes_by_both_ticks() {
        let row = |held_until, confirm_by, tick| {
            let settings = Settings {
                held_until,
                confirm_by,
                ..Settings::default()
            };
            settings.row_at(tick)
        };
        assert_eq!(row(0, 0, 0), OPERATOR_ROW);
        assert_eq!(row(0, 0, u64::MAX), OPERATOR_ROW);
        assert_eq!((row(7, 0, 6), row(7, 0, 7)), (HELD_ROW, OPERATOR_ROW));
        assert_eq!((row(0, 7, 6), row(0, 7, 7)), (OPERATOR_ROW, BEFORE_ROW));
        assert_eq!(row(0, 1, 1), BEFORE_ROW);
        assert_eq!(row(9, 7, 8), BEFORE_ROW | HELD_ROW);
        let policies = [OPERATOR_ROW, HELD_ROW, BEFORE_ROW, BEFORE_ROW | HELD_ROW].map(policy);
        assert_eq!(policies, [0, 0, 1, 1]);
    }
}
