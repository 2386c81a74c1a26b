//! Which socket of this host a TCP segment belongs to that opens no connection.

use core::ops::ControlFlow;

use aya_ebpf::bindings::xdp_md;
use filter_common::{
    abi::{feature::Feature, reason::Reason, settings::Settings},
    logic::packet::{Packet, TcpFlags, Transport},
};

use super::cookies::{self, Segment};
use crate::{
    cpu,
    frame::XdpFrame,
    judge::Judge,
    lookup::{Kind, TcpSocket},
    shape,
};

/// Drops what belongs to no socket, and spares what belongs to a connection the limits of its source:
/// else forged packets in a partner's name would shut the partner out.
#[inline(always)]
pub fn check(frame: &XdpFrame, is_cookied: bool, judge: &mut Judge) -> ControlFlow<Reason> {
    match owner_find(frame.raw(), u32::from(is_cookied)) {
        code if code == Reason::NoSocket as u32 => judge.found(Reason::NoSocket),
        code if code == Reason::CookieRefused as u32 => judge.found(Reason::CookieRefused),
        code if code == Reason::CookieAccepted as u32 => judge.spare(Reason::CookieAccepted),
        code if code == Reason::Established as u32 => judge.spare(Reason::Established),
        _ => ControlFlow::Continue(()),
    }
}

/// The code of what the noted packet's socket says; zero if it says nothing. Exported, because it
/// then has a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn owner_find(context: *mut xdp_md, is_cookied: u32) -> u32 {
    const NOTHING: u32 = 0;
    let Some((scratch, settings)) = cpu::noted() else {
        return NOTHING;
    };
    if !shape::has_any(Feature::Sockets.bit() | Feature::Cookies.bit()) {
        return NOTHING;
    }
    let packet = scratch.packet();
    let Transport::Tcp {
        source_port,
        destination_port,
        flags,
    } = packet.transport()
    else {
        return NOTHING;
    };
    let to = (&packet.destination, destination_port);
    let Some(socket) = TcpSocket::find(context, (&packet.source, source_port), to) else {
        return Reason::NoSocket as u32;
    };
    match socket.kind() {
        Kind::Listener if shape::has(Feature::Cookies) => {
            let verdict =
                meets_listener(context, packet, flags, &socket, is_cookied != 0, settings);
            socket.release();
            if verdict == Reason::CookieAccepted as u32 {
                cookies::counters::accepted(destination_port, &packet.source, settings);
            }
            verdict
        }
        Kind::Connection => {
            socket.release();
            if is_cookied != 0 {
                cookies::guests::note(&packet.source, settings);
            }
            Reason::Established as u32
        }
        // Without the helper that knows cookies, what meets a listener may bring one.
        Kind::Listener | Kind::Other => {
            socket.release();
            NOTHING
        }
    }
}

/// What a listener has to do with the segment: the kernel's own cookies count like those of this
/// program. What may bring one carries an acknowledgement and data or the end of it.
#[inline(always)]
fn meets_listener(
    context: *mut xdp_md,
    packet: &Packet,
    flags: TcpFlags,
    listener: &TcpSocket,
    is_cookied: bool,
    settings: &Settings,
) -> u32 {
    const OTHERS: u8 = TcpFlags::SYN | TcpFlags::RST;
    if flags.0 & (OTHERS | TcpFlags::ACK) != TcpFlags::ACK {
        return Reason::CookieRefused as u32;
    }
    let Some(segment) = Segment::read(context, packet) else {
        return 0;
    };
    if segment.brings_cookie() {
        if is_cookied {
            segment.stamp(listener);
        }
        cookies::admitted::note(packet, settings);
        return Reason::CookieAccepted as u32;
    }
    if cookies::admitted::is_known(packet, settings) {
        return 0;
    }
    Reason::CookieRefused as u32
}
