//! TCP.

use core::ops::ControlFlow;

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        feature::Feature,
        reason::Reason,
    },
    logic::packet::{Packet, Transport},
};

use super::{local, ports};
use crate::{frame::XdpFrame, judge::Judge, shape};

/// Drops what goes to ports that nobody listens on.
#[inline(always)]
pub fn check(_frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    let Transport::Tcp {
        destination_port: port,
        flags,
        ..
    } = packet.transport()
    else {
        return ControlFlow::Continue(());
    };
    if !shape::has(Feature::ClosedPorts)
        || !judge.defends(Defence::ClosedPorts)
        || !local::is_own(&packet.destination)
        || ports::contains(PortSet::TcpLeftOut, port)
    {
        return ControlFlow::Continue(());
    }
    if flags.opens() && !ports::contains(PortSet::TcpOpen, port) {
        return judge.found(Reason::ClosedTcp);
    }
    ControlFlow::Continue(())
}
