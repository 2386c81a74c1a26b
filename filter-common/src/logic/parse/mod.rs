//! From bytes to a [`Packet`], once.
//!
//! The same code runs in the kernel, over packet memory, and on the host, over a slice.

mod ethernet;
mod ipv4;
mod ipv6;
mod plain;
mod transport;

use core::ops::ControlFlow;

pub use self::{
    ipv6::extension,
    plain::{plain, plain_v6},
};

use super::packet::Packet;
use crate::abi::reason::Reason;

/// A frame that can be read with bounds checks.
pub trait Frame {
    /// A piece of `N` bytes whose bounds were checked.
    type Piece<'a, const N: usize>: Piece
    where
        Self: 'a;

    /// Whether the frame, over all its buffers, has this many bytes.
    fn holds(&self, length: u32) -> bool;

    /// Whether the first buffer has this many bytes.
    #[inline(always)]
    fn first_holds(&self, length: u32) -> bool {
        self.holds(length)
    }

    /// The `N` bytes at an offset, if they lie in the first buffer.
    fn piece<const N: usize>(&self, offset: u32) -> Option<Self::Piece<'_, N>>;

    /// The same, or the reason why the packet cannot be judged.
    #[inline(always)]
    fn need<const N: usize>(&self, offset: u32) -> ControlFlow<Reason, Self::Piece<'_, N>> {
        match self.piece(offset) {
            Some(piece) => ControlFlow::Continue(piece),
            None if self.holds(offset.saturating_add(N as u32)) => {
                ControlFlow::Break(Reason::HeaderSpan)
            }
            None => ControlFlow::Break(Reason::Truncated),
        }
    }
}

/// Bytes that are there. The offset is a constant, and one beyond the piece does not compile.
pub trait Piece {
    /// The byte at `AT`.
    fn byte<const AT: usize>(&self) -> u8;

    /// The two bytes at `AT`, as a number in network order.
    fn be16<const AT: usize>(&self) -> u16;

    /// The four bytes at `AT`, as they lie in memory.
    fn word<const AT: usize>(&self) -> u32;
}

impl Frame for &[u8] {
    type Piece<'a, const N: usize>
        = &'a [u8; N]
    where
        Self: 'a;

    fn holds(&self, length: u32) -> bool {
        usize::try_from(length).is_ok_and(|length| length <= self.len())
    }

    fn piece<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        self.get(usize::try_from(offset).ok()?..)?.first_chunk()
    }
}

impl<const N: usize> Piece for &[u8; N] {
    #[allow(clippy::indexing_slicing, reason = "asserted when it is compiled")]
    fn byte<const AT: usize>(&self) -> u8 {
        u8::from_ne_bytes(part::<N, AT, 1>(self))
    }

    fn be16<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes(part::<N, AT, 2>(self))
    }

    fn word<const AT: usize>(&self) -> u32 {
        u32::from_ne_bytes(part::<N, AT, 4>(self))
    }
}

/// The `M` bytes at `AT`.
fn part<const N: usize, const AT: usize, const M: usize>(piece: &[u8; N]) -> [u8; M] {
    const { assert!(AT + M <= N) };
    let mut bytes = [0; M];
    for (to, from) in bytes.iter_mut().zip(piece.iter().skip(AT)) {
        *to = *from;
    }
    bytes
}

/// Parses a frame. Breaks with the reason when nothing is left to judge: not IP, cut short,
/// contradicting itself, or too deep.
#[inline(always)]
pub fn packet(frame: &impl Frame) -> ControlFlow<Reason, Packet> {
    let (network, offset) = ethernet::network(frame)?;
    match network {
        ethernet::Network::Ipv4 => ipv4::packet(frame, offset),
        ethernet::Network::Ipv6 => ipv6::packet(frame, offset),
    }
}
