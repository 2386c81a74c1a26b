//! What must never be cut off.

use super::map_value;
use crate::logic::{
    address::{self, Address},
    bucket::Limit,
};

/// How many lifelines there can be.
pub const RULES: usize = 16;

/// A lifeline: a source prefix, a protocol, a port, and a ceiling, for sources can be forged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LifelineRule {
    /// The most that passes, for each CPU. Above it a packet is like any other.
    pub ceiling: Limit,
    /// Masked source, words in network order.
    network: [u32; 4],
    /// The mask.
    mask: [u32; 4],
    /// Destination port.
    port: u16,
    /// 4 or 6, or [`LifelineRule::ANY_FAMILY`].
    family: u8,
    /// IP protocol.
    protocol: u8,
    /// 1: only packets that open a connection; those of a known session pass by the session.
    opening_only: u8,
    reserved: [u8; 3],
}

impl LifelineRule {
    const ANY_FAMILY: u8 = 0xff;

    /// A lifeline from a prefix.
    pub fn from_prefix(source: &Address, length: u8, protocol: u8, port: u16) -> Self {
        Self {
            network: source.masked(length),
            mask: address::mask(length),
            port,
            family: source.family() as u8,
            protocol,
            ..Self::default()
        }
    }

    /// A lifeline for new connections from anywhere.
    pub fn opening_from_anywhere(protocol: u8, port: u16) -> Self {
        Self {
            port,
            family: Self::ANY_FAMILY,
            protocol,
            opening_only: 1,
            ..Self::default()
        }
    }

    /// The same with a ceiling.
    #[must_use]
    pub fn with_ceiling(self, ceiling: Limit) -> Self {
        Self { ceiling, ..self }
    }

    /// Whether the rule speaks of this packet.
    #[inline(always)]
    pub fn matches(&self, source: &Address, protocol: u8, port: u16, opening: bool) -> bool {
        let words = source.words();
        let differs = ((words[0] & self.mask[0]) ^ self.network[0])
            | ((words[1] & self.mask[1]) ^ self.network[1])
            | ((words[2] & self.mask[2]) ^ self.network[2])
            | ((words[3] & self.mask[3]) ^ self.network[3]);
        differs == 0
            && self.port == port
            && self.protocol == protocol
            && (self.family == source.family() as u8 || self.family == Self::ANY_FAMILY)
            && (opening || self.opening_only == 0)
    }
}

/// All lifelines, in one map entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lifelines {
    /// The rules; those at or beyond `count` mean nothing.
    pub rules: [LifelineRule; RULES],
    /// How many there are.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

/// Key of the set of administrators' sessions: one established TCP connection to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SessionKey {
    words: [u32; 4],
    source_port: u16,
    destination_port: u16,
    family: u8,
    reserved: [u8; 3],
}

impl SessionKey {
    /// The connection from `source` at `source_port` to `destination_port` here.
    #[inline(always)]
    pub fn new(source: &Address, source_port: u16, destination_port: u16) -> Self {
        Self {
            words: *source.words(),
            source_port,
            destination_port,
            family: source.family() as u8,
            reserved: [0; 3],
        }
    }
}

/// The bit of a port in the gate that spares other ports the look at the lifelines.
#[inline(always)]
pub const fn gate_bit(port: u16) -> u64 {
    1_u64.wrapping_shl((port & 63) as u32)
}

map_value!(LifelineRule: 64, Lifelines: 1032, SessionKey: 24);
