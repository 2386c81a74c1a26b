//! Operator's rules and protected services, as the kernel reads them.
//!
//! Which rules a packet meets is found in the map `RULE_TABLE`, as [`crate::logic::classify`] lays
//! it out; what a rule does is in the map `RULES`. Both exist three times: [`Settings::rule_bank`] says
//! which bank is in force, another is that of the policy before a change that is not confirmed, and
//! userspace writes one that is neither.
//!
//! [`Settings::rule_bank`]: super::settings::Settings::rule_bank

use super::map_value;
use crate::logic::bucket::Limit;

/// Rules that there can be.
pub const RULES: u32 = 1024;
/// Parts of the maps: at most four.
pub const BANKS: u32 = 3;
/// Lines of `RULE_TABLE` for each bank.
pub const BANK_LINES: u32 = 1 << 16;
/// Counters and buckets of rules. A rule keeps its slot while its place in the order changes.
pub const SLOTS: u32 = 2048;
/// Rules that one packet can meet without being decided: in shadow, within their limit, or with
/// bytes to be compared. A set of rules that exceeds this is refused.
pub const MOST_CANDIDATES: u32 = 16;
/// Bytes of payload that a rule can compare.
pub const PATTERN: usize = 16;

/// What a rule does; an element of the map `RULES`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RuleEntry {
    /// The limit, where the action is one.
    pub limit: Limit,
    /// The tick at which the kernel ends the rule; `u64::MAX` for none.
    pub until: u64,
    /// Bytes to be found in the payload, masked.
    pub pattern: [u8; PATTERN],
    /// Which of their bits count.
    pub mask: [u8; PATTERN],
    /// Index of the rule's counter and bucket, below [`SLOTS`].
    pub slot: u32,
    /// Where in the payload the bytes lie.
    pub offset: u16,
    /// A [`RuleAction`].
    pub action: u8,
    /// How many bytes there are to compare, from 0 to [`PATTERN`].
    pub compared: u8,
    /// 1: counts what it would do, and does nothing.
    pub shadow: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// What a rule does with a packet that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RuleAction {
    /// Dropped.
    Drop = 1,
    /// Passed by what follows, except ceilings of services.
    Pass = 2,
    /// Dropped above a rate that all sources share.
    LimitAll = 3,
    /// Dropped above a rate that each source has.
    LimitSource = 4,
}

map_value!(RuleEntry: 80);
