//! What the lab writes into a map and its eBPF programs read: the shape of a generated packet.
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
    /// Always zero.
    pub padding: u16,
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

/// What a generator keeps from packet to packet, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// State of the xorshift generator; never zero.
    pub random: u64,
    /// Packets made.
    pub made: u64,
}

const _: () = assert!(size_of::<Patch>() == 16);
const _: () = assert!(size_of::<Shape>() == TEMPLATE_BYTES + 16 * PATCHES + 16);
const _: () = assert!(size_of::<Progress>() == 16);
