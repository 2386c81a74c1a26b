//! Who is known good.

use filter_common::{abi::settings::Settings, logic::packet::Packet};

/// Whether the source of a packet is known good.
#[inline(always)]
pub fn is_good(_packet: &Packet, _settings: &Settings) -> bool {
    false
}
