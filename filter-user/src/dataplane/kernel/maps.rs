//! The maps that the daemon reads and writes.

use std::{borrow::Borrow, collections::BTreeMap, fs};

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
};
use filter_common::{
    abi::{
        counter::{COUNTERS, Counter},
        defence::PROTOCOLS,
        entry::{EntryKey, EntryValue, Lengths, ListId},
        lifeline::{Lifelines, SessionKey},
        sample::Sample,
        traffic::{TRAFFIC_PLACES, TrafficCounters},
    },
    logic::gate::ENTRIES,
};

use super::{
    cpus::Cpus, memory::Lines, others::Others, own::Own, rows::Rows, rules::Rules,
    services::Services,
};
use crate::{
    config::protocols::Policies,
    dataplane::{Counters, DataplaneError, Traffic},
};

pub(super) struct Maps {
    pub(super) rows: Rows,
    pub(super) counters: PerCpuArray<MapData, Counter>,
    pub(super) traffic: PerCpuArray<MapData, TrafficCounters>,
    pub(super) lists: BTreeMap<ListId, HashMap<MapData, EntryKey, EntryValue>>,
    pub(super) lengths: Array<MapData, Lengths>,
    pub(super) gate: Lines,
    pub(super) list_hits: PerCpuArray<MapData, Counter>,
    pub(super) lifelines: Array<MapData, Lifelines>,
    pub(super) sessions: HashMap<MapData, SessionKey, u8>,
    pub(super) cpus: Cpus,
    pub(super) clock: Array<MapData, u64>,
    pub(super) overdrawn: Array<MapData, u64>,
    pub(super) samples: RingBuf<MapData>,
    pub(super) protocols: Array<MapData, u32>,
    pub(super) rules: Rules,
    pub(super) services: Services,
    pub(super) own: Own,
    pub(super) others: Others,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let lists = BTreeMap::from([
            (ListId::Allow, take(ebpf, "ALLOW")?),
            (ListId::Block, take(ebpf, "BLOCK")?),
            (ListId::Ban, take(ebpf, "BANS")?),
        ]);
        let gate = take_map(ebpf, "GATE")?;
        let gate = map_data(&gate).ok_or_else(|| DataplaneError("GATE is no array".to_owned()))?;
        Ok(Self {
            rows: Rows::take(ebpf)?,
            counters: take(ebpf, "COUNTERS_BY_REASON")?,
            traffic: take(ebpf, "TRAFFIC")?,
            lists,
            lengths: take(ebpf, "LENGTHS")?,
            gate: Lines::of("GATE", gate.fd(), ENTRIES as usize)?,
            list_hits: take(ebpf, "LIST_HITS")?,
            lifelines: take(ebpf, "LIFELINES")?,
            sessions: take(ebpf, "SESSIONS")?,
            cpus: Cpus::take(ebpf)?,
            clock: take(ebpf, "CLOCK")?,
            overdrawn: take(ebpf, "OVERDRAWN")?,
            samples: take(ebpf, "SAMPLES")?,
            protocols: take(ebpf, "PROTOCOLS")?,
            rules: Rules::take(ebpf)?,
            services: Services::take(ebpf)?,
            own: Own::take(ebpf)?,
            others: Others::take(ebpf)?,
        })
    }
}

impl Maps {
    /// Of a [policy](filter_common::abi::settings::policy), like what follows.
    pub(super) fn set_lifelines(
        &mut self,
        policy: u32,
        lifelines: &Lifelines,
    ) -> Result<(), DataplaneError> {
        self.lifelines
            .set(policy, lifelines, 0)
            .map_err(|error| map_error("writing the lifelines", error))
    }

    pub(super) fn set_protocols(
        &mut self,
        policy: u32,
        policies: &Policies,
    ) -> Result<(), DataplaneError> {
        for (number, what) in (policy * PROTOCOLS as u32..).zip(policies) {
            self.protocols
                .set(number, what, 0)
                .map_err(|error| map_error("writing the policies of protocols", error))?;
        }
        Ok(())
    }
}

pub(super) fn take<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, DataplaneError> {
    M::try_from(take_map(ebpf, name)?)
        .map_err(|error| map_error(&format!("opening the map {name}"), error))
}

/// A map of the object, whatever its kind.
pub(super) fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map, DataplaneError> {
    ebpf.take_map(name)
        .ok_or_else(|| DataplaneError(format!("the embedded object has no map {name}")))
}

pub(super) fn read_counters<T: Borrow<MapData>>(
    map: &PerCpuArray<T, Counter>,
) -> Result<Counters, DataplaneError> {
    let mut counters = [Counter::default(); COUNTERS as usize];
    for (index, sum) in (0..COUNTERS).zip(counters.iter_mut()) {
        *sum = read_counter(map, index)?;
    }
    Ok(counters)
}

/// What came in at each place, summed over the CPUs.
pub(super) fn read_traffic<T: Borrow<MapData>>(
    map: &PerCpuArray<T, TrafficCounters>,
) -> Result<Vec<Traffic>, DataplaneError> {
    let read = |place| {
        let values = map
            .get(&place, 0)
            .map_err(|error| map_error("reading the counters of traffic", error))?;
        let mut sum = Traffic::default();
        for value in values.iter() {
            for (sum, counter) in sum.iter_mut().zip(&value.counters) {
                *sum = sum.plus(counter);
            }
        }
        Ok(sum)
    };
    (0..TRAFFIC_PLACES).map(read).collect()
}

pub(super) fn each_sample(ring: &mut RingBuf<MapData>, take: &mut dyn FnMut(&Sample)) {
    while let Some(item) = ring.next() {
        if item.len() >= size_of::<Sample>() {
            // SAFETY: the kernel wrote a whole `Sample` there, of integers only, and the length
            // was checked; `read_unaligned` asks for no alignment.
            let sample = unsafe { item.as_ptr().cast::<Sample>().read_unaligned() };
            take(&sample);
        }
    }
}

pub(super) fn read_counter<T: Borrow<MapData>>(
    map: &PerCpuArray<T, Counter>,
    index: u32,
) -> Result<Counter, DataplaneError> {
    let values = map
        .get(&index, 0)
        .map_err(|error| map_error("reading counters", error))?;
    Ok(values
        .iter()
        .fold(Counter::default(), |sum, value| sum.plus(value)))
}

/// Memory of a map, as the kernel counts it.
pub(super) fn memory(map: &Map) -> Option<u64> {
    memory_of(map_data(map)?)
}

pub(super) fn memory_of(map: &MapData) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd_number(map.fd()));
    let text = fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

/// The data of a map of one of the kinds that the object has.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the object has no other kinds"
)]
pub(super) fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::RingBuf(data) => {
            Some(data)
        }
        _ => None,
    }
}

fn fd_number(fd: &aya::maps::MapFd) -> i32 {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    fd.as_fd().as_raw_fd()
}

pub(super) fn map_error(tried: &str, error: MapError) -> DataplaneError {
    if let MapError::SyscallError(syscall) = &error
        && syscall.io_error.raw_os_error() == Some(libc::E2BIG)
    {
        return DataplaneError(format!(
            "{tried}: the table is full; enlarge it under [tables]"
        ));
    }
    DataplaneError::new(tried, error)
}
