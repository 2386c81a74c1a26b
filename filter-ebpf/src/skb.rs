//! The bytes of a packet that leaves.

use aya_ebpf::bindings::__sk_buff;
use filter_common::logic::parse::Frame;

use crate::frame::{XdpPiece, piece};

/// The frame of a socket buffer, Ethernet header included.
pub struct SkbFrame {
    skb: *mut __sk_buff,
    start: usize,
    end: usize,
}

/// Reads a field of the context, whole, as the verifier wants it.
macro_rules! field {
    ($skb:expr, $field:ident) => {
        // SAFETY: the context outlives the program's run.
        unsafe { (&raw const (*$skb).$field).read_volatile() }
    };
}

/// Where headers end in all but odd packets.
const HEADERS: u32 = 128;

impl SkbFrame {
    /// The frame of this context. Brings headers that lie in pages into reach.
    #[doc(alias = "bpf_skb_pull_data")]
    #[inline(always)]
    pub fn of(skb: *mut __sk_buff) -> Self {
        let start = field!(skb, data) as usize;
        let end = field!(skb, data_end) as usize;
        let length = field!(skb, len);
        let wanted = if length < HEADERS { length } else { HEADERS };
        if (end.wrapping_sub(start) as u32) < wanted {
            // SAFETY: the context is the one this program was called with; pointers into the packet
            // are read anew below. Where it fails, the packet is parsed as far as it goes.
            let _ = unsafe { aya_ebpf::helpers::generated::bpf_skb_pull_data(skb, wanted) };
        }
        Self {
            skb,
            start: field!(skb, data) as usize,
            end: field!(skb, data_end) as usize,
        }
    }

    /// Copies a TCP header of 20 to 60 bytes from an offset in the frame. False if it is not there.
    #[doc(alias = "bpf_skb_load_bytes")]
    #[inline(always)]
    pub fn copy_header(skb: *mut __sk_buff, offset: u32, length: u32, to: &mut [u8; 64]) -> bool {
        let mut length = u64::from(length);
        // SAFETY: one instruction that does nothing. The compiler may know the bounds and leave out
        // the comparisons that tell them to the verifier.
        unsafe {
            core::arch::asm!(
                "{length} = {length}",
                length = inout(reg) length,
                options(pure, nomem, nostack),
            );
        }
        let length = length.clamp(20, 60) as u32;
        // SAFETY: the helper writes `length` bytes, which `to` has room for.
        let result = unsafe {
            aya_ebpf::helpers::generated::bpf_skb_load_bytes(
                skb.cast(),
                offset,
                to.as_mut_ptr().cast(),
                length,
            )
        };
        result == 0
    }
}

impl Frame for SkbFrame {
    type Piece<'a, const N: usize> = XdpPiece<'a, N>;

    #[inline(always)]
    fn holds(&self, length: u32) -> bool {
        length <= field!(self.skb, len)
    }

    #[inline(always)]
    fn piece<const N: usize>(&self, offset: u32) -> Option<XdpPiece<'_, N>> {
        piece(self.start, self.end, offset)
    }
}
