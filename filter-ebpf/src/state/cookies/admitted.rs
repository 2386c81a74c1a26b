//! Connections whose cookie was accepted a moment ago. What the client sends right behind it meets
//! the listener as well, for the kernel makes the connection only after this program has run.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        packet::{Packet, Transport},
        stamp::Stamp,
    },
};

use crate::{clock::Tick, lists::MMAPABLE};

const WORDS_LOG2: u32 = 14;

#[map]
static ADMITTED: Array<u64> = Array::with_max_entries(1 << WORDS_LOG2, MMAPABLE);

/// Notes a connection.
#[inline(always)]
pub fn note(packet: &Packet, settings: &Settings) {
    let stamp = stamp(packet, settings);
    if let Some(word) = ADMITTED.get_ptr_mut(stamp.index()) {
        // SAFETY: a whole word of a live map value.
        unsafe { word.write_volatile(stamp.word(Tick::now().count())) };
    }
}

/// Whether the connection was noted less than a second or so ago.
#[inline(always)]
pub fn is_known(packet: &Packet, settings: &Settings) -> bool {
    let stamp = stamp(packet, settings);
    let Some(word) = ADMITTED.get_ptr_mut(stamp.index()) else {
        return false;
    };
    // SAFETY: a whole word of a live map value.
    let word = unsafe { word.read_volatile() };
    // A listener counts as stamped for some thirty seconds.
    stamp.is_fresh(word, Tick::now().count(), settings.cookies.stamp >> 5)
}

#[inline(always)]
fn stamp(packet: &Packet, settings: &Settings) -> Stamp {
    let [a, b] = packet.source.halves();
    let [c, d] = packet.destination.halves();
    let ports = match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        } => u64::from(source_port) << 16 | u64::from(destination_port),
        Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Opaque => 0,
    };
    let family = packet.source.family();
    Stamp::of(settings.key.chain(family, &[a, b, c, d, ports]), WORDS_LOG2)
}
