//! ICMP. An error quotes the packet that it is about: one that quotes a packet of a connection of
//! this host always passes. The others are limited and not dropped, for tunnels and forwarded
//! flows have no sockets here, and a path MTU that cannot be learned is an outage nobody
//! understands. Echo, and what else is no error, has a limit of its own.

use core::ops::ControlFlow;

use aya_ebpf::{bindings::xdp_md, macros::map, maps::Array};
use filter_common::{
    abi::{defence::Defence, feature::Feature, reason::Reason},
    logic::{
        bucket::Limit,
        packet::{Packet, protocol},
        quoted::{self, Message, Quoted},
    },
};

use crate::{
    atomic, cpu,
    frame::XdpFrame,
    judge::Judge,
    lookup::{self, TcpSocket},
    shape,
};

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
    if !shape::has(Feature::Icmp) {
        return 0;
    }
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

/// Whether a socket of this host sent the quoted packet, and would take only its destination's
/// answer: a TCP connection, if only one that is being opened, or a UDP socket that is connected.
/// One that is not answers to anybody, and anybody can quote it.
#[inline(always)]
fn is_connected(context: *mut xdp_md, quoted: &Quoted) -> bool {
    // The answer to the quoted packet comes from where that was going.
    let from = (&quoted.destination, quoted.destination_port);
    let to = (&quoted.source, quoted.source_port);
    if quoted.protocol != protocol::TCP {
        return lookup::has_connected_udp(context, from, to);
    }
    let Some(socket) = TcpSocket::find(context, from, to) else {
        return false;
    };
    let is_connected = socket.heeds_errors();
    socket.release();
    is_connected
}
