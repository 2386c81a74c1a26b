//! The headers of a segment as the kernel's helpers about cookies want them.

use aya_ebpf::{bindings::xdp_md, helpers::generated as helper};
use filter_common::logic::{
    address::Family,
    packet::{Packet, TcpFlags},
    syn::{self, Offer},
};

use crate::{
    cpu,
    frame::{XdpFrame, bounded_header as bounded},
    lookup::TcpSocket,
};

/// The headers of a segment, in the notes of this CPU.
#[repr(C)]
pub struct Segment {
    /// Of the IP header what the helpers read: version and addresses.
    network: [u32; 10],
    /// The TCP header.
    header: [u32; syn::HEADER / 4],
    /// Its length: 20 to 60 bytes.
    length: u32,
    is_v6: u32,
}

/// A TCP header without options.
const BARE: u32 = 20;

impl Segment {
    /// Reads the headers of the noted packet, whose TCP header the parser saw.
    #[inline(always)]
    pub fn read(context: *mut xdp_md, packet: &Packet) -> Option<&'static mut Self> {
        Self::read_length(context, packet, BARE)
    }

    /// Likewise with the options.
    #[inline(always)]
    pub fn read_whole(context: *mut xdp_md, packet: &Packet) -> Option<&'static mut Self> {
        Self::read_length(context, packet, packet.tcp_length())
    }

    #[inline(always)]
    fn read_length(
        context: *mut xdp_md,
        packet: &Packet,
        length: u32,
    ) -> Option<&'static mut Self> {
        let segment = &mut cpu::notes()?.segment;
        let [source, destination] = [packet.source.words(), packet.destination.words()];
        match packet.source.family() {
            Family::V4 => {
                segment.is_v6 = 0;
                let [version, _, _, from, to, ..] = &mut segment.network;
                *version = 0x4500_0000_u32.to_be();
                [*from, *to] = [source[0], destination[0]];
            }
            Family::V6 => {
                segment.is_v6 = 1;
                let [version, _, a, b, c, d, e, f, g, h] = &mut segment.network;
                *version = 0x6000_0000_u32.to_be();
                [*a, *b, *c, *d] = *source;
                [*e, *f, *g, *h] = *destination;
            }
        }
        segment.length = length;
        let at = packet.tcp_at();
        let is_read = if length == BARE {
            XdpFrame::of(context).read::<{ BARE as usize }>(at, &mut segment.header)
        } else {
            XdpFrame::copy_header(context, at, length, &mut segment.header)
        };
        is_read.then_some(segment)
    }

    /// The sequence number.
    #[inline(always)]
    pub fn sequence(&self) -> u32 {
        u32::from_be(self.header[1])
    }

    /// What the options offer.
    #[inline(always)]
    pub fn offer(&self) -> Offer {
        let bytes = (&raw const self.header).cast::<[u8; syn::HEADER]>();
        // SAFETY: as many bytes as the words have.
        Offer::of(unsafe { &*bytes }, self.length)
    }

    /// The cookie of a SYN, whoever listens.
    #[doc(alias = "bpf_tcp_raw_gen_syncookie_ipv4")]
    #[doc(alias = "bpf_tcp_raw_gen_syncookie_ipv6")]
    #[inline(always)]
    pub fn cookie(&mut self) -> Option<u32> {
        let length = bounded(self.length);
        let header = self.header.as_mut_ptr().cast();
        let network = self.network.as_mut_ptr();
        // SAFETY: both headers are whole (kernel 6.0).
        made(unsafe {
            if self.is_v6 == 0 {
                helper::bpf_tcp_raw_gen_syncookie_ipv4(network.cast(), header, length)
            } else {
                helper::bpf_tcp_raw_gen_syncookie_ipv6(network.cast(), header, length)
            }
        })
    }

    /// The cookie of a SYN for this listener, which from here on takes cookies for two minutes.
    /// None if it would not: `tcp_syncookies` is not 2, or nobody accepts its connections.
    #[doc(alias = "bpf_tcp_gen_syncookie")]
    #[inline(always)]
    pub fn cookie_of(&mut self, listener: &TcpSocket) -> Option<u32> {
        let length = bounded(self.length);
        let header = self.header.as_mut_ptr().cast();
        let network = self.network.as_mut_ptr().cast();
        // SAFETY: both headers are whole, and the socket is held (kernel 5.4).
        made(unsafe {
            if self.is_v6 == 0 {
                helper::bpf_tcp_gen_syncookie(listener.raw(), network, 20, header, length)
            } else {
                helper::bpf_tcp_gen_syncookie(listener.raw(), network, 40, header, length)
            }
        })
    }

    /// Whether the segment's acknowledgement is a cookie that the kernel takes.
    #[doc(alias = "bpf_tcp_raw_check_syncookie_ipv4")]
    #[doc(alias = "bpf_tcp_raw_check_syncookie_ipv6")]
    #[inline(always)]
    pub fn brings_cookie(&mut self) -> bool {
        let header = self.header.as_mut_ptr().cast();
        let network = self.network.as_mut_ptr();
        // SAFETY: both headers are whole (kernel 6.0).
        let result = unsafe {
            if self.is_v6 == 0 {
                helper::bpf_tcp_raw_check_syncookie_ipv4(network.cast(), header)
            } else {
                helper::bpf_tcp_raw_check_syncookie_ipv6(network.cast(), header)
            }
        };
        result == 0
    }

    /// Has a listener take cookies for two minutes, by way of a SYN that nobody sent: it may have
    /// come after the one that was stamped.
    #[inline(always)]
    pub fn stamp(&mut self, listener: &TcpSocket) {
        self.header[3] = (BARE << 26 | u32::from(TcpFlags::SYN) << 16).to_be();
        self.length = BARE;
        // A listener that takes none refuses what follows by itself.
        let _ = self.cookie_of(listener);
    }
}

/// The cookie that a helper made; negative is an error.
#[inline(always)]
fn made(result: i64) -> Option<u32> {
    if result < 0 {
        None
    } else {
        Some(result as u32)
    }
}
