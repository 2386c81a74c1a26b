//! What the kernel's own SYN-ACKs told: window and window scale depend on the listener's buffers,
//! and the kernel computes both anew when a cookie comes back. A scale that is not the kernel's has
//! the client misread every window, and its uploads stall; so none is told that was not seen.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::settings::Settings;

use crate::{clock::Tick, lists::MMAPABLE};

/// By local port: `turn:8 | window:16 | 1 + window scale:8`. The scale is zero where none was seen,
/// and [`DIFFERENT`] where SYN-ACKs told several.
#[map]
static SYN_ACKS: Array<u32> = Array::with_max_entries(1 << 16, MMAPABLE);

const SCALE: u32 = 0xff;
/// Listeners that share a port, or routes, have windows of their own.
const DIFFERENT: u32 = 0xff;
/// By how much a turn is shorter than a generation of sources seen in calm, as a power of two: half
/// a second.
const SHORTER: u32 = 11;

/// What is known of a port's SYN-ACKs.
pub struct Learned(u32);

impl Learned {
    /// Looks.
    #[inline(always)]
    pub fn of(port: u16) -> Self {
        Self(match SYN_ACKS.get_ptr(u32::from(port)) {
            // SAFETY: a whole word of a live map value.
            Some(word) => unsafe { word.read_volatile() },
            None => 0,
        })
    }

    /// Window and window scale.
    #[inline(always)]
    pub const fn window(&self) -> Option<(u32, u32)> {
        match self.0 & SCALE {
            0 | DIFFERENT => None,
            scale => Some((self.0 >> 8 & 0xffff, scale.wrapping_sub(1))),
        }
    }

    /// Whether this SYN, which has a window scale, is the one of its turn that the kernel answers,
    /// so that its answer is seen.
    #[inline(always)]
    pub fn takes_turn(&self, port: u16, settings: &Settings) -> bool {
        let length = settings.seen_log2.wrapping_sub(SHORTER) & 63;
        // Never zero, which is what is there at first.
        let turn = ((Tick::now().count() >> length) as u32).wrapping_shl(25) | 1 << 24;
        if self.0 & SCALE != 0 || self.0 & !0xff_ffff == turn {
            return false;
        }
        if let Some(word) = SYN_ACKS.get_ptr_mut(u32::from(port)) {
            // SAFETY: a whole word of a live map value; what is learned at this very moment is
            // learned again.
            unsafe { word.write_volatile(turn) };
        }
        true
    }
}

/// Notes what a SYN-ACK of this host told. One without a window scale tells nothing: the client
/// had none.
#[inline(always)]
pub fn learn(port: u16, window: u16, scale: u8) {
    let Some(word) = SYN_ACKS.get_ptr_mut(u32::from(port)) else {
        return;
    };
    let scale = u32::from(scale).wrapping_add(1) & SCALE;
    // SAFETY: a whole word of a live map value.
    unsafe {
        let before = word.read_volatile() & 0xff_ffff;
        let scale = match before & SCALE {
            0 => scale,
            told if told == scale => scale,
            _ => DIFFERENT,
        };
        let told = u32::from(window) << 8 | scale;
        if before != told {
            word.write_volatile(told);
        }
    }
}
