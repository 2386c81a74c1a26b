//! ICMP. An error quotes the packet that it is about: one that quotes a packet of a connection of
//! this host always passes. The others are limited and not dropped, for tunnels and forwarded
//! flows have no sockets here, and a path MTU that cannot be learned is an outage nobody
//! understands. Echo, and what else is no error, has a limit of its own.

use core::ops::ControlFlow;

use aya_ebpf::{
    bindings::{
        bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2, xdp_md,
    },
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    macros::map,
    maps::Array,
};
use filter_common::{
    abi::{defence::Defence, feature::Feature, reason::Reason},
    logic::{
        address::Family,
        bucket::Limit,
        packet::{Packet, protocol},
        quoted::{self, Message, Quoted},
    },
};

use crate::{atomic, cpu, frame::XdpFrame, judge::Judge, shape};

/// The buckets of all sources together. What path MTU discovery lives on has one of its own: other
/// errors must not crowd it out.
#[map]
static ICMP_BUCKETS: Array<u64> = Array::with_max_entries(3, 0);

/// Drops ICMP above its limits that belongs to no connection.
#[inline(always)]
pub fn check(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Icmp) || !judge.defends(Defence::Icmp) {
        return ControlFlow::Continue(());
    }
    let bucket = match quoted::message(packet) {
        Message::TooBig => 0,
        Message::Error => 1,
        Message::Other if is_within(2, &judge.settings.echo, judge) => {
            return ControlFlow::Continue(());
        }
        Message::Other => return judge.found(Reason::LimitEcho),
    };
    if icmp_is_of_a_connection(frame.raw()) == 0
        && !is_within(bucket, &judge.settings.icmp_errors, judge)
    {
        return judge.found(Reason::LimitIcmpErrors);
    }
    ControlFlow::Continue(())
}

/// Whether a bucket has room. No limit is none.
#[inline(always)]
fn is_within(bucket: u32, limit: &Limit, judge: &Judge) -> bool {
    if limit.is_none() {
        return true;
    }
    let Some(word) = ICMP_BUCKETS.get_ptr_mut(bucket) else {
        return true;
    };
    atomic::take(word, judge.now.moment(), limit, limit.interval)
}

/// Whether the noted packet quotes one of a connection of this host. Exported, because it then has
/// a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn icmp_is_of_a_connection(context: *mut xdp_md) -> u32 {
    let Some(scratch) = cpu::notes() else {
        return 0;
    };
    let packet = scratch.packet();
    let (family, from) = (packet.source.family(), u32::from(packet.payload));
    match quoted::quoted(&XdpFrame::of(context), family, from, packet.end) {
        Some(quoted) => u32::from(is_connected(context, &quoted)),
        None => 0,
    }
}

/// `BPF_TCP_ESTABLISHED`, which a UDP socket that is connected is in, too.
const ESTABLISHED: u32 = 1;
/// `BPF_TCP_LISTEN` and `BPF_TCP_TIME_WAIT`. Anybody can quote a packet of a listener's port, and
/// the kernel heeds no error for what it has closed.
const NO_CONNECTION: u32 = 1 << 10 | 1 << 6;
/// `BPF_F_CURRENT_NETNS`.
const CURRENT_NETNS: u64 = u64::MAX;

/// Whether a socket of this host sent the quoted packet, and would take only its destination's
/// answer: a TCP connection, if only one that is being opened, or a UDP socket that is connected.
/// One that is not answers to anybody, and anybody can quote it.
#[doc(alias = "bpf_skc_lookup_tcp")]
#[doc(alias = "bpf_sk_lookup_udp")]
#[inline(always)]
fn is_connected(context: *mut xdp_md, quoted: &Quoted) -> bool {
    // SAFETY: integers only.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    // The answer to the quoted packet comes from where that was going.
    let (source, destination) = (quoted.destination.words(), quoted.source.words());
    let (sport, dport) = (quoted.destination_port.to_be(), quoted.source_port.to_be());
    let size = match quoted.source.family() {
        Family::V4 => {
            tuple.__bindgen_anon_1.ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: source[0],
                daddr: destination[0],
                sport,
                dport,
            };
            12
        }
        Family::V6 => {
            tuple.__bindgen_anon_1.ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
                saddr: *source,
                daddr: *destination,
                sport,
                dport,
            };
            36
        }
    };
    let is_tcp = quoted.protocol == protocol::TCP;
    let (context, tuple) = (context.cast(), &raw mut tuple);
    // SAFETY: the tuple is initialised for the size that is given; what is found is given back.
    unsafe {
        if is_tcp {
            let socket = bpf_skc_lookup_tcp(context, tuple, size, CURRENT_NETNS, 0);
            if socket.is_null() {
                return false;
            }
            let state = (&raw const (*socket).state).read_volatile();
            bpf_sk_release(socket.cast());
            NO_CONNECTION.wrapping_shr(state & 31) & 1 == 0
        } else {
            let socket = bpf_sk_lookup_udp(context, tuple, size, CURRENT_NETNS, 0);
            if socket.is_null() {
                return false;
            }
            let state = (&raw const (*socket).state).read_volatile();
            bpf_sk_release(socket.cast());
            state == ESTABLISHED
        }
    }
}
