//! TCP: whether anybody here listens, and whether a connection of this host is meant.

use core::ops::ControlFlow;

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        feature::Feature,
        reason::Reason,
    },
    logic::packet::{Packet, Transport},
};

use super::{cookies, local, owner, ports};
use crate::{frame::XdpFrame, judge::Judge, shape};

/// The defences of TCP that this file knows, as features and as what is on.
const FEATURES: u64 = Feature::ClosedPorts.bit() | Feature::Cookies.bit() | Feature::Sockets.bit();
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
    if !shape::has_any(FEATURES)
        || !judge.defends_any(DEFENCES)
        || !local::is_own(&packet.destination)
        || ports::contains(PortSet::TcpLeftOut, port)
    {
        return ControlFlow::Continue(());
    }
    let is_cookied = shape::has(Feature::Cookies)
        && judge.defends_any(Defence::Cookies.bit())
        && ports::contains(PortSet::Cookies, port);
    if !flags.opens() {
        return owner::check(frame, is_cookied, judge);
    }
    if shape::has(Feature::ClosedPorts)
        && judge.defends_any(Defence::ClosedPorts.bit())
        && !ports::contains(PortSet::TcpOpen, port)
    {
        judge.found(Reason::ClosedTcp)?;
    }
    if is_cookied {
        return cookies::answer(frame, judge);
    }
    ControlFlow::Continue(())
}
