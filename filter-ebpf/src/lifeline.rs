//! Lifeline: what must never be cut off.

use core::ops::ControlFlow;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use filter_common::{
    abi::{
        feature::Feature,
        lifeline::{Lifelines, SessionKey, gate_bit},
        reason::Reason,
        settings::POLICIES,
    },
    logic::{
        bucket,
        packet::{Packet, Transport, protocol},
    },
};

use crate::{judge::Judge, shape};

#[map]
static LIFELINES: Array<Lifelines> = Array::with_max_entries(POLICIES, 0);

#[map]
static SESSIONS: HashMap<SessionKey, u8> = HashMap::with_max_entries(4096, 0);

/// Passes what a lifeline or an administrator's session names, up to its ceiling; above it a
/// packet is like any other, for sources can be forged.
#[inline(always)]
pub fn pass(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Lifelines) {
        return ControlFlow::Continue(());
    }
    let (source_port, port, opening) = match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => (source_port, destination_port, flags.opens()),
        Transport::Udp {
            source_port,
            destination_port,
        } => (source_port, destination_port, true),
        Transport::Icmp { .. } | Transport::Opaque => return ControlFlow::Continue(()),
    };
    if judge.settings.lifeline_gate & gate_bit(port) == 0 {
        return ControlFlow::Continue(());
    }
    if is_session(packet, source_port, port)
        && bucket::take(
            &mut judge.cpu.sessions,
            judge.now.moment(),
            &judge.settings.sessions,
        )
    {
        return judge.found(Reason::Lifeline);
    }
    let Some(lifelines) = LIFELINES.get(judge.policy()) else {
        return ControlFlow::Continue(());
    };
    for (index, rule) in lifelines.rules.iter().enumerate() {
        if index as u32 >= lifelines.count {
            break;
        }
        if rule.matches(&packet.source, packet.protocol, port, opening)
            && bucket::take(
                &mut judge.cpu.lifeline[index],
                judge.now.moment(),
                &rule.ceiling,
            )
        {
            return judge.found(Reason::Lifeline);
        }
    }
    ControlFlow::Continue(())
}

#[inline(always)]
fn is_session(packet: &Packet, source_port: u16, port: u16) -> bool {
    packet.protocol == protocol::TCP
        && SESSIONS
            .get_ptr(SessionKey::new(&packet.source, source_port, port))
            .is_some()
}
