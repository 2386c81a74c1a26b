//! Whole words of a frame at once, wherever they lie.
//!
//! Rust would store and load an unaligned word byte by byte, and a processor cannot hand small
//! stores on to a larger load: it waits, and the benchmark would measure that.

use aya_ebpf::programs::XdpContext;

use crate::rewrite::bytes_at;

/// Where the source of an untagged IPv4 packet lies.
pub const SOURCE_V4: usize = 26;
/// Where the source of an untagged IPv6 packet lies.
pub const SOURCE_V6: usize = 22;

/// `N` bytes of the frame that are known to be there.
pub struct Place<const N: usize>(usize);

impl<const N: usize> Place<N> {
    /// The bytes at an offset, if the frame reaches that far.
    #[inline(always)]
    pub fn of(ctx: &XdpContext, offset: usize) -> Option<Self> {
        Some(Self(bytes_at::<[u8; N]>(ctx, offset)? as usize))
    }
}

macro_rules! access {
    ($bytes:literal, $width:literal, $word:ty, $get:ident, $set:ident) => {
        impl Place<$bytes> {
            /// Loads the word.
            #[inline(always)]
            pub fn $get(&self) -> $word {
                let value: u64;
                // SAFETY: `Place` exists only for bytes before `data_end`, and it has this many.
                unsafe {
                    core::arch::asm!(
                        concat!("{value} = *(", $width, " *)({place} + 0)"),
                        value = out(reg) value,
                        place = in(reg) self.0,
                        options(pure, readonly, nostack),
                    );
                }
                value as $word
            }

            /// Stores the word.
            #[inline(always)]
            pub fn $set(&self, value: $word) {
                // SAFETY: as above, and the frame is ours until the program returns.
                unsafe {
                    core::arch::asm!(
                        concat!("*(", $width, " *)({place} + 0) = {value}"),
                        value = in(reg) u64::from(value),
                        place = in(reg) self.0,
                        options(nostack),
                    );
                }
            }
        }
    };
}

access!(4, "u32", u32, get32, set32);
access!(8, "u64", u64, get64, set64);
