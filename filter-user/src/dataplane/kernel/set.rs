//! The object, and the set of maps that it works on: made anew, or taken over.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapInfo},
    programs::{ProgramError, Xdp},
    util::nr_cpus,
};
use aya_obj::{Object, generated::bpf_map_type};
use filter_common::{
    abi::{
        self,
        entry::{EntryKey, EntryValue},
    },
    logic::{lines::Line, set4::DIRECTORY},
};

use super::{
    maps::map_error,
    object::{self, Abilities, OBJECT},
    place::SETS,
    senders,
};
use crate::{
    config::Tables,
    dataplane::{DataplaneError, bpffs},
};

/// Every map that is pinned, by its name in the object.
pub(super) const MAPS: &[&str] = &[
    "ADMITTED",
    "ALLOW",
    "ANSWERS",
    "BANS",
    "BLOCK",
    "CLOCK",
    "CONNECTIONS",
    "COOKIE_PORTS",
    "COUNTERS_BY_REASON",
    "CPU",
    "FRAGMENTS",
    "FRAGMENT_BUCKET",
    "GATE",
    "GUESTS",
    "HOPS",
    "ICMP_BUCKETS",
    "KNOWN",
    "KNOWN_GATE",
    "KNOWN_QUOTAS",
    "LENGTHS",
    "LIFELINES",
    "LIST_HITS",
    "LOCAL",
    "NTP_PEERS",
    "OVERDRAWN",
    "PORTS",
    "PREFIXES",
    "PREFIX_BYTES",
    "PROTOCOLS",
    "PROTOCOL_BUCKET",
    "PROVEN",
    "REPEATS",
    "RULES",
    "RULE_BUCKETS",
    "RULE_HITS",
    "RULE_SOURCES",
    "RULE_TABLE",
    "SAMPLES",
    "SEEN",
    "SERVICES",
    "SERVICE_COUNTERS",
    "SERVICE_STATE",
    "SESSIONS",
    "SETTINGS",
    "SHARES",
    "SOLICITED",
    "SOURCES",
    "SOURCE_BYTES",
    "STAMPS",
    "SYN_ACKS",
    "TRAFFIC",
];

/// The pinned map that holds [`abi::VERSION`]; written last, so that a set without it is unfinished.
pub(super) const META: &str = "META";

/// A set of new maps that goes when this is dropped before they are in force: a start that failed
/// leaves nothing that takes memory.
pub(super) struct Unfinished(pub(super) PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = bpffs::remove(&self.0) {
            tracing::warn!("removing {}: {error}", self.0.display());
        }
    }
}

