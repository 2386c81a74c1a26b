//! Sources that have or lately had a connection. A new SYN of theirs may belong to it: to one that
//! waits for its end, or that the client has lost. Such a SYN is the kernel's to answer, and those
//! of all others need no look-up. They are noted by the program at sockets, whether cookies are on or
//! not, and by their packets while they are.
//!
//! The table is small, so that it stays in the cache of a processor that a flood keeps busy. With
//! more guests than it has room for, more SYNs of others are looked up as well.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        seen::{LINES_LOG2, Line, Mark},
    },
};

use crate::{clock::Tick, lists::MMAPABLE};

const GUESTS_LOG2: u32 = 10;
/// By how much a generation is shorter than one of sources seen in calm, as a power of two: two
/// minutes, for a connection waits for its end for one.
const SHORTER: u32 = 3;

/// Marks of sources, in two generations.
#[map]
static GUESTS: Array<Line> = Array::with_max_entries(1 << GUESTS_LOG2, MMAPABLE);

/// Notes a source.
#[inline(always)]
pub fn note(source: &Address, settings: &Settings) {
    let Some((mark, line, generation)) = place(source, settings) else {
        return;
    };
    // SAFETY: whole words of a live map value; a mark that two CPUs make at once and one loses is
    // made with the next packet.
    let line = unsafe { &mut *line };
    if !mark.is_fresh(line, generation) {
        mark.make(line, generation);
    }
}

/// Whether a source was noted, in this generation or the one before.
#[inline(always)]
pub fn is_known(source: &Address, settings: &Settings) -> bool {
    match place(source, settings) {
        // SAFETY: whole words of a live map value.
        Some((mark, line, generation)) => mark.is_known(unsafe { &*line }, generation),
        None => false,
    }
}

#[inline(always)]
fn place(source: &Address, settings: &Settings) -> Option<(Mark, *mut Line, u64)> {
    let mark = Mark::of(source, &settings.key);
    let line = GUESTS.get_ptr_mut(mark.line() >> (LINES_LOG2 - GUESTS_LOG2))?;
    let generation = Tick::now().count() >> (settings.seen_log2.wrapping_sub(SHORTER) & 63);
    Some((mark, line, generation))
}
