//! Counters of what comes in, by kind, whatever becomes of it.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::{
    abi::{
        counter::Counter,
        defence::PortSet,
        reason::{Action, Reason},
        traffic::{self, TRAFFIC_PLACES, TRAFFIC_ROOM, TrafficClass, TrafficCounters},
    },
    logic::packet::Packet,
};

use crate::{count, frame::XdpFrame, state::ports};

#[map]
static TRAFFIC: PerCpuArray<TrafficCounters> = PerCpuArray::with_max_entries(TRAFFIC_PLACES, 0);

/// Counts a packet.
#[inline(always)]
pub fn count(frame: &XdpFrame, packet: &Packet, length: u32) {
    let class = TrafficClass::of(packet, |port| ports::contains(PortSet::Reflectors, port));
    add(frame, class, length);
}

/// Counts a frame that cannot be parsed for this reason.
#[inline(always)]
pub fn count_unparsed(frame: &XdpFrame, reason: Reason, length: u32) {
    let class = match reason.action() {
        Action::Pass => TrafficClass::Other,
        Action::Drop | Action::Answer => TrafficClass::Malformed,
    };
    add(frame, class, length);
}

#[inline(always)]
fn add(frame: &XdpFrame, class: TrafficClass, length: u32) {
    let place = traffic::place(frame.interface());
    if let Some(counters) = TRAFFIC.get_ptr_mut(place) {
        // SAFETY: a live map value with room for every class, of which no other reference exists.
        let counters = unsafe { &raw mut (*counters).counters };
        let at = class as usize & (TRAFFIC_ROOM - 1);
        // SAFETY: the place is one of the array's.
        count::to(unsafe { counters.cast::<Counter>().add(at) }, length);
    }
}
