//! Sets of this host's ports.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::defence::{PORT_SETS, PORT_WORDS, PortSet};

use crate::lists::MMAPABLE;

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
