//! TCP: whether anybody here listens, and whether a connection of this host is meant.

use core::ops::ControlFlow;

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        reason::Reason,
    },
    logic::packet::{Packet, Transport},
};

use super::{cookies, local, owner, ports};
use crate::{frame::XdpFrame, judge::Judge};

/// The defences that this file knows.
const DEFENCES: u32 = Defence::ClosedPorts.bit() | Defence::Cookies.bit() | Defence::Sockets.bit();

/// Drops what nobody here has to do with, and answers SYNs with cookies. Asks only about addresses
/// of this host, and about ports of which its sockets can tell all.
#[inline(always)]
pub fn check(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    let Transport::Tcp {
        destination_port: port,
        flags,
        ..
    } = packet.transport()
    else {
        return ControlFlow::Continue(());
    };
    let on = judge.defences();
    if on & DEFENCES == 0
        || !local::is_own(&packet.destination)
        || ports::contains(PortSet::TcpLeftOut, port)
    {
        return ControlFlow::Continue(());
    }
    let is_cookied = on & Defence::Cookies.bit() != 0 && ports::contains(PortSet::Cookies, port);
    if !flags.opens() {
        if is_cookied || on & Defence::Sockets.bit() != 0 {
            return owner::check(frame, is_cookied, judge);
        }
        return ControlFlow::Continue(());
    }
    if on & Defence::ClosedPorts.bit() != 0 && !ports::contains(PortSet::TcpOpen, port) {
        judge.found(Reason::ClosedTcp)?;
    }
    if is_cookied {
        return cookies::answer(frame, judge);
    }
    ControlFlow::Continue(())
}
