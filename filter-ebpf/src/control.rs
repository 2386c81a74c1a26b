//! Always pass: what keeps the host on its network, each kind under a ceiling of its own.

use core::ops::ControlFlow;

use filter_common::{
    abi::reason::Reason,
    logic::{
        bucket,
        control::{self, Control},
        packet::Packet,
    },
};

use crate::judge::Judge;

/// Passes control packets. Above its ceiling a control packet is like any other; discovery that
/// did not come from this link is dropped.
#[inline(always)]
pub fn pass(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    let kind = match control::classify(packet) {
        Control::No => return ControlFlow::Continue(()),
        Control::Forged => return judge.found(Reason::ForgedDiscovery),
        Control::Discovery => 0,
        Control::Membership => 1,
        Control::Dhcp => 2,
    };
    if bucket::take(
        &mut judge.cpu.control[kind],
        judge.now.moment(),
        &judge.settings.control[kind],
    ) {
        return judge.found(Reason::Control);
    }
    ControlFlow::Continue(())
}
