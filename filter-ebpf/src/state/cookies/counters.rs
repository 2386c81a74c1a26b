//! What is known of cookies and handshakes at each port, so that the daemon sees where cookies lead
//! nowhere.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::{defence::CookiePort, settings::Settings},
    logic::{address::Address, hash::source_number},
};

use crate::{atomic, clock::Tick, lists::MMAPABLE};

#[map]
static COOKIE_PORTS: Array<CookiePort> = Array::with_max_entries(1 << 16, MMAPABLE);

/// By how much a generation of sources is shorter than one of those seen in calm, as a power of two:
/// four seconds.
const SHORTER: u32 = 8;

/// A valid cookie came back from a source.
#[inline(always)]
pub fn accepted(port: u16, source: &Address, settings: &Settings) {
    let Some(counter) = COOKIE_PORTS.get_ptr_mut(u32::from(port)) else {
        return;
    };
    // SAFETY: a field of a live map value; nothing is read.
    atomic::add(unsafe { &raw mut (*counter).accepted }, 1);
    let number = source_number(source);
    let hash = settings.key.chain(source.family(), &[number]);
    let generation = Tick::now().count() >> (settings.seen_log2.wrapping_sub(SHORTER) & 63);
    // SAFETY: as above.
    atomic::update(unsafe { &raw mut (*counter).sources }, |sources| {
        CookiePort::with_source(sources, generation, hash)
    });
}

/// The kernel would have taken no cookie for the listener.
#[inline(always)]
pub fn declined(port: u16) {
    if let Some(counter) = COOKIE_PORTS.get_ptr_mut(u32::from(port)) {
        // SAFETY: as above.
        atomic::add(unsafe { &raw mut (*counter).declined }, 1);
    }
}

/// The kernel completed a handshake.
#[inline(always)]
pub fn completed(port: u16) {
    if let Some(counter) = COOKIE_PORTS.get_ptr_mut(u32::from(port)) {
        // SAFETY: as above.
        atomic::add(unsafe { &raw mut (*counter).completed }, 1);
    }
}
