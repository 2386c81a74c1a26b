//! With which hop limits known good sources arrive, as they did when they completed handshakes: a
//! forger does not see that.

use aya_ebpf::{bindings::bpf_sock_ops, macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::{Address, Family},
        hops::{Place, WORDS_LOG2},
        packet::{Packet, protocol},
    },
};

use crate::{lists::MMAPABLE, shape};

/// The last hop limits of each source.
#[map]
static HOPS: Array<u64> = Array::with_max_entries(1 << WORDS_LOG2, MMAPABLE);

/// Whether the source completed a handshake with the packet's hop limit.
#[inline(always)]
pub fn are_expected(packet: &Packet, settings: &Settings) -> bool {
    let place = Place::of(&packet.source, &settings.key);
    match HOPS.get_ptr(place.index) {
        // SAFETY: a whole word of a live map value.
        Some(word) => place.expects(unsafe { word.read_volatile() }, packet.hops),
        None => false,
    }
}

/// Notes the hop limit of the packet that completed a handshake.
#[inline(always)]
pub fn learn(ops: *mut bpf_sock_ops, source: &Address, settings: &Settings) {
    let Some(hops) = of_packet(ops, source) else {
        return;
    };
    let place = Place::of(source, &settings.key);
    let Some(word) = HOPS.get_ptr_mut(place.index) else {
        return;
    };
    // SAFETY: a whole word of a live map value; what two CPUs learn at once and one loses is learned
    // with the next handshake.
    unsafe {
        let before = word.read_volatile();
        let after = place.with(before, hops);
        if after != before {
            word.write_volatile(after);
        }
    }
}

/// Bytes of an IPv4 header without options.
const HEADER_V4: u64 = 20;
/// Bytes of an IPv6 header.
const HEADER_V6: u64 = 40;
/// Words of either, up to the end of the source address.
const WORDS: usize = 6;

/// The hop limit of the packet at hand, of which the context shows the TCP header alone; what lies before
/// that is believed if it is an IP header from the source, without options.
#[doc(alias = "bpf_probe_read_kernel")]
#[inline(always)]
fn of_packet(ops: *mut bpf_sock_ops, source: &Address) -> Option<u8> {
    if !shape::can_read_kernel() {
        return None;
    }
    // SAFETY: the context outlives the program's run; of no packet, the place is null.
    let segment = unsafe { (&raw const (*ops).__bindgen_anon_3.skb_data).read_volatile() } as u64;
    if segment == 0 {
        return None;
    }
    let before = match source.family() {
        Family::V4 => HEADER_V4,
        Family::V6 => HEADER_V6,
    };
    let mut header = [0_u32; WORDS];
    // SAFETY: there is room for what is read; the helper (kernel 5.5) reads nothing that is not there.
    let result = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(
            header.as_mut_ptr().cast(),
            (WORDS * size_of::<u32>()) as u32,
            segment.wrapping_sub(before) as *const core::ffi::c_void,
        )
    };
    if result != 0 {
        return None;
    }
    let [first, second, third, a, b, c] = header;
    let words = source.words();
    let (version, next, hops) = match source.family() {
        Family::V4 => {
            let [hops, next, ..] = third.to_ne_bytes();
            (first.to_ne_bytes()[0] == 0x45 && a == words[0], next, hops)
        }
        Family::V6 => {
            let [.., next, hops] = second.to_ne_bytes();
            let is_v6 = first.to_ne_bytes()[0] >> 4 == 6;
            let is_from = [third, a, b, c] == *words;
            (is_v6 && is_from, next, hops)
        }
    };
    (version && next == protocol::TCP).then_some(hops)
}
