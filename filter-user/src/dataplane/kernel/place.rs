//! The program with what is built into it, replaced as a whole.

use std::{collections::BTreeMap, fs, path::Path};

use aya::{Ebpf, maps::Map};
use filter_common::logic::lines::Line;

use super::{
    Kernel,
    maps::{map_data, memory, take_map},
    memory::Lines,
    object::Abilities,
    senders, set,
};
use crate::{
    dataplane::{DataplaneError, Image},
    sets::Sets,
};

/// The maps of the big sets. They are pinned nowhere: the kernel frees them with the last program
/// that reads them.
pub(super) const SETS: [&str; 2] = ["SET4", "SET6"];

/// A loaded object, and the big sets it reads.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    /// What the program can do.
    pub(super) features: u64,
    sets: [Map; SETS.len()],
}

impl Loaded {
    /// Loads the object over the maps that are pinned under `path`, and over new sets.
    pub(super) fn new(
        path: &Path,
        sizes: &BTreeMap<&'static str, u32>,
        features: u64,
        sets: &Sets,
    ) -> Result<Self, DataplaneError> {
        let tables: [&[Line]; SETS.len()] = [&sets.v4.lines, &sets.v6];
        let mut sizes = sizes.clone();
        for (name, lines) in SETS.into_iter().zip(tables) {
            // A map has an element.
            let lines = u32::try_from(lines.len().max(1));
            sizes.insert(name, lines.map_err(|_| too_large(name))?);
        }
        let loaded = Self::load(set::load_object(path, &sizes, features, &[])?, features)?;
        for ((name, map), lines) in SETS.into_iter().zip(&loaded.sets).zip(tables) {
            if !lines.is_empty() {
                let fd = map_data(map).ok_or_else(|| no_lines(name))?.fd();
                Lines::of(name, fd, lines.len())?.fill(lines);
            }
        }
        Ok(loaded)
    }

    /// Loads the object over the maps that are pinned under `path`, and over the sets of another.
    fn over_sets_of(
        other: &Self,
        path: &Path,
        sizes: &BTreeMap<&'static str, u32>,
        features: u64,
    ) -> Result<Self, DataplaneError> {
        // An object takes a map from a pin, or makes one: for this moment, there are pins.
        let pins = Pins(SETS.map(|name| (name, path.join(format!("{name}-in-force")))));
        for ((name, pin), map) in pins.0.iter().zip(&other.sets) {
            let tried = || format!("pinning {name} as {}", pin.display());
            // What a crash left is none of ours.
            let _ = fs::remove_file(pin);
            map_data(map)
                .ok_or_else(|| no_lines(name))?
                .pin(pin)
                .map_err(|error| DataplaneError::new(tried(), error))?;
        }
        Self::load(set::load_object(path, sizes, features, &pins.0)?, features)
    }

    fn load(mut ebpf: Ebpf, features: u64) -> Result<Self, DataplaneError> {
        for name in ["floodwall", "clock"] {
            set::program(&mut ebpf, name)?
                .load()
                .map_err(|error| set::load_error(name, error))?;
        }
        let [v4, v6] = SETS;
        let sets = [take_map(&mut ebpf, v4)?, take_map(&mut ebpf, v6)?];
        Ok(Self {
            ebpf,
            features,
            sets,
        })
    }

    /// Bytes that each of the sets takes.
    pub(super) fn set_memory(&self) -> [Option<u64>; SETS.len()] {
        self.sets.each_ref().map(memory)
    }
}

/// Pins that go when this is dropped.
struct Pins([(&'static str, std::path::PathBuf); SETS.len()]);

impl Drop for Pins {
    fn drop(&mut self) {
        for (_, pin) in &self.0 {
            // It may not be there yet.
            let _ = fs::remove_file(pin);
        }
    }
}

impl Kernel {
    /// Replaces what is loaded, everywhere or nowhere.
    pub(super) fn replace(&mut self, mut image: Image<'_>) -> Result<(), DataplaneError> {
        image.features &= Abilities::get().features;
        let path = self.maps_path();
        let memory = |features| senders::memory(&self.tables, features);
        let more = memory(image.features).saturating_sub(memory(self.loaded.features));
        if more > 0 {
            tracing::info!(
                "the tables of senders will take about {} MiB more",
                more >> 20
            );
        }
        let next = match image.sets {
            Some(sets) => Loaded::new(&path, &self.sizes, image.features, sets)?,
            None => Loaded::over_sets_of(&self.loaded, &path, &self.sizes, image.features)?,
        };
        let old = std::mem::replace(&mut self.loaded, next);
        let Err((interface, error)) = self.relink() else {
            return Ok(());
        };
        let next = std::mem::replace(&mut self.loaded, old);
        if let Err((interface, error)) = self.relink() {
            tracing::error!("taking the program on {interface} back: {error}");
        }
        drop(next);
        Err(DataplaneError(format!(
            "the program on {interface} could not be replaced, and stays: {error}"
        )))
    }

    /// Brings every link up to date; stops at the first that cannot be.
    fn relink(&mut self) -> Result<(), (String, DataplaneError)> {
        for interface in self.linked.clone() {
            match self.update_link(&interface) {
                // One that went is noticed, and told, by whoever watches over the interfaces.
                Ok(_) => {}
                Err(error) => return Err((interface, error)),
            }
        }
        Ok(())
    }
}

fn no_lines(name: &str) -> DataplaneError {
    DataplaneError(format!("the map {name} of the embedded object is no array"))
}

fn too_large(name: &str) -> DataplaneError {
    DataplaneError(format!(
        "the map {name} would have more lines than a map can have: shorten the imported lists"
    ))
}
