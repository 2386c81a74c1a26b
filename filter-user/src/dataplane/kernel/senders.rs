//! Tables of senders: sources and prefixes, in packets and in bytes. They hold buckets alone, which
//! are full where nothing is written. So each is made anew where its size has to change, and has one
//! line while the program does not use it.

use std::{fs, path::Path};

use aya::maps::MapInfo;
use filter_common::{
    abi::{feature::Feature, settings::PACKET_CLASSES},
    logic::source::{LINE_WORDS, SETS_LOG2, WAYS},
};

use crate::{config::Tables, dataplane::DataplaneError};

/// A table of senders, and how the program finds a sender's set in it.
struct Sender {
    map: &'static str,
    feature: Feature,
    /// How many senders there is room for.
    count: fn(&Tables) -> u32,
    /// The constant that says how far a hash is shifted.
    shift: &'static str,
    /// Sets in a line, as a power of two.
    sets_log2: u32,
}

const SENDERS: [Sender; 4] = [
    Sender {
        map: "SOURCES",
        feature: Feature::SourcePackets,
        count: |tables| tables.sources,
        shift: "SOURCE_SHIFT",
        sets_log2: 0,
    },
    Sender {
        map: "SOURCE_BYTES",
        feature: Feature::SourceBytes,
        count: |tables| tables.sources,
        shift: "SOURCE_BYTES_SHIFT",
        sets_log2: SETS_LOG2,
    },
    Sender {
        map: "PREFIXES",
        feature: Feature::PrefixPackets,
        count: |tables| tables.prefixes,
        shift: "PREFIX_SHIFT",
        sets_log2: 0,
    },
    Sender {
        map: "PREFIX_BYTES",
        feature: Feature::PrefixBytes,
        count: |tables| tables.prefixes,
        shift: "PREFIX_BYTES_SHIFT",
        sets_log2: SETS_LOG2,
    },
];

/// Whether a map holds buckets of senders, and may have any size.
pub(super) fn is_table(map: &str) -> bool {
    SENDERS.iter().any(|sender| sender.map == map)
}

/// Lines of each table while it is in use.
pub(super) fn lines(tables: &Tables) -> [(&'static str, u32); SENDERS.len()] {
    SENDERS.map(|sender| {
        let sets = (sender.count)(tables) / WAYS as u32;
        (sender.map, sets >> sender.sets_log2)
    })
}

/// Bytes of the tables that features use.
pub(super) fn memory(tables: &Tables, features: u64) -> u64 {
    const LINE: u64 = (LINE_WORDS * size_of::<u64>()) as u64;
    const _: () = assert!(LINE_WORDS == WAYS * PACKET_CLASSES);
    let used = SENDERS
        .iter()
        .zip(lines(tables))
        .filter(|(sender, _)| features & sender.feature.bit() != 0);
    used.map(|(_, (_, lines))| u64::from(lines) * LINE).sum()
}

/// A table in the size that features ask for.
pub(super) struct Fitted {
    pub(super) map: &'static str,
    pub(super) lines: u32,
    /// The constant that goes with it, and its value.
    pub(super) constant: (&'static str, u32),
}

/// The tables that features use in the sizes that `size` says, the others with one line. What is
/// pinned in another size goes; a program that still uses it keeps it.
pub(super) fn fit(
    path: &Path,
    features: u64,
    size: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<Fitted>, DataplaneError> {
    let fit = |sender: &Sender| {
        let is_used = features & sender.feature.bit() != 0;
        let lines = size(sender.map).filter(|_| is_used).unwrap_or(1);
        let pin = path.join(sender.map);
        if MapInfo::from_pin(&pin).is_ok_and(|info| info.max_entries() != lines) {
            fs::remove_file(&pin).map_err(|error| {
                DataplaneError::new(format!("removing {}", pin.display()), error)
            })?;
        }
        // Of one line nobody asks where in it.
        let sets_log2 = lines
            .max(2)
            .trailing_zeros()
            .saturating_add(sender.sets_log2);
        Ok(Fitted {
            map: sender.map,
            lines,
            constant: (sender.shift, u64::BITS.saturating_sub(sets_log2)),
        })
    };
    SENDERS.iter().map(fit).collect()
}
