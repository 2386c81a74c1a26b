//! What the ring buffer carries: a packet now and then, never each.

use super::map_value;
#[cfg(doc)]
use super::reason::Reason;

/// Bytes of frame in a sample.
pub const CAPTURE: usize = 128;

/// One sampled packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Sample {
    /// When, in ticks.
    pub tick: u64,
    /// Length of the frame in bytes.
    pub length: u32,
    /// Index of the interface it came in by.
    pub interface: u32,
    /// Receive queue.
    pub queue: u32,
    /// How many bytes of `bytes` are of the frame.
    pub captured: u8,
    /// Code of the reason that spared it, whatever else was found: [`Reason::Clean`] for none.
    /// [`Reason::Established`] and [`Reason::CookieAccepted`] say that its source is no forgery.
    pub spared: u8,
    /// Code of the reason that dropped it, or would have, or else that passed it.
    pub reason: u8,
    /// 1 if it was dropped.
    pub dropped: u8,
    /// The beginning of the frame.
    pub bytes: [u8; CAPTURE],
}

map_value!(Sample: 152);
