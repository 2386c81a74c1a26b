//! Looking up the sockets of this host.

use aya_ebpf::bindings::{
    bpf_sock, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2, xdp_md,
};
use filter_common::logic::address::{Address, Family};

/// `BPF_F_CURRENT_NETNS`.
const CURRENT_NETNS: u64 = u64::MAX;

/// What the helpers look up, and its size: a packet from somebody to an address and a port here.
#[inline(always)]
fn tuple(from: (&Address, u16), to: (&Address, u16)) -> (bpf_sock_tuple, u32) {
    // SAFETY: integers only.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let (source, destination) = (from.0.words(), to.0.words());
    let size = match from.0.family() {
        Family::V4 => {
            tuple.__bindgen_anon_1.ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: source[0],
                daddr: destination[0],
                sport: from.1.to_be(),
                dport: to.1.to_be(),
            };
            12
        }
        Family::V6 => {
            tuple.__bindgen_anon_1.ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
                saddr: *source,
                daddr: *destination,
                sport: from.1.to_be(),
                dport: to.1.to_be(),
            };
            36
        }
    };
    (tuple, size)
}

/// A TCP socket that was found. It has to be given back: the verifier sees to it.
pub struct TcpSocket(*mut bpf_sock);

/// `BPF_TCP_SYN_SENT`, `BPF_TCP_SYN_RECV`, `BPF_TCP_TIME_WAIT`, `BPF_TCP_CLOSE`, `BPF_TCP_LISTEN` and
/// `BPF_TCP_NEW_SYN_RECV`: found, but not a connection that is past its handshake.
const NO_CONNECTION: u32 = 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 12;
/// `BPF_TCP_LISTEN`.
const LISTEN: u32 = 10;
/// `BPF_TCP_TIME_WAIT`, `BPF_TCP_CLOSE` and `BPF_TCP_LISTEN`: the kernel heeds no error that is about
/// what it has closed, and anybody can quote a listener's port.
const DEAF: u32 = 1 << 6 | 1 << 7 | 1 << LISTEN;
/// `BPF_TCP_ESTABLISHED`, which a UDP socket that is connected is in, too.
const ESTABLISHED: u32 = 1;

impl TcpSocket {
    /// The socket that a segment belongs to: of the connection, or else the listener. One that is
    /// bound to another interface than that of the context is not found.
    #[doc(alias = "bpf_skc_lookup_tcp")]
    #[inline(always)]
    pub fn find(context: *mut xdp_md, from: (&Address, u16), to: (&Address, u16)) -> Option<Self> {
        let (mut tuple, size) = tuple(from, to);
        // SAFETY: the tuple is initialised for the size that is given (kernel 5.2).
        let socket = unsafe {
            aya_ebpf::helpers::generated::bpf_skc_lookup_tcp(
                context.cast(),
                &raw mut tuple,
                size,
                CURRENT_NETNS,
                0,
            )
        };
        if socket.is_null() {
            return None;
        }
        Some(Self(socket))
    }

    #[inline(always)]
    fn state(&self) -> u32 {
        // SAFETY: the socket is held, and the verifier lets this field be read of any.
        unsafe { (&raw const (*self.0).state).read_volatile() }
    }

    /// Whether the kernel heeds errors about what the socket sends: it is a connection, if only
    /// one that begins.
    #[inline(always)]
    pub fn heeds_errors(&self) -> bool {
        DEAF.wrapping_shr(self.state() & 31) & 1 == 0
    }

    /// What the socket is to those who only want to know that.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        let state = self.state();
        if state == LISTEN {
            Kind::Listener
        } else if NO_CONNECTION.wrapping_shr(state & 31) & 1 == 0 {
            Kind::Connection
        } else {
            Kind::Other
        }
    }

    /// The socket, for a helper that takes it.
    #[inline(always)]
    pub fn raw(&self) -> *mut core::ffi::c_void {
        self.0.cast()
    }

    /// Gives the socket back.
    #[doc(alias = "bpf_sk_release")]
    #[inline(always)]
    pub fn release(self) {
        // SAFETY: it was found, and nobody has it any more.
        unsafe { aya_ebpf::helpers::generated::bpf_sk_release(self.0.cast()) };
    }
}

/// Whether a UDP socket of this host would take a datagram, and takes them from this sender only. One
/// that is bound to another interface than that of the context is not found.
#[doc(alias = "bpf_sk_lookup_udp")]
#[inline(always)]
pub fn has_connected_udp(context: *mut xdp_md, from: (&Address, u16), to: (&Address, u16)) -> bool {
    let (mut tuple, size) = tuple(from, to);
    // SAFETY: the tuple is initialised for the size that is given (kernel 5.0); what is found is
    // given back.
    unsafe {
        let socket = aya_ebpf::helpers::generated::bpf_sk_lookup_udp(
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
        state == ESTABLISHED
    }
}

/// What a socket is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It listens.
    Listener,
    /// A connection that is past its handshake.
    Connection,
    /// A connection that begins, or was.
    Other,
}
