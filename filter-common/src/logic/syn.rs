//! What a SYN offers, and the SYN-ACK that answers it with a cookie.
//!
//! A cookie has no room for what was agreed on beside the segment size. Where the client sends
//! timestamps, the kernel finds the rest in the low bits of the one that comes back to it, as
//! `cookie_init_timestamp` and `cookie_timestamp_decode` in `net/ipv4/syncookies.c` have it.

use super::{
    address::{Address, Family},
    branchless::{below, choose, equal},
    packet::{TcpFlags, protocol},
};

/// The longest TCP header, in bytes, and a little more, so that offsets can be masked.
pub const HEADER: usize = 64;
/// The mask of an offset in it.
const LAST: u32 = 0x3f;
/// Options that are looked at. Systems send eight or nine, padding included.
const OPTIONS: usize = 20;

/// Kinds of TCP options (IANA).
mod option {
    pub const END: u64 = 0;
    pub const PADDING: u64 = 1;
    pub const WINDOW_SCALE: u64 = 3;
    pub const SACK_PERMITTED: u64 = 4;
    pub const TIMESTAMPS: u64 = 8;
}

/// A SYN's options that an answer can take up (RFC 7323, RFC 2018). Integers, for it lies in a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offer {
    /// 1: it has timestamps.
    pub has_timestamps: u32,
    /// Its timestamp, as a number.
    pub timestamp: u32,
    /// 1: it has a window scale.
    pub has_window_scale: u32,
    /// The window scale, at most 14.
    pub window_scale: u32,
    /// 1: it permits selective acknowledgements.
    pub sack: u32,
}

/// The largest window scale (RFC 7323, section 2.3).
const LARGEST_SCALE: u64 = 14;

impl Offer {
    /// Reads the options of a TCP header of so many bytes. What is behind an option that lies about
    /// its length is not there.
    ///
    /// With one branch for each option, for the verifier follows all that there are.
    #[inline(always)]
    pub fn of(header: &[u8; HEADER], length: u32) -> Self {
        let mut found = Found::default();
        let mut at = 20;
        for _ in 0..OPTIONS {
            let kind = word(header, at);
            let told = word(header, at.wrapping_add(1));
            let size = choose(equal(kind, option::PADDING), 1, told);
            let behind = u64::from(at).wrapping_add(size);
            let is_over = below(u64::from(length), u64::from(at).wrapping_add(1))
                | equal(kind, option::END)
                | equal(size, 0)
                | below(size, 2) & !equal(kind, option::PADDING)
                | below(u64::from(length), behind);
            if is_over != 0 {
                break;
            }
            found.take(header, at, kind | size << 8);
            at = behind as u32 & LAST;
        }
        found.offer()
    }

    /// The timestamp of the answer, at a time in milliseconds: not later than that, for those that
    /// follow are not earlier than it; its low six bits say what was offered.
    #[inline(always)]
    pub const fn timestamp_of_answer(&self, now: u64) -> u32 {
        /// Bits that say what was offered.
        const BITS: u64 = 0x3f;
        /// No window scale.
        const NO_SCALE: u64 = 0xf;
        /// Selective acknowledgements.
        const SACK: u64 = 0x10;
        let mut offered = if self.has_window_scale == 0 {
            NO_SCALE
        } else {
            self.window_scale as u64
        };
        if self.sack != 0 {
            offered |= SACK;
        }
        let made = now & !BITS | offered;
        if made > now {
            made.wrapping_sub(BITS + 1) as u32
        } else {
            made as u32
        }
    }
}

/// What was found so far, in whole words, as masks want them.
#[derive(Default)]
struct Found {
    has_timestamps: u64,
    timestamp: u64,
    has_window_scale: u64,
    window_scale: u64,
    sack: u64,
}

impl Found {
    #[inline(always)]
    fn take(&mut self, header: &[u8; HEADER], at: u32, what: u64) {
        let byte = |offset| word(header, at.wrapping_add(offset));
        let value = byte(2) << 24 | byte(3) << 16 | byte(4) << 8 | byte(5);
        let timestamps = equal(what, option::TIMESTAMPS | 10 << 8);
        self.has_timestamps |= timestamps;
        self.timestamp = choose(timestamps, value, self.timestamp);
        let window_scale = equal(what, option::WINDOW_SCALE | 3 << 8);
        self.has_window_scale |= window_scale;
        self.window_scale = choose(window_scale, byte(2), self.window_scale);
        self.sack |= equal(what, option::SACK_PERMITTED | 2 << 8);
    }

    #[inline(always)]
    fn offer(&self) -> Offer {
        let is_large = below(LARGEST_SCALE, self.window_scale);
        Offer {
            has_timestamps: self.has_timestamps as u32 & 1,
            timestamp: self.timestamp as u32,
            has_window_scale: self.has_window_scale as u32 & 1,
            window_scale: choose(is_large, LARGEST_SCALE, self.window_scale) as u32,
            sack: self.sack as u32 & 1,
        }
    }
}

/// A byte of a header, as a whole word.
#[inline(always)]
fn word(header: &[u8; HEADER], at: u32) -> u64 {
    let byte = header.get((at & LAST) as usize);
    u64::from(byte.copied().unwrap_or_default())
}

/// How an answer is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Terms {
    /// The cookie.
    pub cookie: u32,
    /// The SYN's sequence number.
    pub sequence: u32,
    /// The segment size that is told.
    pub mss: u32,
    /// The window that is told.
    pub window: u32,
    /// The window scale that is told, where there are timestamps and the SYN has one.
    pub window_scale: u32,
    /// The timestamp that is told, where the SYN has one.
    pub timestamp: u32,
}

