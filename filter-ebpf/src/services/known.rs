//! Whom a service knows: sources seen in calm, and established connections.

use aya_ebpf::{bindings::xdp_md, macros::map, maps::Array};
use filter_common::{
    abi::{cpu::CpuState, settings::Settings},
    logic::{
        bucket,
        packet::{Packet, Transport},
        seen::{LINES_LOG2, Line, Mark},
    },
};

use crate::{
    clock::Tick,
    lists::MMAPABLE,
    lookup::{Kind, TcpSocket},
};

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

#[inline(always)]
fn look_up(context: *mut xdp_md, packet: &Packet, source_port: u16, port: u16) -> bool {
    let from = (&packet.source, source_port);
    let Some(socket) = TcpSocket::find(context, from, (&packet.destination, port)) else {
        return false;
    };
    let kind = socket.kind();
    socket.release();
    kind == Kind::Connection
}