pub(super) fn load_object(
    path: &Path,
    sizes: &BTreeMap<&'static str, u32>,
    features: u64,
    others: &[(&'static str, PathBuf)],
) -> Result<Ebpf, DataplaneError> {
    let senders = senders::fit(path, features, |name| sizes.get(name).copied())?;
    let mut loader = EbpfLoader::new();
    for name in MAPS.iter().copied() {
        loader.map_pin_path(name, path.join(name));
    }
    for (name, pin) in others {
        loader.map_pin_path(name, pin);
    }
    for (name, size) in sizes {
        loader.map_max_entries(name, *size);
    }
    for table in &senders {
        let (constant, value) = &table.constant;
        loader.map_max_entries(table.map, table.lines);
        loader.override_global(constant, value, true);
    }
    object::tell(&mut loader, &features);
    loader.load(&Abilities::get().fit(OBJECT)).map_err(|error| {
        DataplaneError::new(
            "making the maps (they need root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and memory; \
             smaller ones are set under [tables])",
            error,
        )
    })
}

pub(super) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, DataplaneError> {
    ebpf.program_mut(name)
        .ok_or_else(|| DataplaneError(format!("the embedded object has no program {name}")))?
        .try_into()
        .map_err(|error| DataplaneError::new(format!("the program {name}"), error as ProgramError))
}

pub(super) fn sizes(tables: &Tables) -> BTreeMap<&'static str, u32> {
    let entries = [
        ("ALLOW", tables.allow),
        ("BLOCK", tables.block),
        ("BANS", tables.bans),
    ];
    entries.into_iter().chain(senders::lines(tables)).collect()
}

/// Bytes that the maps will take, before they are made: an element of a hash is its key, its value
/// and 48 bytes (`struct htab_elem`), and each has one bucket of 16 bytes or two.
pub(super) fn estimate(tables: &Tables, features: u64) -> Result<u64, DataplaneError> {
    let hash = |entries: u32| hash(entries, size_of::<EntryKey>() + size_of::<EntryValue>());
    let senders = senders::memory(tables, features);
    let lists = hash(tables.allow) + hash(tables.block) + hash(tables.bans);
    Ok(lists + senders + sets(tables) + fixed(&sizes(tables))?)
}

/// Bytes of the maps that have the size that the object says.
fn fixed(sizes: &BTreeMap<&'static str, u32>) -> Result<u64, DataplaneError> {
    let object = Object::parse(OBJECT)
        .map_err(|error| DataplaneError::new("reading the embedded object", error))?;
    let cpus = nr_cpus().map_err(|(what, error)| {
        DataplaneError::new(format!("counting the CPUs in {what}"), error)
    })?;
    let maps = object.maps.iter();
    let fixed = maps
        .filter(|(name, _)| !sizes.contains_key(name.as_str()) && !SETS.contains(&name.as_str()));
    let bytes = fixed.map(|(_, map)| {
        let (key, value) = (map.key_size() as usize, map.value_size() as usize);
        let array = u64::from(map.max_entries()) * value.next_multiple_of(8) as u64;
        match bpf_map_type::try_from(map.map_type()) {
            Ok(bpf_map_type::BPF_MAP_TYPE_RINGBUF) => u64::from(map.max_entries()),
            Ok(bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY) => array * cpus as u64,
            Ok(bpf_map_type::BPF_MAP_TYPE_HASH) => hash(map.max_entries(), key + value),
            // The object has no other kinds.
            Ok(_) | Err(_) => array,
        }
    });
    Ok(bytes.sum())
}

fn hash(entries: u32, element: usize) -> u64 {
    const HEAD: u64 = 48;
    const BUCKET: u64 = 16;
    let element = HEAD + element.next_multiple_of(8) as u64;
    u64::from(entries) * element + u64::from(entries).next_power_of_two() * BUCKET
}

/// Bytes of the big sets when they are full: of IPv4, a line for each prefix and the directory; of
/// IPv6, for each prefix two keys, of which nine take the room of eight, two spans, and three
/// stretches.
fn sets(tables: &Tables) -> u64 {
    const LINE: u64 = size_of::<Line>() as u64;
    const WORD: u64 = size_of::<u64>() as u64;
    let v4 = DIRECTORY + tables.lists_v4 + tables.owner_lines();
    let v6 = u64::from(tables.lists_v6) * WORD * (2 + 2 + 3 * 2) * 9 / 8;
    u64::from(v4) * LINE + v6
}

/// Whether a folder holds a whole set of maps of this version and of these sizes.
pub(super) fn is_ours(path: &Path, sizes: &BTreeMap<&'static str, u32>) -> bool {
    read_version(&path.join(META)) == Some(abi::VERSION)
        && MAPS
            .iter()
            .filter(|name| !senders::is_table(name))
            .all(|name| {
                MapInfo::from_pin(path.join(name)).is_ok_and(|info| {
                    sizes
                        .get(name)
                        .is_none_or(|size| *size == info.max_entries())
                })
            })
}

pub(super) fn read_version(path: &Path) -> Option<u32> {
    let map = MapData::from_pin(path).and_then(Map::from_map_data).ok()?;
    let version: Array<MapData, u32> = map.try_into().ok()?;
    version.get(&0, 0).ok()
}

pub(super) fn pin_version(path: &Path) -> Result<(), DataplaneError> {
    let wrap = |error| map_error(&format!("writing {}", path.display()), error);
    let mut version = Array::<MapData, u32>::create(1, 0).map_err(wrap)?;
    version.set(0, abi::VERSION, 0).map_err(wrap)?;
    version
        .pin(path)
        .map_err(|error| DataplaneError::new(format!("pinning {}", path.display()), error))
}

pub(super) fn load_error(name: &str, error: ProgramError) -> DataplaneError {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    {
        let log = verifier_log.to_string();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        return DataplaneError(format!(
            "the kernel refuses the program {name}: {io_error}; it takes root or CAP_BPF, \
             CAP_NET_ADMIN and CAP_PERFMON, and `floodwall doctor` tells what is missing; the \
             verifier's last words: {}",
            tail.into_iter().rev().collect::<Vec<_>>().join(" / ")
        ));
    }
    DataplaneError::new(format!("loading the program {name}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_estimate_counts_what_the_object_defines() {
        let fixed = fixed(&sizes(&Config::default().tables)).expect("a whole object");
        // The table of rules, who is known good, what services have seen, who proved its address,
        // shares of services, connections, what was asked for, the gate, the sources of rules, the
        // samples, and of cookies: the ceilings of prefixes, guests, and ports.
        let large = [
            8 << 20,
            8 << 20,
            4 << 20,
            4 << 20,
            2 << 20,
            2 << 20,
            2 << 20,
            2 << 20,
        ];
        let large = large.iter().sum::<u64>() + 5 * (1 << 20);
        assert!((large..2 * large).contains(&fixed), "{fixed}");
    }
}
