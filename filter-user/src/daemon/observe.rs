//! From a sample to a packet as the controller looks at it.

use std::net::IpAddr;

use filter_common::{
    abi::{
        reason::{Action, Reason},
        sample::Sample,
        traffic::TrafficClass,
    },
    logic::{
        packet::{Fragment, Packet, TcpFlags, Transport},
        parse,
    },
};

use super::album::Beginning;
use crate::{
    core::reflectors::REFLECTORS,
    detect::{Fate, Observed, input::Payload},
};

/// The packet of a sample; none if it is not IP, or too broken to have a source.
pub(super) fn packet(sample: &Sample) -> Option<Observed> {
    let captured = usize::from(sample.captured).min(sample.bytes.len());
    let bytes = sample.bytes.get(..captured).unwrap_or_default();
    let frame = Beginning {
        bytes,
        length: sample.length,
    };
    let packet = parse::packet(&frame).continue_value()?;
    let reason = Reason::try_from(sample.reason).ok()?;
    let (ports, flags, icmp) = match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => (Some((source_port, destination_port)), flags, None),
        Transport::Udp {
            source_port,
            destination_port,
        } => (Some((source_port, destination_port)), TcpFlags(0), None),
        Transport::Icmp { kind, code } => (None, TcpFlags(0), Some((kind, code))),
        Transport::Opaque => (None, TcpFlags(0), None),
    };
    let proves = |code: u8| {
        Reason::try_from(code).is_ok_and(|reason| {
            matches!(
                reason,
                Reason::Established | Reason::CookieAccepted | Reason::Allowed
            )
        })
    };
    Some(Observed {
        source: IpAddr::from(packet.source),
        destination: IpAddr::from(packet.destination),
        class: TrafficClass::of(&packet, is_reflector),
        protocol: packet.protocol,
        ports,
        flags,
        icmp,
        is_fragment: !matches!(packet.fragment, Fragment::Whole),
        hops: packet.hops,
        length: packet.length,
        payload: payload(&packet, bytes),
        fate: match reason.action() {
            _ if sample.dropped != 0 => Fate::Stopped(reason),
            Action::Pass => Fate::Passed,
            Action::Drop | Action::Answer => Fate::Watched(reason),
        },
        is_proven: proves(sample.spared) || proves(sample.reason),
    })
}

fn is_reflector(port: u16) -> bool {
    REFLECTORS.binary_search_by_key(&port, |it| it.port).is_ok()
}

/// What TCP, UDP or ICMP carries, as far as it was captured.
fn payload(packet: &Packet, bytes: &[u8]) -> Payload {
    let start = usize::from(packet.payload);
    if start == 0 {
        return Payload::new(&[]);
    }
    let end = (packet.end as usize).min(bytes.len());
    Payload::new(bytes.get(start..end).unwrap_or_default())
}
