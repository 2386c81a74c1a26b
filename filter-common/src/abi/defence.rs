//! Defences that do not ask who sent a packet, for a source can be forged: they ask whether this
//! host has anything to do with it.
//!
//! Each is switched by [`Settings::defences_always`] and [`Settings::defences_pressed`], sets of
//! [`Defence`]s.
//!
//! [`Settings::defences_always`]: super::settings::Settings::defences_always
//! [`Settings::defences_pressed`]: super::settings::Settings::defences_pressed

use super::map_value;
use crate::logic::{
    address::{Address, Family},
    branchless::sign,
    bucket::Limit,
};

/// A defence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Defence {
    /// SYNs to the ports of [`PortSet::Cookies`] are answered with SYN cookies.
    Cookies = 0,
    /// TCP that belongs to no socket is dropped.
    Sockets = 1,
    /// What goes to TCP and UDP ports that nobody listens on is dropped.
    ClosedPorts = 2,
    /// UDP from the ports of reflectors that nobody here asked for is dropped.
    Solicited = 3,
    /// Sources and prefixes that complete too many handshakes may open no more.
    Connections = 4,
    /// ICMP errors that belong to no flow, and echo, are limited.
    Icmp = 5,
    /// Protocols that have no policy of their own are limited.
    Protocols = 6,
}

/// Number of [`Defence`]s.
pub const DEFENCES: usize = 7;

impl Defence {
    /// Every defence, by rising number.
    pub const ALL: [Self; DEFENCES] = [
        Self::Cookies,
        Self::Sockets,
        Self::ClosedPorts,
        Self::Solicited,
        Self::Connections,
        Self::Icmp,
        Self::Protocols,
    ];

    /// The defence as a set of one.
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1_u32.wrapping_shl(self as u32)
    }
}

/// Words of 64 ports in a [`PortSet`].
pub const PORT_WORDS: u32 = 1024;

/// Sets of ports of this host, kept by the daemon. The map `PORTS` has [`PORT_WORDS`] words for
/// each, one after the other; port p is bit `p % 64` of word `p / 64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum PortSet {
    /// TCP ports that somebody listens on, at an address that the network can reach.
    TcpOpen = 0,
    /// TCP ports about which the sockets of this host cannot say all: translated, bound to another
    /// device, transparent. No socket check and no check for closed ports there.
    TcpLeftOut = 1,
    /// TCP ports that are defended by cookies while [`Defence::Cookies`] is on.
    Cookies = 2,
    /// UDP ports that a socket is bound to.
    UdpOpen = 3,
    /// As [`PortSet::TcpLeftOut`], of UDP.
    UdpLeftOut = 4,
    /// UDP ports that serve: what leaves from them is an answer, and asks for nothing.
    UdpServes = 5,
    /// UDP ports of services that answer with more than they are asked (reflectors): what comes from
    /// them is looked at by [`Defence::Solicited`].
    Reflectors = 6,
}

/// Number of [`PortSet`]s.
pub const PORT_SETS: u32 = 7;

impl PortSet {
    /// Every set, by rising number.
    pub const ALL: [Self; PORT_SETS as usize] = [
        Self::TcpOpen,
        Self::TcpLeftOut,
        Self::Cookies,
        Self::UdpOpen,
        Self::UdpLeftOut,
        Self::UdpServes,
        Self::Reflectors,
    ];

    /// Index of a port's word in the map.
    #[inline(always)]
    pub const fn word(self, port: u16) -> u32 {
        (self as u32)
            .wrapping_mul(PORT_WORDS)
            .wrapping_add((port >> 6) as u32)
    }

    /// A port's bit in its word.
    #[inline(always)]
    pub const fn bit(port: u16) -> u64 {
        1_u64.wrapping_shl((port & 63) as u32)
    }
}

/// Lines of the table of this host's own addresses.
pub const LOCAL_LINES: u32 = 256;
/// Addresses in a line.
pub const LOCAL_WAYS: usize = 3;

