//! What the lab writes into maps and its eBPF programs read: the shape of a generated packet, frames
//! made beforehand, and the course of a source.
//!
//! The userspace half of the lab compiles this same file, so the two cannot drift apart.

/// Bytes at the start of the frame that are put back before each packet.
pub const TEMPLATE_BYTES: usize = 128;

/// How many fields of a packet may vary.
pub const PATCHES: usize = 6;

/// The field is part of the IPv4 header's checksum.
pub const IN_IP_SUM: u16 = 1;
/// The field is part of the TCP, UDP or ICMP checksum, pseudo header included.
pub const IN_L4_SUM: u16 = 2;
/// The field counts upwards from packet to packet; without it, it is random.
pub const COUNTING: u16 = 4;

/// One varying field, 16 or 32 bits at an even offset.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Offset from the start of the frame.
    pub at: u16,
    /// 2 or 4 bytes; 0 ends the list.
    pub width: u16,
    /// The field's value, as a number, where `mask` has no bit.
    pub base: u32,
    /// Which bits vary.
    pub mask: u32,
    /// `IN_IP_SUM`, `IN_L4_SUM`, `COUNTING`.
    pub flags: u16,
    /// How far a counting value is shifted to the left.
    pub shift: u16,
}

/// A template and what varies in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The frame's first bytes, zero-filled, in memory order.
    pub template: [u64; TEMPLATE_BYTES / 8],
    /// The varying fields, ended by one of width 0.
    pub patches: [Patch; PATCHES],
    /// Offset of the IPv4 header checksum; 0: none.
    pub ip_check_at: u16,
    /// Offset of the TCP, UDP or ICMP checksum; 0: none.
    pub l4_check_at: u16,
    /// Unfolded sum of the IPv4 header without the varying fields.
    pub ip_sum: u32,
    /// Unfolded sum of pseudo header and payload without the varying fields.
    pub l4_sum: u32,
    /// Where a generated packet is sent; the interface's index in the caller's namespace.
    pub ifindex: u32,
}

/// The longest frame that a page takes: 1,500 bytes behind Ethernet and two VLAN tags.
pub const PAGE_BYTES: usize = 1522;

/// One frame made beforehand.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How long it is; from 14 to [`PAGE_BYTES`].
    pub length: u32,
    /// The frame, and zeros.
    pub frame: [u8; 2044],
}

/// Which page of an album is next.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The next page.
    pub next: u32,
    /// How many pages there are.
    pub pages: u32,
    /// Where frames are sent; the interface's index in the caller's namespace.
    pub ifindex: u32,
    /// Always zero.
    pub padding: u32,
}

/// What a generator keeps from packet to packet, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// State of the xorshift generator; never zero.
    pub random: u64,
    /// Packets made.
    pub made: u64,
}

/// How the source goes from packet to packet in a benchmark, where nothing else varies.
///
/// It is `base | (random & mask) * factor & spread`. With a factor of 1, any of the numbers within
/// `mask`; with an odd one, `mask + 1` numbers scattered over `spread`, that can be told beforehand.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The bits that stay: an IPv4 address, or the first half of an IPv6 address, as a number.
    pub base: u64,
    /// Which bits of a random number count.
    pub mask: u64,
    /// What it is multiplied by.
    pub factor: u64,
    /// Which bits of the product count.
    pub spread: u64,
    /// 4 or 6.
    pub family: u64,
}

const _: () = assert!(size_of::<Course>() == 40);
const _: () = assert!(size_of::<Page>() == 2048 && PAGE_BYTES <= 2044);
const _: () = assert!(size_of::<Turn>() == 16);
const _: () = assert!(size_of::<Patch>() == 16);
const _: () = assert!(size_of::<Shape>() == TEMPLATE_BYTES + 16 * PATCHES + 16);
const _: () = assert!(size_of::<Progress>() == 16);
