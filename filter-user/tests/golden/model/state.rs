//! What the model says of state. Nobody here has a socket.

use std::ops::ControlFlow;

use filter_common::{
    abi::{
        defence::{Defence, ProtocolPolicy},
        reason::Reason,
    },
    logic::packet::{Fragment, Packet, Transport, protocol},
};

use super::oracle::{Oracle, Room};

impl Oracle<'_> {
    /// What this host knows of its sockets and of what it asked for.
    pub(super) fn state(&mut self, packet: &Packet) -> ControlFlow<Reason> {
        if packet.fragment == Fragment::Later {
            return ControlFlow::Continue(());
        }
        match packet.transport() {
            Transport::Icmp { kind, code } => self.icmp(packet, kind, code),
            Transport::Opaque => self.protocols(packet),
            Transport::Tcp { .. } | Transport::Udp { .. } => ControlFlow::Continue(()),
        }
    }

    fn icmp(&mut self, packet: &Packet, kind: u8, code: u8) -> ControlFlow<Reason> {
        if !self.defends(Defence::Icmp) {
            return ControlFlow::Continue(());
        }
        let state = &self.situation.state;
        let is_v4 = std::net::IpAddr::from(packet.source).is_ipv4();
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