/// A line of the table of this host's own unicast addresses, in the map `LOCAL`. The line of an
/// address is [`LocalLine::index`]; what finds no place there is left out, and told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LocalLine {
    /// The first word of each address in network order, and its family, 4 or 6, above it: of IPv4
    /// that is all. Zero where there is none.
    heads: [u64; LOCAL_WAYS],
    /// The other words of IPv6 addresses.
    tails: [[u32; 3]; LOCAL_WAYS],
    reserved: u32,
}

impl LocalLine {
    /// The line of an address. Not keyed: only this host chooses its addresses.
    #[inline(always)]
    pub const fn index(address: &Address) -> u32 {
        let words = address.words();
        let mixed = match address.family() {
            Family::V4 => words[0],
            Family::V6 => words[0] ^ words[1].rotate_left(7) ^ words[2].rotate_left(14) ^ words[3],
        };
        mixed.wrapping_mul(0x9e37_79b1) >> u32::BITS.wrapping_sub(LOCAL_LINES.ilog2())
    }

    #[inline(always)]
    const fn head(address: &Address) -> u64 {
        (address.family() as u64) << 32 | address.words()[0] as u64
    }

    /// Whether the address is in the line. Without branches between its ways, each of which the
    /// verifier would follow.
    #[inline(always)]
    pub fn holds(&self, address: &Address) -> bool {
        let head = Self::head(address);
        let [a, b, c] = &self.heads;
        let [mut a, mut b, mut c] = [a ^ head, b ^ head, c ^ head];
        if matches!(address.family(), Family::V6) {
            let [ta, tb, tc] = &self.tails;
            a |= Self::tail_differs(ta, address);
            b |= Self::tail_differs(tb, address);
            c |= Self::tail_differs(tc, address);
        }
        // The top bit of each is set where anything differs.
        let [a, b, c] = [a, b, c].map(|differs| differs | differs.wrapping_neg());
        sign(a & b & c) == 0
    }

    #[inline(always)]
    const fn tail_differs(tail: &[u32; 3], address: &Address) -> u64 {
        let [_, b, c, d] = address.words();
        ((tail[0] ^ *b) | (tail[1] ^ *c) | (tail[2] ^ *d)) as u64
    }

    /// Puts an address into the line; false if there is no room.
    pub fn insert(&mut self, address: &Address) -> bool {
        if self.holds(address) {
            return true;
        }
        let free = self.heads.iter().position(|head| *head == 0);
        let Some(way) = free else { return false };
        if let (Some(head), Some(tail)) = (self.heads.get_mut(way), self.tails.get_mut(way)) {
            *head = Self::head(address);
            let [_, rest @ ..] = *address.words();
            *tail = rest;
        }
        true
    }
}

/// What becomes of a packet of an IP protocol that is neither TCP, UDP nor ICMP; an element of the
/// map `PROTOCOLS`, by the protocol's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProtocolPolicy {
    /// Passed; above [`Settings::protocols`](super::settings::Settings::protocols) dropped while
    /// [`Defence::Protocols`] is on.
    Default = 0,
    /// Passed.
    Pass = 1,
    /// Passed up to [`Settings::protocols`](super::settings::Settings::protocols).
    Limit = 2,
    /// Dropped.
    Drop = 3,
}

/// Elements of the map `PROTOCOLS`.
pub const PROTOCOLS: usize = 256;

/// How SYNs are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CookieSettings {
    /// Answers, for each CPU: this host must be no reflector.
    pub answers: Limit,
    /// Answers to one prefix, of the lengths of limits per prefix.
    pub answers_prefix: Limit,
    /// SYNs of known good sources that go to the stack unanswered, for each CPU.
    pub known: Limit,
    /// The greatest segment that this host takes, by family: IPv4, IPv6.
    pub mss: [u32; 2],
    /// 1: the kernel's timestamps have no secret offset (`tcp_timestamps = 2`), so that answers can carry them.
    pub timestamps: u32,
    /// Nothing.
    pub reserved: u32,
    /// How long a listener is taken to be stamped, in ticks.
    pub stamp: u64,
}

