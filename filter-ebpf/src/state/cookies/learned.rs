//! What the kernel's own SYN-ACKs told: window and window scale depend on the listener's buffers,
//! and the kernel computes both anew when a cookie comes back.

use aya_ebpf::{macros::map, maps::Array};

use crate::lists::MMAPABLE;

/// By local port: `window:16 | 1 + window scale:8`; zero where none was seen.
#[map]
static SYN_ACKS: Array<u32> = Array::with_max_entries(1 << 16, MMAPABLE);

/// Window and window scale of a port's SYN-ACKs.
#[inline(always)]
pub fn window(port: u16) -> Option<(u32, u32)> {
    let word = SYN_ACKS.get_ptr(u32::from(port))?;
    // SAFETY: a whole word of a live map value.
    let word = unsafe { word.read_volatile() };
    match word & 0xff {
        0 => None,
        scale => Some((word >> 8, scale.wrapping_sub(1))),
    }
}

/// Notes what a SYN-ACK of this host told. One without a window scale tells nothing: the client
/// had none.
#[inline(always)]
pub fn learn(port: u16, window: u16, scale: u8) {
    let Some(word) = SYN_ACKS.get_ptr_mut(u32::from(port)) else {
        return;
    };
    let told = u32::from(window) << 8 | u32::from(scale).wrapping_add(1) & 0xff;
    // SAFETY: a whole word of a live map value.
    unsafe {
        if word.read_volatile() != told {
            word.write_volatile(told);
        }
    }
}
