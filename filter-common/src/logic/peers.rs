//! Peers that this host asked for the time, exactly: in a line, two of them.
//!
//! NTP daemons ask from the port that they answer at. What leaves there is told apart by its mode,
//! and kept apart from other flows, for whoever floods such a host sends from the same port to the
//! same port.

use super::{
    address::{Address, Family},
    hash::HashKey,
};

/// Lines of the table, as a power of two.
pub const LINES_LOG2: u32 = 7;
/// Peers in a line.
pub const WAYS: usize = 2;

/// A peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Peer {
    /// `tick:56 | family:8`, the tick being that of the last request; the family is 4 or 6. Zero:
    /// nobody; [`BUSY`]: being written.
    pub stamp: u64,
    /// The address, words in network order.
    pub words: [u32; 4],
    reserved: u64,
}

/// A line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Line {
    /// The peers.
    pub ways: [Peer; WAYS],
}

crate::abi::map_value!(Line: 64);

/// The stamp of a peer that is being written.
pub const BUSY: u64 = 1;

/// The line of a peer.
#[inline(always)]
pub fn line(peer: &Address, key: &HashKey) -> u32 {
    let [a, b] = peer.numbers();
    (key.chain(peer.family(), &[a, b]) >> (u64::BITS - LINES_LOG2)) as u32
}

/// The stamp of a request at a tick.
#[inline(always)]
pub const fn stamp(family: Family, tick: u64) -> u64 {
    tick << 8 | family as u64
}

/// Ticks since a stamp's request.
#[inline(always)]
pub const fn age(stamp: u64, tick: u64) -> u64 {
    (tick << 8 >> 8).wrapping_sub(stamp >> 8)
}

impl Peer {
    /// Whether this is the peer of an address.
    #[inline(always)]
    pub const fn is(&self, address: &Address) -> bool {
        let [a, b, c, d] = self.words;
        let [e, f, g, h] = *address.words();
        let differs = (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h);
        differs == 0 && self.stamp as u8 == address.family() as u8
    }

    /// Whether this host asked the address, at most `most` ticks ago.
    #[inline(always)]
    pub const fn was_asked(&self, address: &Address, tick: u64, most: u64) -> bool {
        self.is(address) && age(self.stamp, tick) <= most
    }
}
