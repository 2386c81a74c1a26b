//! What this host asked for over UDP.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        solicited::{Flow, LINES_LOG2, Line},
    },
};

use crate::{atomic, clock::Tick, lists::MMAPABLE};

/// Flows, in two generations.
#[map]
static SOLICITED: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Notes a request to a remote port.
#[inline(always)]
pub fn note(remote: &Address, remote_port: u16, local_port: u16, settings: &Settings, now: Tick) {
    let flow = Flow::of(remote, remote_port, local_port, &settings.key);
    let Some(line) = SOLICITED.get_ptr_mut(flow.line) else {
        return;
    };
    let generation = now.count() >> (settings.solicited_log2 & 63);
    for bit in &flow.bits {
        // SAFETY: the word is one of the line's.
        let word = unsafe { line.cast::<u64>().add(bit.word as usize & 7) };
        atomic::update(word, |word| bit.noted(word, generation));
    }
}

/// Whether this host sent something there, in this generation or in the one before.
#[inline(always)]
pub fn is_asked(
    remote: &Address,
    remote_port: u16,
    local_port: u16,
    settings: &Settings,
    now: Tick,
) -> bool {
    let flow = Flow::of(remote, remote_port, local_port, &settings.key);
    let Some(line) = SOLICITED.get_ptr(flow.line) else {
        return false;
    };
    let generation = now.count() >> (settings.solicited_log2 & 63);
    let mut found = u64::MAX;
    for bit in &flow.bits {
        // SAFETY: the word is one of the line's.
        let word = unsafe {
            line.cast::<u64>()
                .add(bit.word as usize & 7)
                .read_volatile()
        };
        found &= bit.is_noted(word, generation);
    }
    found != 0
}

/// Whether requests are noted.
#[inline(always)]
pub fn is_noted(settings: &Settings, now: Tick) -> bool {
    settings.solicited_since <= now.count()
}

/// Whether requests were noted for a whole generation, so that no answer is awaited any more whose
/// request was not.
#[inline(always)]
pub fn is_warm(settings: &Settings, now: Tick) -> bool {
    let whole = 1_u64 << (settings.solicited_log2 & 63);
    is_noted(settings, now) && now.count().wrapping_sub(settings.solicited_since) >= whole
}
