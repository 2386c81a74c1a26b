//! The banks of rules, and what rules met.

use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use filter_common::{
    abi::{
        counter::Counter,
        rules::{BANK_LINES, BANKS, RULES, RuleEntry, SLOTS},
    },
    logic::lines::Line,
};

use super::{
    grace::wait_for_packets,
    maps::{map_error, take},
};
use crate::dataplane::{CompiledRules, DataplaneError};

/// The maps of rules.
pub(super) struct Rules {
    table: Array<MapData, Line>,
    entries: Array<MapData, RuleEntry>,
    hits: PerCpuArray<MapData, Counter>,
    buckets: Array<MapData, u64>,
}

impl Rules {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            table: take(ebpf, "RULE_TABLE")?,
            entries: take(ebpf, "RULES")?,
            hits: take(ebpf, "RULE_HITS")?,
            buckets: take(ebpf, "RULE_BUCKETS")?,
        })
    }

    /// Writes a bank that is not in force, once no packet can be reading it.
    pub(super) fn set(&mut self, bank: u32, rules: &CompiledRules) -> Result<(), DataplaneError> {
        wait_for_packets()?;
        let bank = bank.min(BANKS - 1);
        for (line, words) in (bank * BANK_LINES..(bank + 1) * BANK_LINES).zip(&rules.table) {
            self.table
                .set(line, words, 0)
                .map_err(|error| map_error("writing the table of rules", error))?;
        }
        for (place, entry) in (bank * RULES..(bank + 1) * RULES).zip(&rules.entries) {
            self.entries
                .set(place, entry, 0)
                .map_err(|error| map_error("writing rules", error))?;
        }
        Ok(())
    }

    /// What each rule met, by slot, summed over the CPUs.
    pub(super) fn hits(&self) -> Result<Vec<Counter>, DataplaneError> {
        let mut hits = vec![Counter::default(); SLOTS as usize];
        for (slot, sum) in (0..SLOTS).zip(&mut hits) {
            let values = self
                .hits
                .get(&slot, 0)
                .map_err(|error| map_error("reading the counters of rules", error))?;
            for value in values.iter() {
                *sum = sum.plus(value);
            }
        }
        Ok(hits)
    }

    pub(super) fn clear(&mut self, slot: u32) -> Result<(), DataplaneError> {
        let cpus = nr_cpus().map_err(|(what, error)| {
            DataplaneError::new(format!("counting the CPUs in {what}"), error)
        })?;
        let nothing = PerCpuValues::try_from(vec![Counter::default(); cpus])
            .map_err(|error| DataplaneError::new("counters of all CPUs", error))?;
        self.hits
            .set(slot, nothing, 0)
            .and_then(|()| self.buckets.set(slot, 0, 0))
            .map_err(|error| map_error("clearing the counter of a rule", error))
    }
}
