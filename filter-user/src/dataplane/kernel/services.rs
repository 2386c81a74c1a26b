//! Ceilings of protected services, and how they fare.

use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray},
};
use filter_common::abi::service::{SERVICES, Service, ServiceCounter, ServiceState};

use super::maps::{map_error, take};
use crate::dataplane::{Ceilings, DataplaneError, ServiceReading};

pub(super) struct Services {
    ceilings: Array<MapData, Service>,
    states: Array<MapData, ServiceState>,
    counters: PerCpuArray<MapData, ServiceCounter>,
}

impl Services {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            ceilings: take(ebpf, "SERVICES")?,
            states: take(ebpf, "SERVICE_STATE")?,
            counters: take(ebpf, "SERVICE_COUNTERS")?,
        })
    }

    /// Of a [policy](filter_common::abi::settings::policy).
    pub(super) fn set(&mut self, policy: u32, ceilings: &Ceilings) -> Result<(), DataplaneError> {
        for (index, ceiling) in (policy * SERVICES..).zip(ceilings) {
            self.ceilings
                .set(index, ceiling, 0)
                .map_err(|error| map_error("writing ceilings of services", error))?;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self, index: u32) -> Result<(), DataplaneError> {
        self.states
            .set(index, ServiceState::default(), 0)
            .map_err(|error| map_error("clearing the state of a service", error))
    }

    pub(super) fn read(&self, count: u32) -> Result<Vec<ServiceReading>, DataplaneError> {
        (0..count).map(|index| self.read_one(index)).collect()
    }

    fn read_one(&self, index: u32) -> Result<ServiceReading, DataplaneError> {
        let wrap = |error| map_error("reading how services fare", error);
        let state = self.states.get(&index, 0).map_err(wrap)?;
        let counters = self.counters.get(&index, 0).map_err(wrap)?;
        let mut sum = ServiceCounter::default();
        for counter in counters.iter() {
            sum.passed = sum.passed.wrapping_add(counter.passed);
            sum.dropped_new = sum.dropped_new.wrapping_add(counter.dropped_new);
            sum.dropped_heavy = sum.dropped_heavy.wrapping_add(counter.dropped_heavy);
            sum.dropped_known = sum.dropped_known.wrapping_add(counter.dropped_known);
        }
        Ok(ServiceReading {
            state,
            counter: sum,
        })
    }
}
