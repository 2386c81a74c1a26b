//! The packet's bytes: the one place that touches them.

use core::marker::PhantomData;

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use filter_common::{
    abi::feature::Feature,
    logic::parse::{Frame, Piece},
};

use crate::{bound, shape};

/// The frame of an XDP context.
pub struct XdpFrame {
    ctx: *mut xdp_md,
    start: usize,
    end: usize,
}

/// Reads a field of the context. Volatile, because the verifier allows loads of whole fields
/// only, and the compiler would merge neighbours into one.
macro_rules! field {
    ($ctx:expr, $field:ident) => {
        // SAFETY: the context outlives the program's run.
        unsafe { (&raw const (*$ctx).$field).read_volatile() }
    };
}

/// Loads from packet memory. In assembler, because headers lie at any address: Rust would load an
/// unaligned word byte by byte, while the machine, wherever the verifier agrees, takes it at once.
macro_rules! load {
    ($width:literal, $start:expr, $at:expr) => {{
        let value: u64;
        // SAFETY: `XdpPiece` exists only for N bytes before `data_end`, and the offset and width
        // are within N, as asserted at compile time; the frame is ours until the program returns.
        unsafe {
            core::arch::asm!(
                concat!("{value} = *(", $width, " *)({start} + {at})"),
                value = out(reg) value,
                start = in(reg) $start,
                at = const $at,
                options(pure, readonly, nostack),
            );
        }
        value
    }};
}

/// Stores to packet memory, likewise.
macro_rules! store {
    ($width:literal, $start:expr, $at:expr, $value:expr) => {
        // SAFETY: as for loads; nobody else has the frame.
        unsafe {
            core::arch::asm!(
                concat!("*(", $width, " *)({start} + {at}) = {value}"),
                start = in(reg) $start,
                at = const $at,
                value = in(reg) u64::from($value),
                options(nostack),
            );
        }
    };
}

impl XdpFrame {
    /// The frame of this context.
    #[inline(always)]
    pub fn new(ctx: XdpContext) -> Self {
        Self::of(ctx.ctx)
    }

    /// The same, of the context as the kernel passes it.
    #[inline(always)]
    pub fn of(ctx: *mut xdp_md) -> Self {
        Self {
            ctx,
            start: field!(ctx, data) as usize,
            end: field!(ctx, data_end) as usize,
        }
    }

    /// Bytes in the first buffer.
    #[inline(always)]
    pub fn linear(&self) -> u32 {
        self.end.wrapping_sub(self.start) as u32
    }

    /// Bytes in all buffers.
    #[doc(alias = "bpf_xdp_get_buff_len")]
    #[inline(always)]
    pub fn length(&self) -> u32 {
        if !shape::has(Feature::Frags) {
            return self.linear();
        }
        // SAFETY: the context is the one this program was called with (kernel 5.18).
        unsafe { aya_ebpf::helpers::generated::bpf_xdp_get_buff_len(self.ctx) as u32 }
    }

    /// Copies the beginning of the frame, and tells how many bytes that were.
    #[inline(always)]
    pub fn copy_beginning<const N: usize>(&self, to: &mut [u8; N]) -> u8 {
        const { assert!(N <= u8::MAX as usize) };
        let length = self.length().clamp(1, N as u32);
        if Self::copy(self.ctx, 0, length, to) {
            length as u8
        } else {
            0
        }
    }

    /// Copies `length` bytes, at most all of `to`, which is a power of two, from an offset in the
    /// frame. False if they are not there.
    #[inline(always)]
    pub fn copy<const N: usize>(
        context: *mut xdp_md,
        offset: u32,
        length: u32,
        to: &mut [u8; N],
    ) -> bool {
        const { assert!(N.is_power_of_two()) };
        // The verifier refuses a copy of nothing.
        let length = bound::length::<1, N>(length.clamp(1, N as u32));
        // SAFETY: `to` has room for `length` bytes.
        unsafe { Self::copy_to(context, offset, length, to.as_mut_ptr().cast()) }
    }

    /// Copies a header of 20 to 60 bytes from an offset in the frame. False if it is not there.
    #[inline(always)]
    pub fn copy_header(context: *mut xdp_md, offset: u32, length: u32, to: &mut [u32; 16]) -> bool {
        let length = bounded_header(length);
        // SAFETY: `to` has room for the longest header.
        unsafe { Self::copy_to(context, offset, length, to.as_mut_ptr().cast()) }
    }

    /// # Safety
    /// There is room for `length` bytes, whose bounds the verifier can see, at `to`.
    #[doc(alias = "bpf_xdp_load_bytes")]
    #[inline(always)]
    unsafe fn copy_to(
        context: *mut xdp_md,
        offset: u32,
        length: u32,
        to: *mut core::ffi::c_void,
    ) -> bool {
        if shape::has(Feature::Frags) {
            // SAFETY: as callers promise (kernel 5.18).
            let result = unsafe {
                aya_ebpf::helpers::generated::bpf_xdp_load_bytes(context, offset, to, length)
            };
            return result == 0;
        }
        let frame = Self::of(context);
        if offset.saturating_add(length) > frame.linear() {
            return false;
        }
        let from = frame.start.wrapping_add(offset as usize) as *const core::ffi::c_void;
        // SAFETY: the bytes are in the frame, as was just asked; the helper (kernel 5.5) reads
        // nothing that is not there in any case.
        let result =
            unsafe { aya_ebpf::helpers::generated::bpf_probe_read_kernel(to, length, from) };
        result == 0
    }

