//! What a rule means, one packet at a time: the model that classification is compared with.

use std::net::IpAddr;

use filter_common::logic::packet::{Packet, Transport};

use super::rule::{Addresses, Matches, Ports, Protocol, Rule};

/// Whether a rule matches a packet that has this [`payload`].
pub fn matches(rule: &Rule, packet: &Packet, payload: &[u8]) -> bool {
    let wanted = &rule.matches;
    header_matches(wanted, packet)
        && wanted
            .payload
            .as_ref()
            .is_none_or(|pattern| pattern.is_in(payload))
}

/// The same, whatever the payload.
pub fn header_matches(wanted: &Matches, packet: &Packet) -> bool {
    addresses(wanted.addresses, packet)
        && protocol(wanted.protocol, packet)
        && wanted.length.contains(packet.length)
        && wanted.ttl.contains(packet.hops)
        && wanted.fragment.contains(packet.fragment)
}

/// What follows the TCP, UDP or ICMP header of a packet in its frame, to the end of the IP packet;
/// nothing where there is no such header.
pub fn payload<'f>(packet: &Packet, frame: &'f [u8]) -> &'f [u8] {
    let end = usize::try_from(packet.end).unwrap_or(usize::MAX);
    match packet.payload {
        0 => &[],
        at => frame.get(usize::from(at)..end).unwrap_or_default(),
    }
}

fn addresses(wanted: Addresses, packet: &Packet) -> bool {
    let ends = (
        IpAddr::from(packet.source),
        IpAddr::from(packet.destination),
    );
    match (wanted, ends) {
        (Addresses::Any, _) => true,
        (Addresses::V4 { from, to }, (IpAddr::V4(source), IpAddr::V4(destination))) => {
            from.contains(&source) && to.contains(&destination)
        }
        (Addresses::V6 { from, to }, (IpAddr::V6(source), IpAddr::V6(destination))) => {
            from.contains(&source) && to.contains(&destination)
        }
        _ => false,
    }
}

/// Protocol, ports and flags. What has lost its header matches where none is asked about.
fn protocol(wanted: Protocol, packet: &Packet) -> bool {
    let right = wanted
        .number()
        .is_none_or(|number| number == packet.protocol);
    let behind = match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => {
            has_ports(wanted.ports(), source_port, destination_port)
                && wanted.flags().contains(flags.0)
        }
        Transport::Udp {
            source_port,
            destination_port,
        } => has_ports(wanted.ports(), source_port, destination_port),
        Transport::Icmp { .. } | Transport::Opaque => {
            wanted.ports().is_all() && wanted.flags().mask() == 0
        }
    };
    right && behind
}

fn has_ports(wanted: Ports, source: u16, destination: u16) -> bool {
    wanted.source.contains(source) && wanted.destination.contains(destination)
}
