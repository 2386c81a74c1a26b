//! How the CPUs fare.

use std::os::fd::AsFd as _;

use aya::{Ebpf, maps::Map, util::nr_cpus};
use filter_common::abi::cpu::CpuState;

use super::{
    maps::{map_data, take_map},
    raw,
};
use crate::dataplane::DataplaneError;

/// What each CPU keeps: its state, and notes behind it that only the program knows.
pub(super) struct Cpus {
    map: Map,
    cpus: usize,
    /// Words of one CPU.
    words: usize,
}

impl Cpus {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let map = take_map(ebpf, "CPU")?;
        let info = data(&map)?
            .info()
            .map_err(|error| DataplaneError::new("asking for the map CPU", error))?;
        let cpus = nr_cpus()
            .map_err(|(path, error)| DataplaneError::new(format!("reading {path}"), error))?;
        Ok(Self {
            map,
            cpus,
            words: info.value_size().div_ceil(8) as usize,
        })
    }

    /// How many are under pressure at a tick.
    pub(super) fn pressed(&self, now: u64) -> Result<usize, DataplaneError> {
        const UNTIL: usize = std::mem::offset_of!(CpuState, pressure_until) / 8;
        let mut all = vec![0_u64; self.words.saturating_mul(self.cpus)];
        raw::look_up(data(&self.map)?.fd().as_fd(), 0, &mut all)
            .map_err(|error| DataplaneError::new("reading the state of CPUs", error))?;
        let each = all.chunks_exact(self.words.max(1));
        let until = each.filter_map(|cpu| cpu.get(UNTIL));
        Ok(until.filter(|until| **until > now).count())
    }
}

fn data(map: &Map) -> Result<&aya::maps::MapData, DataplaneError> {
    map_data(map).ok_or_else(|| DataplaneError("CPU is no array".to_owned()))
}
