//! State: what this host knows of its own sockets and of what it asked for, which no sender can
//! forge. Rules that pass a packet spare it this; the allowlist does not, for the addresses of
//! partners can be forged too.

pub mod connections;
pub mod cookies;
mod icmp;
pub mod local;
mod owner;
pub mod peers;
pub mod ports;
mod protocols;
pub mod request;
pub mod solicited;
mod tcp;
mod udp;

use core::ops::ControlFlow;

use filter_common::{
    abi::{feature::Feature, reason::Reason},
    logic::packet::{Fragment, Packet, Transport},
};

pub use cookies::Segment;

use crate::{frame::XdpFrame, judge::Judge, shape};

/// The features of this stage.
pub const FEATURES: u64 = Feature::Cookies.bit()
    | Feature::Sockets.bit()
    | Feature::ClosedPorts.bit()
    | Feature::Solicited.bit()
    | Feature::Connections.bit()
    | Feature::Icmp.bit()
    | Feature::Protocols.bit();

/// Drops what this host has nothing to do with, and answers SYNs with cookies.
#[inline(always)]
pub fn check(frame: &XdpFrame, packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has_any(FEATURES)
        || judge.is_passed_by_rule()
        || matches!(packet.fragment, Fragment::Later)
    {
        return ControlFlow::Continue(());
    }
    match packet.transport() {
        Transport::Tcp { flags, .. } => {
            if flags.opens() {
                connections::check(judge)?;
            }
            tcp::check(frame, packet, judge)
        }
        Transport::Udp { .. } => udp::check(frame, packet, judge),
        Transport::Icmp { .. } => icmp::check(frame, packet, judge),
        Transport::Opaque => protocols::check(packet, judge),
    }
}
