//! The program at the egress of every interface: notes what this host asks for over UDP, and what
//! windows its own SYN-ACKs tell. It passes everything on.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use filter_common::{
    abi::defence::PortSet,
    logic::{
        packet::{Fragment, Packet, TcpFlags, Transport},
        parse,
        syn::{self, Offer},
    },
};

use crate::{
    clock::Tick,
    settings,
    skb::SkbFrame,
    state::{cookies::learned, local, peers, ports, request, solicited},
};

/// Entry point, of tcx (kernel 6.6) or of a classifier of clsact.
#[classifier]
pub fn floodwall_egress(ctx: TcContext) -> i32 {
    note(ctx.skb.skb);
    // Whoever comes next decides.
    TC_ACT_UNSPEC
}

#[inline(always)]
fn note(skb: *mut __sk_buff) {
    let frame = SkbFrame::of(skb);
    let packet = match parse::plain(&frame) {
        Some(packet) => packet,
        None => match parse::packet(&frame).continue_value() {
            Some(packet) => packet,
            None => return,
        },
    };
    if matches!(packet.fragment, Fragment::Later) {
        return;
    }
    match packet.transport() {
        Transport::Udp {
            source_port,
            destination_port,
        } => note_request(&frame, &packet, source_port, destination_port),
        Transport::Tcp {
            source_port, flags, ..
        } if flags.0 & SYN_ACK == SYN_ACK => learn(skb, &packet, source_port),
        Transport::Tcp { .. } | Transport::Icmp { .. } | Transport::Opaque => {}
    }
}

/// What leaves from a port that serves answers somebody, who may be forged: were it noted, anybody
/// could fill the table.
#[inline(always)]
fn note_request(frame: &SkbFrame, packet: &Packet, local_port: u16, remote_port: u16) {
    let now = Tick::now();
    let Some((settings, _)) = settings::current(now) else {
        return;
    };
    let remote = &packet.destination;
    if !local::is_own(&packet.source) {
        return;
    }
    if !ports::contains(PortSet::UdpServes, local_port) {
        solicited::note(remote, remote_port, local_port, settings, now);
    } else if (local_port, remote_port) == (request::NTP, request::NTP)
        && request::is_ntp_request(frame, packet)
    {
        peers::note(remote, settings, now);
    }
}

const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;

/// Learns window and window scale from a SYN-ACK, so that answers in the listener's name tell the
/// same.
#[inline(always)]
fn learn(skb: *mut __sk_buff, packet: &Packet, port: u16) {
    if !local::is_own(&packet.source) {
        return;
    }
    let mut header = [0; syn::HEADER];
    let length = packet.tcp_length();
    if !SkbFrame::copy_header(skb, packet.tcp_at(), length, &mut header) {
        return;
    }
    let [.., a, b] = header.first_chunk::<16>().copied().unwrap_or_default();
    let offer = Offer::of(&header, length);
    if offer.has_window_scale != 0 {
        learned::learn(port, u16::from_be_bytes([a, b]), offer.window_scale as u8);
    }
}
