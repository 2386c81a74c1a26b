//! The settings, read once a packet.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::settings::{SETTINGS_ROWS, Settings};

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(SETTINGS_ROWS, 0);

/// The settings in force.
#[inline(always)]
pub fn current() -> Option<&'static Settings> {
    SETTINGS.get(0)
}
