//! IP protocols that are neither TCP, UDP nor ICMP: a policy for each.

use core::ops::ControlFlow;

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{
        defence::{Defence, PROTOCOLS as NUMBERS, ProtocolPolicy},
        feature::Feature,
        reason::Reason,
        settings::POLICIES,
    },
    logic::packet::{Packet, protocol},
};

use crate::{atomic, judge::Judge, shape};

/// A [`ProtocolPolicy`] by the protocol's number, as changed and as before.
#[map]
static PROTOCOLS: Array<u32> = Array::with_max_entries(NUMBERS as u32 * POLICIES, 0);

/// The bucket of all protocols and sources together.
#[map]
static PROTOCOL_BUCKET: Array<u64> = Array::with_max_entries(1, 0);

/// Drops what the policy of a protocol says.
#[inline(always)]
pub fn check(packet: &Packet, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Protocols) || is_unreadable(packet) {
        return ControlFlow::Continue(());
    }
    let policy = PROTOCOLS
        .get(judge.policy().wrapping_mul(NUMBERS as u32) + u32::from(packet.protocol))
        .copied();
    match policy {
        Some(policy) if policy == ProtocolPolicy::Drop as u32 => judge.found(Reason::ProtocolDrop),
        Some(policy) if policy == ProtocolPolicy::Limit as u32 => limit(judge),
        Some(policy) if policy == ProtocolPolicy::Default as u32 => {
            if judge.defends(Defence::Protocols) {
                limit(judge)
            } else {
                ControlFlow::Continue(())
            }
        }
        _ => ControlFlow::Continue(()),
    }
}

/// Whether only a defect hides what the packet carries; sanity judges that.
#[inline(always)]
fn is_unreadable(packet: &Packet) -> bool {
    packet.defect.is_some()
        || matches!(
            packet.protocol,
            protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6
        )
}

/// Drops what is above the limit of all protocols. No limit is none.
#[inline(always)]
fn limit(judge: &mut Judge) -> ControlFlow<Reason> {
    let limit = &judge.settings.protocols;
    if limit.is_none() {
        return ControlFlow::Continue(());
    }
    let Some(word) = PROTOCOL_BUCKET.get_ptr_mut(0) else {
        return ControlFlow::Continue(());
    };
    if atomic::take(word, judge.now.moment(), limit, limit.interval) {
        return ControlFlow::Continue(());
    }
    judge.found(Reason::LimitProtocols)
}
