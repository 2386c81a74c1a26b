//! Entries of the allowlist and the blocklist.

use super::map_value;
use crate::logic::address::{Address, Family};

/// Key of a list: a prefix. Bits beyond `length` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct EntryKey {
    /// The masked address, words in network order; IPv4 in the first.
    words: [u32; 4],
    /// 4 or 6.
    family: u8,
    /// Bits of prefix, up to 32 or 128.
    length: u8,
    reserved: [u8; 2],
}

impl EntryKey {
    /// The prefix of `length` bits, at most the family's width, that `address` lies in.
    #[inline(always)]
    pub fn covering(address: &Address, length: u8) -> Self {
        Self {
            words: address.masked(length),
            family: address.family() as u8,
            length,
            reserved: [0; 2],
        }
    }

    /// The network's address.
    pub fn address(&self) -> Address {
        match self.family {
            4 => Address::v4(self.words[0]),
            _ => Address::v6(self.words),
        }
    }

    /// Bits of prefix.
    pub const fn length(&self) -> u8 {
        self.length
    }
}

/// Value of a list: until when, in which policy, and how often it was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EntryValue {
    /// The tick at which the kernel ends the entry; [`EntryValue::NEVER`] for none.
    pub until: u64,
    /// Packets that met the entry, added to by every CPU.
    pub packets: u64,
    /// The set of [policies](super::settings::policy) in which the entry is not there; empty unless a
    /// change waits for confirmation.
    pub absent: u64,
}

impl EntryValue {
    /// [`EntryValue::until`] of an entry that does not end.
    pub const NEVER: u64 = u64::MAX;

    /// In [`EntryValue::absent`]: not there before the change, which added it.
    pub const ADDED: u64 = 1 << 1;
    /// In [`EntryValue::absent`]: not there after the change, which removed it.
    pub const REMOVED: u64 = 1 << 0;

    /// Whether the entry is in force at a tick, in a policy.
    #[inline(always)]
    pub const fn is_in_force(until: u64, absent: u64, tick: u64, policy: u32) -> bool {
        until > tick && absent.wrapping_shr(policy) & 1 == 0
    }
}

/// Most distinct prefix lengths that addresses of one family can have.
pub const MOST_LENGTHS: usize = 129;
const LENGTH_ROOM: usize = 132;

/// The prefix lengths that a list holds for one family, so that no other is probed.
///
/// Lengths are only ever appended: a reader that sees the count before the length probes length
/// 0, which no list holds, and never misses one that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Lengths {
    /// How many there are.
    count: u32,
    /// The lengths; those at or beyond `count` mean nothing.
    lengths: [u8; LENGTH_ROOM],
}

impl Default for Lengths {
    fn default() -> Self {
        Self {
            count: 0,
            lengths: [0; LENGTH_ROOM],
        }
    }
}

impl Lengths {
    /// The length at an index below [`MOST_LENGTHS`], if there are so many.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<u8> {
        if index as u32 >= self.count {
            return None;
        }
        self.lengths.get(index).copied()
    }

    /// The lengths there are.
    pub fn as_slice(&self) -> &[u8] {
        self.lengths
            .get(..self.count as usize)
            .unwrap_or(&self.lengths)
    }

    /// Appends a length; says whether it was new.
    pub fn insert(&mut self, length: u8) -> bool {
        if self.as_slice().contains(&length) {
            return false;
        }
        if let Some(room) = self.lengths.get_mut(self.count as usize) {
            *room = length;
            self.count = self.count.saturating_add(1);
        }
        true
    }
}

/// Index in the map of [`Lengths`].
#[inline(always)]
pub const fn lengths_index(list: ListId, family: Family) -> u32 {
    let family = match family {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    (list as u32).wrapping_mul(2).wrapping_add(family)
}

/// Lists that the kernel knows, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum ListId {
    /// What is never blocked or limited as a source.
    Allow = 0,
    /// What an operator has dropped.
    Block = 1,
    /// What is dropped for a time. Apart from what operators enter, so that neither fills the other's
    /// table.
    Ban = 2,
}

/// Entries of the map of [`Lengths`].
pub const LENGTHS: u32 = 6;

map_value!(EntryKey: 20, EntryValue: 24, Lengths: 136);
