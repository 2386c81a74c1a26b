//! This host's own addresses.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::defence::{LOCAL_LINES, LocalLine},
    logic::address::Address,
};

use crate::lists::MMAPABLE;

#[map]
static LOCAL: Array<LocalLine> = Array::with_max_entries(LOCAL_LINES, MMAPABLE);

/// Whether an address is this host's own. What it is not is forwarded, or somebody else's, and
/// the sockets of this host say nothing about it.
#[inline(always)]
pub fn is_own(address: &Address) -> bool {
    LOCAL
        .get(LocalLine::index(address))
        .is_some_and(|line| line.holds(address))
}
