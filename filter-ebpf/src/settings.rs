//! The settings, in four rows: what operators want, and what the controller holds beside that until a
//! tick that the first row says; and both as they were before a change that nobody has confirmed, from
//! another tick on. So what a dead daemon held ends by itself, and what it was not told to keep is taken
//! back.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::settings::{OPERATOR_ROW, SETTINGS_ROWS, Settings};

use crate::{clock::Tick, scratch::Scratch};

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(SETTINGS_ROWS, 0);

/// The settings in force, and their row.
#[inline(always)]
pub fn current(now: Tick) -> Option<(&'static Settings, u32)> {
    let operators = SETTINGS.get(OPERATOR_ROW)?;
    match operators.row_at(now.count()) {
        OPERATOR_ROW => Some((operators, OPERATOR_ROW)),
        row => Some((SETTINGS.get(row)?, row)),
    }
}

/// The settings that were in force when the packet at hand came: whatever looks at it agrees.
#[inline(always)]
pub fn noted(scratch: &Scratch) -> Option<&'static Settings> {
    SETTINGS.get(scratch.settings_row)
}
