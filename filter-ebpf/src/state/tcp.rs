//! TCP.

use core::ops::ControlFlow;

use filter_common::{abi::reason::Reason, logic::packet::Packet};

use crate::{frame::XdpFrame, judge::Judge};

/// Nothing is asked.
#[inline(always)]
pub fn check(_frame: &XdpFrame, _packet: &Packet, _judge: &mut Judge) -> ControlFlow<Reason> {
    ControlFlow::Continue(())
}
