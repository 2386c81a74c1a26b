//! Peers that an NTP daemon on this host asks, from the port that it serves at.

use aya_ebpf::{macros::map, maps::Array};
use filter_common::{
    abi::settings::Settings,
    logic::{
        address::Address,
        peers::{self, BUSY, LINES_LOG2, Line, Peer, WAYS},
    },
};

use crate::{atomic, clock::Tick, lists::MMAPABLE};

#[map]
static NTP_PEERS: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Notes a request to a peer. A newcomer takes the place of the one that was not asked for longest.
#[inline(always)]
pub fn note(peer: &Address, settings: &Settings, now: Tick) {
    let Some(line) = NTP_PEERS.get_ptr_mut(peers::line(peer, &settings.key)) else {
        return;
    };
    let stamp = peers::stamp(peer.family(), now.count());
    // SAFETY: the line lives as long as its map, and another CPU writes whole words.
    let ways = unsafe { &raw mut (*line).ways }.cast::<Peer>();
    let seen = [way(ways, 0), way(ways, 1)];
    for (index, there) in seen.iter().enumerate() {
        if there.is(peer) {
            // SAFETY: one of the line's two.
            let at = unsafe { &raw mut (*ways.add(index & (WAYS - 1))).stamp };
            // If somebody takes the place at this moment, the next request finds another.
            atomic::exchange(at, there.stamp, stamp);
            return;
        }
    }
    let older = usize::from(seen[1].stamp < seen[0].stamp);
    for index in [older, older ^ 1] {
        // SAFETY: one of the line's two.
        let at = unsafe { ways.add(index & (WAYS - 1)) };
        let old = way(ways, index).stamp;
        // SAFETY: a field of a live map value.
        let word = unsafe { &raw mut (*at).stamp };
        if old == BUSY || atomic::exchange(word, old, BUSY) != old {
            continue;
        }
        // SAFETY: whole words of a live map value, which are this CPU's until the stamp is written.
        unsafe {
            (&raw mut (*at).words).write_volatile(*peer.words());
            word.write_volatile(stamp);
        }
        return;
    }
}

/// Whether this host asked a peer a short time ago.
#[inline(always)]
pub fn is_asked(peer: &Address, settings: &Settings, now: Tick) -> bool {
    let Some(line) = NTP_PEERS.get_ptr_mut(peers::line(peer, &settings.key)) else {
        return false;
    };
    // SAFETY: as above.
    let ways = unsafe { &raw mut (*line).ways }.cast::<Peer>();
    let most = 2_u64 << (settings.solicited_log2 & 63);
    let tick = now.count();
    way(ways, 0).was_asked(peer, tick, most) | way(ways, 1).was_asked(peer, tick, most)
}

/// One of a line's peers, as it is.
#[inline(always)]
fn way(ways: *mut Peer, index: usize) -> Peer {
    // SAFETY: one of the line's two, of integers only.
    unsafe { ways.add(index & (WAYS - 1)).read_volatile() }
}
