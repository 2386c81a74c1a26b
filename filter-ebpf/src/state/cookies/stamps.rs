//! Which listeners take cookies at the moment. The kernel takes them where it has made one for the
//! listener within two minutes; where that was less than a quarter of the time ago, the cheaper
//! helper will do, which asks no listener.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{address::Address, stamp::Stamp},
};

use crate::{clock::Tick, lists::MMAPABLE};

const WORDS_LOG2: u32 = 12;

#[map]
static STAMPS: Array<u64> = Array::with_max_entries(1 << WORDS_LOG2, MMAPABLE);

/// Whether who listens there was stamped a short while ago.
#[inline(always)]
pub fn is_fresh(address: &Address, port: u16, settings: &Settings) -> bool {
    let stamp = stamp(address, port, settings);
    let Some(word) = STAMPS.get_ptr_mut(stamp.index()) else {
        return false;
    };
    // SAFETY: a whole word of a live map value.
    let word = unsafe { word.read_volatile() };
    stamp.is_fresh(word, Tick::now().count(), settings.cookies.stamp)
}

/// Notes that who listens there was stamped.
#[inline(always)]
pub fn note(address: &Address, port: u16, settings: &Settings) {
    let stamp = stamp(address, port, settings);
    if let Some(word) = STAMPS.get_ptr_mut(stamp.index()) {
        // SAFETY: a whole word of a live map value.
        unsafe { word.write_volatile(stamp.word(Tick::now().count())) };
    }
}

#[inline(always)]
fn stamp(address: &Address, port: u16, settings: &Settings) -> Stamp {
    let [a, b] = address.halves();
    let hash = settings
        .key
        .chain(address.family(), &[a, b, u64::from(port)]);
    Stamp::of(hash, WORDS_LOG2)
}
