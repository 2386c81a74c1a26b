//! What the model says of state. Nobody here has a socket.

use std::{net::IpAddr, ops::ControlFlow};

use filter_common::{
    abi::{
        defence::{Defence, PortSet, ProtocolPolicy},
        reason::Reason,
    },
    logic::packet::{Fragment, Packet, Transport, protocol},
};
use filter_user::rules::matches::payload;

use super::{
    asked::Noted,
    oracle::{Oracle, Room},
    situation::Situation,
};

impl Oracle<'_> {
    /// What this host knows of its sockets and of what it asked for.
    pub(super) fn state(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        if packet.fragment == Fragment::Later {
            return ControlFlow::Continue(());
        }
        match packet.transport() {
            Transport::Icmp { kind, code } => self.icmp(packet, kind, code),
            Transport::Opaque => self.protocols(packet),
            Transport::Tcp {
                destination_port,
                flags,
                ..
            } if flags.opens() => self.opening(packet, destination_port),
            Transport::Tcp {
                destination_port, ..
            } => self.segment(packet, destination_port),
            Transport::Udp {
                source_port,
                destination_port,
            } => self.udp(packet, source_port, destination_port),
        }
    }

    fn opening(&mut self, packet: &Packet, port: u16) -> ControlFlow<Reason> {
        let Situation { state, own, .. } = self.situation;
        if self.defends(Defence::Connections) {
            let [source, prefix] = state.connections;
            if source {
                self.found(Reason::LimitConnections)?;
            }
            if prefix {
                self.found(Reason::PrefixConnections)?;
            }
        }
        if self.defends(Defence::ClosedPorts)
            && self.knows(packet, port)
            && !own.has(PortSet::TcpOpen, port)
        {
            self.found(Reason::ClosedTcp)?;
        }
        ControlFlow::Continue(())
    }

    fn segment(&mut self, packet: &Packet, port: u16) -> ControlFlow<Reason> {
        if self.defends(Defence::Sockets) && self.knows(packet, port) {
            self.found(Reason::NoSocket)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether this host's sockets tell all of a TCP port of this address.
    fn knows(&self, packet: &Packet, port: u16) -> bool {
        let own = &self.situation.own;
        own.addresses.contains(&packet.destination.into()) && !own.has(PortSet::TcpLeftOut, port)
    }

    fn udp(&mut self, packet: &Packet, from: u16, to: u16) -> ControlFlow<Reason> {
        let own = &self.situation.own;
        let source = IpAddr::from(packet.source);
        if !own.addresses.contains(&packet.destination.into())
            || own.has(PortSet::UdpLeftOut, to)
            || own.asked(source, from, to)
        {
            return ControlFlow::Continue(());
        }
        if self.defends(Defence::Solicited)
            && own.noted == Noted::Long
            && own.has(PortSet::Reflectors, from)
            && !(from == to && own.has(PortSet::UdpServes, to) && self.asks(packet, to))
        {
            self.found(Reason::Unsolicited)?;
        }
        if self.defends(Defence::ClosedPorts)
            && own.noted != Noted::Never
            && !own.has(PortSet::UdpOpen, to)
        {
            self.found(Reason::ClosedUdp)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether a datagram from a server's port asks this host's server, or answers what it asked.
    fn asks(&self, packet: &Packet, port: u16) -> bool {
        let payload = payload(packet, &self.frame);
        match port {
            53 => payload.get(2).is_some_and(|flags| flags >> 7 == 0),
            123 => {
                let mode = payload.first().map(|first| first & 7);
                matches!(mode, Some(1 | 3)) || self.situation.own.asked_time(packet.source.into())
            }
            _ => true,
        }
    }

    fn icmp(&mut self, packet: &Packet, kind: u8, code: u8) -> ControlFlow<Reason> {
        if !self.defends(Defence::Icmp) {
            return ControlFlow::Continue(());
        }
        let state = &self.situation.state;
        let is_v4 = IpAddr::from(packet.source).is_ipv4();
        let (room, most, reason) = match (is_v4, packet.protocol, kind, code) {
            (true, protocol::ICMP, 3, 4) | (false, protocol::ICMPV6, 2, _) => {
                (Room::TooBig, state.icmp_errors, Reason::LimitIcmpErrors)
            }
            (true, protocol::ICMP, 3 | 4 | 5 | 11 | 12, _)
            | (false, protocol::ICMPV6, ..=127, _) => {
                (Room::IcmpErrors, state.icmp_errors, Reason::LimitIcmpErrors)
            }
            _ => (Room::Echo, state.echo, Reason::LimitEcho),
        };
        if self.take(room, most) {
            return ControlFlow::Continue(());
        }
        self.found(reason)
    }

    fn protocols(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        let is_hidden = packet.defect.is_some()
            || [
                protocol::TCP,
                protocol::UDP,
                protocol::ICMP,
                protocol::ICMPV6,
            ]
            .contains(&packet.protocol);
        if is_hidden {
            return ControlFlow::Continue(());
        }
        let state = &self.situation.state;
        let policy = state.policies.get(&packet.protocol).copied();
        let is_limited = match policy.unwrap_or(ProtocolPolicy::Default) {
            ProtocolPolicy::Drop => return self.found(Reason::ProtocolDrop),
            ProtocolPolicy::Pass => false,
            ProtocolPolicy::Limit => true,
            ProtocolPolicy::Default => self.defends(Defence::Protocols),
        };
        if is_limited && !self.take(Room::Protocols, state.protocols) {
            return self.found(Reason::LimitProtocols);
        }
        ControlFlow::Continue(())
    }

    fn defends(&self, defence: Defence) -> bool {
        let state = &self.situation.state;
        let pressed = if self.situation.pressed {
            state.pressed
        } else {
            0
        };
        (state.always | pressed) & defence.bit() != 0
    }
}
