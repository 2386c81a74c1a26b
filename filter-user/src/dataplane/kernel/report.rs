//! What is loaded: the program's size, and the memory of each map.

use aya::maps::MapData;

use super::{
    Kernel,
    maps::{memory, memory_of},
    place::SETS,
    set::MAPS,
};
use crate::dataplane::{DataplaneError, MapReport, ProgramReport};

impl Kernel {
    pub(super) fn report(&mut self) -> Result<ProgramReport, DataplaneError> {
        let features = self.loaded.features;
        let info = self
            .program()?
            .info()
            .map_err(|error| DataplaneError::new("asking the kernel for the program", error))?;
        Ok(ProgramReport {
            features,
            verified: info.verified_instruction_count(),
            translated: info.size_translated(),
            jited: info.size_jitted(),
        })
    }

    pub(super) fn map_reports(&mut self) -> Vec<MapReport> {
        let path = self.maps_path();
        let pinned = MAPS.iter().map(|name| {
            let map = MapData::from_pin(path.join(name)).ok();
            ((*name).to_owned(), map.and_then(|map| memory_of(&map)))
        });
        let sets = SETS.into_iter().zip(self.loaded.set_memory());
        let sets = sets.map(|(name, bytes)| (name.to_owned(), bytes));
        // What no other program shares.
        let own = self.loaded.ebpf.maps();
        let own = own.filter(|(name, _)| !MAPS.contains(name) && !SETS.contains(name));
        let own = own.map(|(name, map)| (name.to_owned(), memory(map)));
        let all = pinned.chain(sets).chain(own);
        all.filter_map(|(name, bytes)| {
            Some(MapReport {
                name,
                bytes: bytes?,
            })
        })
        .collect()
    }
}
