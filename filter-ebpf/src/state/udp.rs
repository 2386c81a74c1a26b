//! UDP: what nobody asked for, and what nobody listens to.

use core::ops::ControlFlow;

use aya_ebpf::bindings::xdp_md;
use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        feature::Feature,
        reason::Reason,
    },
    logic::packet::{Packet, Transport},
};

use super::{local, peers, ports, request, solicited};
use crate::{clock::Tick, cpu, frame::XdpFrame, judge::Judge, shape};

/// It comes from the port of a reflector, and nobody here asked for it.
const UNSOLICITED: u32 = 1;
/// It goes to a port that nobody listens on, and nobody here asked for it.
const CLOSED: u32 = 2;

/// Drops what comes from the port of a reflector, and what goes to a closed port, unless this host
/// asked for it. Such flows are spared no limit: strangers may share their bits.
#[inline(always)]
pub fn check(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has_any(Feature::Solicited.bit() | Feature::ClosedPorts.bit()) {
        return ControlFlow::Continue(());
    }
    let Transport::Udp {
        source_port,
        destination_port,
    } = packet.transport()
    else {
        return ControlFlow::Continue(());
    };
    let mut suspicion = 0;
    if watches_reflectors(judge) && ports::contains(PortSet::Reflectors, source_port) {
        suspicion |= UNSOLICITED;
    }
    if watches_ports(judge) && !ports::contains(PortSet::UdpOpen, destination_port) {
        suspicion |= CLOSED;
    }
    if suspicion == 0 {
        return ControlFlow::Continue(());
    }
    let confirmed = state_udp(frame.raw(), suspicion);
    if confirmed & UNSOLICITED != 0 {
        judge.found(Reason::Unsolicited)?;
    }
    if confirmed & CLOSED != 0 {
        judge.found(Reason::ClosedUdp)?;
    }
    ControlFlow::Continue(())
}

#[inline(always)]
fn watches_reflectors(judge: &Judge) -> bool {
    shape::has(Feature::Solicited)
        && judge.defends(Defence::Solicited)
        && solicited::is_warm(judge.settings, judge.now)
}

/// A client's socket opened a moment ago is in no list yet: what it asked is its passport, and where
/// nothing is noted, nobody can tell it from a closed port.
#[inline(always)]
fn watches_ports(judge: &Judge) -> bool {
    shape::has(Feature::ClosedPorts)
        && judge.defends(Defence::ClosedPorts)
        && solicited::is_noted(judge.settings, judge.now)
}

/// What of a suspicion against the noted packet is confirmed. Exported, because it then has a stack
/// of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn state_udp(context: *mut xdp_md, suspicion: u32) -> u32 {
    if !shape::has_any(Feature::Solicited.bit() | Feature::ClosedPorts.bit()) {
        return 0;
    }
    let Some((scratch, settings)) = cpu::noted() else {
        return 0;
    };
    let packet = scratch.packet();
    let Transport::Udp {
        source_port: from,
        destination_port: to,
    } = packet.transport()
    else {
        return 0;
    };
    let now = Tick::now();
    if !local::is_own(&packet.destination)
        || ports::contains(PortSet::UdpLeftOut, to)
        || solicited::is_asked(&packet.source, from, to, settings, now)
    {
        return 0;
    }
    let is_of_servers = from == to && ports::contains(PortSet::UdpServes, to);
    if suspicion & UNSOLICITED == 0 || !is_of_servers {
        return suspicion;
    }
    // From a server to a server of the same protocol here: what asks is told from what answers, and
    // where that cannot be told, it is the service's business.
    let frame = XdpFrame::of(context);
    let is_welcome = match to {
        request::DNS => request::is_dns_query(&frame, packet),
        request::NTP => {
            request::is_ntp_request(&frame, packet)
                || peers::is_asked(&packet.source, settings, now)
        }
        _ => true,
    };
    if is_welcome {
        suspicion & !UNSOLICITED
    } else {
        suspicion
    }
}
