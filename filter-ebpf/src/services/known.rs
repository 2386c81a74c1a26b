//! Whom a service knows: sources seen in calm, and established connections.

use aya_ebpf::{
    bindings::{bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1, xdp_md},
    macros::map,
    maps::Array,
};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::{
        address::Family,
        bucket,
        packet::{Packet, Transport},
        seen::{LINES_LOG2, Line, Mark},
    },
};

use crate::{clock::Tick, lists::MMAPABLE};

/// Sources seen in calm, in two generations.
#[map]
static SEEN: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Notes a source, within a budget: a flood below the ceiling must not fill the table.
#[inline(always)]
pub fn note(packet: &Packet, settings: &Settings, cpu: &mut CpuState, now: Tick) {
    let mark = Mark::of(&packet.source, &settings.key);
    let Some(line) = SEEN.get_ptr_mut(mark.line()) else {
        return;
    };
    // SAFETY: whole words of a live map value; a mark that two CPUs make at once and one loses is
    // made with the next packet.
    let line = unsafe { &mut *line };
    let generation = now.count() >> (settings.seen_log2 & 63);
    if mark.is_fresh(line, generation) {
        return;
    }
    if bucket::take(&mut cpu.seen, now.moment(), &settings.seen) {
        mark.make(line, generation);
    }
}

/// Whether a source was seen in calm, in this generation or the one before.
#[inline(always)]
pub fn is_known(packet: &Packet, settings: &Settings, now: Tick) -> bool {
    let mark = Mark::of(&packet.source, &settings.key);
    let generation = now.count() >> (settings.seen_log2 & 63);
    SEEN.get(mark.line())
        .is_some_and(|line| mark.is_known(line, generation))
}

/// Whether this host has a connection with the sender that is past its handshake.
#[doc(alias = "bpf_skc_lookup_tcp")]
#[inline(always)]
pub fn is_established(context: *mut xdp_md, packet: &Packet) -> bool {
    match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } if !flags.opens() => look_up(context, packet, source_port, destination_port),
        Transport::Tcp { .. }
        | Transport::Udp { .. }
        | Transport::Icmp { .. }
        | Transport::Opaque => false,
    }
}

/// `BPF_TCP_LISTEN`, `BPF_TCP_NEW_SYN_RECV` and `BPF_TCP_TIME_WAIT`: found, but no connection.
const NO_CONNECTION: u32 = 1 << 10 | 1 << 12 | 1 << 6;

#[inline(always)]
fn look_up(context: *mut xdp_md, packet: &Packet, source_port: u16, port: u16) -> bool {
    // SAFETY: integers only.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let (source, destination) = (packet.source.words(), packet.destination.words());
    let size = match packet.source.family() {
        Family::V4 => {
            tuple.__bindgen_anon_1.ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: source[0],
                daddr: destination[0],
                sport: source_port.to_be(),
                dport: port.to_be(),
            };
            12
        }
        Family::V6 => {
            tuple.__bindgen_anon_1.ipv6 =
                aya_ebpf::bindings::bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
                    saddr: *source,
                    daddr: *destination,
                    sport: source_port.to_be(),
                    dport: port.to_be(),
                };
            36
        }
    };
    /// `BPF_F_CURRENT_NETNS`.
    const CURRENT_NETNS: u64 = u64::MAX;
    // SAFETY: the tuple is initialised for the size that is given; what is found is given back.
    unsafe {
        let socket = aya_ebpf::helpers::generated::bpf_skc_lookup_tcp(
            context.cast(),
            &raw mut tuple,
            size,
            CURRENT_NETNS,
            0,
        );
        if socket.is_null() {
            return false;
        }
        let state = (&raw const (*socket).state).read_volatile();
        aya_ebpf::helpers::generated::bpf_sk_release(socket.cast());
        NO_CONNECTION.wrapping_shr(state & 31) & 1 == 0
    }
}
