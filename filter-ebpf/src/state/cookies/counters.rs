//! What is known of cookies and handshakes at each port, so that the daemon sees where cookies lead
//! nowhere.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::abi::defence::CookiePort;

use crate::{atomic, lists::MMAPABLE};

#[map]
static COOKIE_PORTS: Array<CookiePort> = Array::with_max_entries(1 << 16, MMAPABLE);

/// A valid cookie came back.
#[inline(always)]
pub fn accepted(port: u16) {
    if let Some(counter) = COOKIE_PORTS.get_ptr_mut(u32::from(port)) {
        // SAFETY: a field of a live map value; nothing is read.
        atomic::add(unsafe { &raw mut (*counter).accepted }, 1);
    }
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