    /// Reads words, `BYTES` in all, from an offset in the frame. False if they are not there.
    #[inline(always)]
    pub fn read<const BYTES: usize>(&self, offset: u32, to: &mut [u32]) -> bool {
        let Some(piece) = self.piece::<BYTES>(offset) else {
            return false;
        };
        for (index, word) in (0..BYTES / 4).zip(to) {
            let place = piece.start.wrapping_add(index.wrapping_mul(4));
            *word = load!("u32", place, 0) as u32;
        }
        true
    }

    /// Writes words, `BYTES` in all, at an offset in the frame. False if it does not go on so far.
    #[inline(always)]
    pub fn write<const BYTES: usize>(&self, offset: u32, from: &[u32]) -> bool {
        let Some(piece) = self.piece::<BYTES>(offset) else {
            return false;
        };
        for (index, word) in (0..BYTES / 4).zip(from) {
            let place = piece.start.wrapping_add(index.wrapping_mul(4));
            store!("u32", place, 0, *word);
        }
        true
    }

    /// Sends the frame back to where it came from: swaps the addresses of its Ethernet header.
    #[inline(always)]
    pub fn turn_round(&self) -> bool {
        let Some(header) = self.piece::<14>(0) else {
            return false;
        };
        header.swap::<0, 6>();
        header.swap::<2, 8>();
        header.swap::<4, 10>();
        true
    }

    /// The context as the kernel passes it.
    #[inline(always)]
    pub fn raw(&self) -> *mut xdp_md {
        self.ctx
    }

    /// The context.
    #[cfg(feature = "log")]
    #[inline(always)]
    pub fn context(&self) -> XdpContext {
        XdpContext::new(self.ctx)
    }

    /// Index of the interface.
    #[inline(always)]
    pub fn interface(&self) -> u32 {
        field!(self.ctx, ingress_ifindex)
    }

    /// Receive queue.
    #[inline(always)]
    pub fn queue(&self) -> u32 {
        field!(self.ctx, rx_queue_index)
    }
}

impl Frame for XdpFrame {
    type Piece<'a, const N: usize> = XdpPiece<'a, N>;

    /// Asks for the length over all buffers only where the first one is not enough.
    #[inline(always)]
    fn holds(&self, length: u32) -> bool {
        length <= self.linear() || length <= self.length()
    }

    #[inline(always)]
    fn first_holds(&self, length: u32) -> bool {
        length <= self.linear()
    }

    #[inline(always)]
    fn piece<const N: usize>(&self, offset: u32) -> Option<XdpPiece<'_, N>> {
        piece(self.start, self.end, offset)
    }
}

/// The `N` bytes at an offset of a frame that lies between two addresses.
#[inline(always)]
pub fn piece<'a, const N: usize>(start: usize, end: usize, offset: u32) -> Option<XdpPiece<'a, N>> {
    let start = start.wrapping_add(bounded(offset));
    if start.wrapping_add(N) > end {
        return None;
    }
    Some(XdpPiece {
        start,
        frame: PhantomData,
    })
}

/// The offset, with a bound that the verifier can see. Headers end before 14 KiB: Ethernet and two
/// tags, IPv6, and six extension headers of 2 KiB.
#[inline(always)]
fn bounded(offset: u32) -> usize {
    bound::low::<0x3fff>(u64::from(offset)) as usize
}

/// The length of headers, from 20 to 83 bytes, with bounds that the verifier can see.
#[inline(always)]
pub fn bounded_header(length: u32) -> u32 {
    bound::length::<20, 64>(length)
}

/// `N` bytes of the frame that are known to be there.
pub struct XdpPiece<'a, const N: usize> {
    start: usize,
    frame: PhantomData<&'a ()>,
}

impl<const N: usize> XdpPiece<'_, N> {
    /// Swaps the two bytes at `A` with those at `B`.
    #[inline(always)]
    fn swap<const A: usize, const B: usize>(&self) {
        const { assert!(A + 2 <= N && B + 2 <= N) };
        let (a, b) = (load!("u16", self.start, A), load!("u16", self.start, B));
        store!("u16", self.start, A, b);
        store!("u16", self.start, B, a);
    }
}

impl<const N: usize> Piece for XdpPiece<'_, N> {
    #[inline(always)]
    fn byte<const AT: usize>(&self) -> u8 {
        const { assert!(AT < N) };
        load!("u8", self.start, AT) as u8
    }

    #[inline(always)]
    fn be16<const AT: usize>(&self) -> u16 {
        const { assert!(AT + 2 <= N) };
        u16::from_be(load!("u16", self.start, AT) as u16)
    }

    #[inline(always)]
    fn word<const AT: usize>(&self) -> u32 {
        const { assert!(AT + 4 <= N) };
        load!("u32", self.start, AT) as u32
    }
}