/// Index of a family in [`CookieSettings::mss`].
#[inline(always)]
pub const fn mss_index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// What became of cookies and of handshakes at a port; an element of the map `COOKIE_PORTS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CookiePort {
    /// Valid cookies that came back.
    pub accepted: u64,
    /// SYNs that went to the stack, for the kernel would have taken no cookie.
    pub declined: u64,
    /// Handshakes that the kernel completed, cookie or not.
    pub completed: u64,
    /// Sources of such cookies in the last seconds: `generation:16 | a bit for each hash:48`.
    pub sources: u64,
}

/// Bits for sources in [`CookiePort::sources`].
const SOURCE_BITS: u32 = 48;

impl CookiePort {
    /// The word of sources with one more, by a hash of it.
    #[inline(always)]
    pub const fn with_source(sources: u64, generation: u64, hash: u64) -> u64 {
        let generation = generation << SOURCE_BITS;
        let bit = 1_u64.wrapping_shl(((hash >> 32).wrapping_mul(SOURCE_BITS as u64) >> 32) as u32);
        let before = sources & ((1 << SOURCE_BITS) - 1);
        if sources ^ before == generation {
            sources | bit
        } else {
            generation | bit
        }
    }

    /// The bits of sources that are not in an earlier reading.
    pub const fn new_sources(&self, before: &Self) -> u64 {
        let bits = self.sources & ((1 << SOURCE_BITS) - 1);
        if self.sources >> SOURCE_BITS == before.sources >> SOURCE_BITS {
            bits & !before.sources
        } else {
            bits
        }
    }
}

map_value!(LocalLine: 64, CookieSettings: 96, CookiePort: 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_was_put_there_and_tells_families_apart() {
        let v4 = Address::v4(u32::from_ne_bytes([192, 0, 2, 1]));
        let v6 = Address::v6([u32::from_ne_bytes([192, 0, 2, 1]), 0, 0, 0]);
        let mut line = LocalLine::default();
        assert!(!line.holds(&v4) && line.insert(&v4) && line.holds(&v4));
        assert!(!line.holds(&v6) && line.insert(&v6) && line.holds(&v6));
        assert_eq!(LocalLine::index(&v4), LocalLine::index(&v6));
        assert!(line.insert(&Address::v4(7)) && !line.insert(&Address::v4(8)));
        assert!(line.insert(&v4), "what is there needs no room");
    }

    #[test]
    fn sources_are_counted_once_in_a_generation() {
        let port = |sources| CookiePort {
            sources,
            ..CookiePort::default()
        };
        let new = |now: u64, before: u64| port(now).new_sources(&port(before)).count_ones();
        let one = CookiePort::with_source(0, 0xffff, 7 << 40);
        let two = CookiePort::with_source(one, 0xffff, u64::MAX);
        assert_eq!((new(one, 0), new(two, 0), new(two, one)), (1, 2, 1));
        assert_eq!(CookiePort::with_source(two, 0xffff, 7 << 40), two);
        let next = CookiePort::with_source(two, 0x1_0000, 7 << 40);
        assert_eq!((new(next, two), next >> 48), (1, 0), "the next begins anew");
    }

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        let first = PORT_WORDS.saturating_mul(PortSet::UdpOpen as u32);
        let mut words = [0_u64; PORT_WORDS as usize];
        for port in 0..=u16::MAX {
            let at = PortSet::UdpOpen.word(port).checked_sub(first);
            let word = at.and_then(|at| words.get_mut(at as usize));
            let word = word.expect("a word of the set");
            assert_eq!(*word & PortSet::bit(port), 0);
            *word |= PortSet::bit(port);
        }
        assert!(words.iter().all(|word| *word == u64::MAX));
    }
}
