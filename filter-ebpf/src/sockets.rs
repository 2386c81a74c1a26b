//! The program that the kernel's own TCP tells what becomes of connections. What it says nobody can
//! forge: a handshake that the kernel completed proves the address.

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
        BPF_SOCK_OPS_TCP_LISTEN_CB, bpf_sock_ops,
    },
    macros::sock_ops,
    programs::SockOpsContext,
};
use filter_common::{
    abi::{defence::PortSet, settings::Settings},
    logic::address::Address,
};

use crate::{
    clock::Tick,
    hops, known, proven, settings,
    state::{
        connections,
        cookies::{counters, guests},
        ports,
    },
};

/// Bytes that a peer has to acknowledge before its connection speaks for it.
const ACKNOWLEDGED: u64 = 64;

/// Reads a field of the context, whole, as the verifier wants it.
macro_rules! field {
    ($ops:expr, $field:ident) => {
        // SAFETY: the context outlives the program's run.
        unsafe { (&raw const (*$ops).$field).read_volatile() }
    };
}

/// Entry point, of all sockets of the processes in a control group (kernel 5.15).
#[sock_ops]
pub fn floodwall_sockets(ctx: SockOpsContext) -> u32 {
    heed(ctx.ops);
    1
}

#[inline(always)]
fn heed(ops: *mut bpf_sock_ops) {
    let Some((settings, _)) = settings::current(Tick::now()) else {
        return;
    };
    match field!(ops, op) {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB if is_ours(ops, settings) => established(ops, settings),
        BPF_SOCK_OPS_STATE_CB if is_ours(ops, settings) => changed(ops, settings),
        BPF_SOCK_OPS_TCP_LISTEN_CB if is_ours(ops, settings) => listens(ops),
        _ => {}
    }
}

/// Whether the socket is in the network namespace that is filtered. Containers have others.
#[doc(alias = "bpf_get_netns_cookie")]
#[inline(always)]
fn is_ours(ops: *mut bpf_sock_ops, settings: &Settings) -> bool {
    // SAFETY: the context is the one this program was called with.
    let cookie = unsafe { aya_ebpf::helpers::generated::bpf_get_netns_cookie(ops.cast()) };
    cookie == settings.netns
}

/// Somebody completed a handshake.
#[doc(alias = "bpf_sock_ops_cb_flags_set")]
#[inline(always)]
fn established(ops: *mut bpf_sock_ops, settings: &Settings) {
    counters::completed(field!(ops, local_port) as u16);
    let flags = field!(ops, bpf_sock_ops_cb_flags) | BPF_SOCK_OPS_STATE_CB_FLAG;
    // SAFETY: the context is the one this program was called with. A connection that will not
    // tell of its end is one that nobody is known by.
    let _ = unsafe {
        aya_ebpf::helpers::generated::bpf_sock_ops_cb_flags_set(ops, flags.cast_signed())
    };
    if let Some(source) = remote(ops) {
        connections::charge(&source, settings, Tick::now());
        proven::mark(&source, settings);
        if known::was_here_before(&source, settings) {
            hops::learn(ops, &source, settings);
        }
    }
}

/// A connection goes from one state to the next. Asked at each, for what is sent last is often
/// acknowledged only after the connection began to end.
#[inline(always)]
fn changed(ops: *mut bpf_sock_ops, settings: &Settings) {
    let Some(source) = remote(ops) else {
        return;
    };
    // A new SYN of theirs may meet what is left of the connection.
    guests::note(&source, settings);
    if field!(ops, bytes_acked) >= ACKNOWLEDGED {
        known::mark(&source, settings);
    }
}

/// Somebody listens: the port is open from now on, not only when the daemon looks next.
#[inline(always)]
fn listens(ops: *mut bpf_sock_ops) {
    let is_loopback = match field!(ops, family) {
        AF_INET => is_loopback_v4(field!(ops, local_ip4)),
        AF_INET6 => match local_v6(ops) {
            [0, 0, 0, last] => last == 1_u32.to_be(),
            [0, 0, MAPPED, v4] => is_loopback_v4(v4),
            _ => false,
        },
        _ => true,
    };
    if !is_loopback {
        ports::insert(PortSet::TcpOpen, field!(ops, local_port) as u16);
    }
}

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// The third word of an IPv4 address in IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: u32 = 0xffff_u32.to_be();

#[inline(always)]
fn is_loopback_v4(word: u32) -> bool {
    u32::from_be(word) >> 24 == 127
}

/// The address of the other end.
#[inline(always)]
fn remote(ops: *mut bpf_sock_ops) -> Option<Address> {
    match field!(ops, family) {
        AF_INET => Some(Address::v4(field!(ops, remote_ip4))),
        AF_INET6 => match remote_v6(ops) {
            [0, 0, MAPPED, v4] => Some(Address::v4(v4)),
            words => Some(Address::v6(words)),
        },
        _ => None,
    }
}

/// Reads an address of the context word by word, as the verifier wants it.
macro_rules! words {
    ($ops:expr, $field:ident) => {
        // SAFETY: the context outlives the program's run.
        unsafe {
            let words = (&raw const (*$ops).$field).cast::<u32>();
            [
                words.read_volatile(),
                words.add(1).read_volatile(),
                words.add(2).read_volatile(),
                words.add(3).read_volatile(),
            ]
        }
    };
}

#[inline(always)]
fn remote_v6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    words!(ops, remote_ip6)
}

#[inline(always)]
fn local_v6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    words!(ops, local_ip6)
}