/// Words of an IPv4 header.
const V4: usize = 5;
/// Words of an IPv6 header.
const V6: usize = 10;
/// Words of a TCP header without options, and of all the options of an answer.
const TCP: usize = 5;

/// The headers of an answer, in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    /// The IPv4 header, of an IPv4 answer.
    pub v4: [u32; V4],
    /// The IPv6 header, of an IPv6 answer.
    pub v6: [u32; V6],
    /// The TCP header without options.
    pub tcp: [u32; TCP],
    /// The options, as many of them as it has.
    pub options: [u32; TCP],
}

/// Who the answer is from and to.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// This host.
    pub from: &'a Address,
    /// The client.
    pub to: &'a Address,
    /// The port here.
    pub from_port: u16,
    /// The client's port.
    pub to_port: u16,
}

impl Answer {
    /// Bytes of the options that an offer allows.
    #[inline(always)]
    pub const fn options_of(offer: &Offer) -> u32 {
        if offer.has_timestamps == 0 {
            4
        } else if offer.has_window_scale == 0 {
            16
        } else {
            20
        }
    }

    /// Bytes of the headers before the options.
    #[inline(always)]
    pub const fn bare(family: Family) -> u32 {
        match family {
            Family::V4 => 40,
            Family::V6 => 60,
        }
    }

    /// Writes the headers, with so many bytes of [options](Answer::options_of).
    #[inline(always)]
    pub fn write(&mut self, ends: &Ends<'_>, offer: &Offer, terms: &Terms, options: u32) {
        const FLAGS: u32 = (TcpFlags::SYN | TcpFlags::ACK) as u32;
        let length = 20_u32.wrapping_add(options);
        let [from, to] = [ends.from.words(), ends.to.words()];
        let tcp = [
            (u32::from(ends.from_port) << 16 | u32::from(ends.to_port)).to_be(),
            terms.cookie.to_be(),
            terms.sequence.wrapping_add(1).to_be(),
            (length << 26 | FLAGS << 16 | terms.window & 0xffff).to_be(),
        ];
        let offered = offered(offer, terms, options);
        let mut sum = u64::from(u32::from(protocol::TCP).to_be())
            .wrapping_add(u64::from(length.to_be()))
            .wrapping_add(added(from))
            .wrapping_add(added(to))
            .wrapping_add(added(&tcp))
            .wrapping_add(added(&offered));
        sum = u64::from(checksum(sum));
        let [a, b, c, d] = tcp;
        self.tcp = [a, b, c, d, first_half(sum as u16)];
        self.options = offered;
        match ends.from.family() {
            Family::V4 => self.write_v4(from[0], to[0], length),
            Family::V6 => self.write_v6(from, to, length),
        }
    }

    /// Identification 0 and "don't fragment", as the kernel's own.
    #[inline(always)]
    fn write_v4(&mut self, from: u32, to: u32, length: u32) {
        let head = [
            (0x4500_0000 | length.wrapping_add(20)).to_be(),
            0x0000_4000_u32.to_be(),
            (HOPS << 24 | u32::from(protocol::TCP) << 16).to_be(),
            from,
            to,
        ];
        let check = checksum(added(&head));
        let [a, b, c, d, e] = head;
        // The second half of its word.
        self.v4 = [a, b, c | u32::from(check.to_be()).to_be(), d, e];
    }

    #[inline(always)]
    fn write_v6(&mut self, from: &[u32; 4], to: &[u32; 4], length: u32) {
        let [a, b, c, d] = *from;
        let [e, f, g, h] = *to;
        let head = (length << 16 | u32::from(protocol::TCP) << 8 | HOPS).to_be();
        self.v6 = [0x6000_0000_u32.to_be(), head, a, b, c, d, e, f, g, h];
    }
}

/// Time to live of an answer.
const HOPS: u32 = 64;

/// The words behind the bare TCP header, as the kernel lays them out.
#[inline(always)]
fn offered(offer: &Offer, terms: &Terms, options: u32) -> [u32; TCP] {
    let mut words = [0; TCP];
    let [mss, kinds, own, theirs, scale] = &mut words;
    if options >= 4 {
        *mss = (0x0204_0000 | terms.mss & 0xffff).to_be();
    }
    if options >= 16 {
        *kinds = if offer.sack == 0 {
            0x0101_080a_u32.to_be()
        } else {
            0x0402_080a_u32.to_be()
        };
        *own = terms.timestamp.to_be();
        *theirs = offer.timestamp.to_be();
    }
    if options >= 20 {
        *scale = (0x0103_0300 | terms.window_scale & 0xff).to_be();
    }
    words
}

#[inline(always)]
fn added(words: &[u32]) -> u64 {
    words
        .iter()
        .fold(0, |sum: u64, word| sum.wrapping_add(u64::from(*word)))
}

/// The checksum of what adds up to a sum of words (RFC 1071), as it lies in memory.
#[inline(always)]
const fn checksum(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff).wrapping_add(sum >> 32);
    let sum = (sum & 0xffff)
        .wrapping_add(sum >> 16 & 0xffff)
        .wrapping_add(sum >> 32);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    !(sum as u16)
}

/// A word whose first two bytes in memory are these.
#[inline(always)]
const fn first_half(half: u16) -> u32 {
    ((u16::from_be(half) as u32) << 16).to_be()
}
