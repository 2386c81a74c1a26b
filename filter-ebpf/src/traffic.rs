//! Counters of what comes in, by kind, whatever becomes of it.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use filter_common::abi::traffic::{TRAFFIC_PLACES, TrafficCounters};

#[map]
static TRAFFIC: PerCpuArray<TrafficCounters> = PerCpuArray::with_max_entries(TRAFFIC_PLACES, 0);
