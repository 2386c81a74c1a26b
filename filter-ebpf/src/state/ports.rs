//! Sets of this host's ports.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::defence::{PORT_SETS, PORT_WORDS, PortSet};

use crate::{atomic, lists::MMAPABLE};

#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_SETS * PORT_WORDS, MMAPABLE);

/// Whether a port is in a set.
#[inline(always)]
pub fn contains(set: PortSet, port: u16) -> bool {
    // SAFETY: a whole word of a live map value; the daemon writes whole words.
    PORTS
        .get_ptr(set.word(port))
        .is_some_and(|word| unsafe { word.read_volatile() } & PortSet::bit(port) != 0)
}

/// Puts a port into a set.
#[inline(always)]
pub fn insert(set: PortSet, port: u16) {
    if let Some(word) = PORTS.get_ptr_mut(set.word(port)) {
        atomic::set(word, PortSet::bit(port));
    }
}
