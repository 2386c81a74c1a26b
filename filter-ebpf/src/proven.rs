//! Sources that proved their address: they completed a handshake, today or yesterday.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        seen::{LINES_LOG2, Line, Mark},
    },
};

use crate::lists::MMAPABLE;

/// Sources, in generations of a day.
#[map]
static PROVEN: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Marks a source.
#[inline(always)]
pub fn mark(source: &Address, settings: &Settings) {
    let mark = Mark::of(source, &settings.key);
    let Some(line) = PROVEN.get_ptr_mut(mark.line()) else {
        return;
    };
    // SAFETY: whole words of a live map value; a mark that two CPUs make at once and one loses is
    // made with the next handshake.
    let line = unsafe { &mut *line };
    let generation = u64::from(settings.day);
    if !mark.is_fresh(line, generation) {
        mark.make(line, generation);
    }
}
