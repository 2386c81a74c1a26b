//! What the pins tell without a daemon.

use std::path::Path;

use aya::maps::{Array, Map, MapData, PerCpuArray};
use filter_common::abi::{self, counter::Counter, settings::Settings};

use super::{
    maps::{map_error, read_counters},
    set::{META, read_version},
};
use crate::dataplane::{Counters, DataplaneError};

/// The settings and counters of a pinned set of maps, without a daemon.
pub struct Pinned {
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, Counter>,
}

impl Pinned {
    /// Opens them.
    pub fn open(maps: &Path) -> Result<Self, DataplaneError> {
        if read_version(&maps.join(META)) != Some(abi::VERSION) {
            return Err(DataplaneError(format!(
                "{} holds no maps of this version of floodwall; `bpftool link` shows what is \
                 attached, and removing the files under {} detaches it",
                maps.display(),
                maps.parent().unwrap_or(maps).join("links").display()
            )));
        }
        let open = |name: &str| {
            MapData::from_pin(maps.join(name))
                .and_then(Map::from_map_data)
                .map_err(|error| {
                    map_error(&format!("opening {}", maps.join(name).display()), error)
                })
        };
        let wrap = |error| map_error(&format!("opening the maps in {}", maps.display()), error);
        Ok(Self {
            settings: open("SETTINGS")?.try_into().map_err(wrap)?,
            counters: open("COUNTERS_BY_REASON")?.try_into().map_err(wrap)?,
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Result<Settings, DataplaneError> {
        self.settings
            .get(&0, 0)
            .map_err(|error| map_error("reading the settings", error))
    }

    /// Puts settings in force.
    pub fn set_settings(&mut self, settings: &Settings) -> Result<(), DataplaneError> {
        self.settings
            .set(0, settings, 0)
            .map_err(|error| map_error("writing the settings", error))
    }

    /// All counters.
    pub fn counters(&self) -> Result<Counters, DataplaneError> {
        read_counters(&self.counters)
    }
}
