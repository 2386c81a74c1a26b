//! SYNs in the name of known good sources that found no room, so that they are told from forged ones
//! when they are sent again.

use aya_ebpf::{bindings::xdp_md, macros::map, maps::Array};
use filter_common::{
    abi::feature::Feature,
    logic::{
        packet::Transport,
        repeat::{LINES_LOG2, Line, Place, UNIT_SHORTER},
    },
};

use super::ceilings;
use crate::{clock::Tick, cpu, frame::XdpFrame, lists::MMAPABLE, settings, shape};

/// What was seen of late.
#[map]
static REPEATS: Array<Line> = Array::with_max_entries(1 << LINES_LOG2, MMAPABLE);

/// Whether the noted SYN, which found no room, is one that is sent again and finds some as such. Notes
/// it. Exported, because it then has a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn cookies_repeat(context: *mut xdp_md) -> u32 {
    let Some((cpu, scratch)) = cpu::own() else {
        return 0;
    };
    let Some(settings) = settings::noted(scratch) else {
        return 0;
    };
    if !shape::has(Feature::Cookies) {
        return 0;
    }
    let packet = scratch.packet();
    let Transport::Tcp {
        source_port,
        destination_port,
        ..
    } = packet.transport()
    else {
        return 0;
    };
    // The sequence number follows the ports.
    let mut words = [0; 2];
    if !XdpFrame::of(context).read::<8>(packet.tcp_at(), &mut words) {
        return 0;
    }
    let ports = u32::from(source_port) << 16 | u32::from(destination_port);
    let place = Place::of(
        packet,
        ports,
        words[1],
        scratch.standing() as u32 & 1,
        &settings.key,
    );
    let Some(line) = REPEATS.get_ptr_mut(place.line) else {
        return 0;
    };
    let unit = settings.seen_log2.wrapping_sub(UNIT_SHORTER) & 63;
    let entries = line.cast::<u32>();
    // Of what two CPUs write at once, one is lost, and the SYN is noted when it comes again.
    let sighting = place.look(
        // SAFETY: one of the line's entries, a whole word of a live map value.
        |at| unsafe { entries.add(at).read_volatile() },
        Tick::now().count() >> unit,
    );
    let entry = (sighting.entry & 15) as usize;
    // SAFETY: likewise.
    unsafe { entries.add(entry).write_volatile(sighting.word) };
    // Noted by now, so that a further copy finds no pause behind it, answered or not.
    let is_answered = sighting.is_repeated
        && ceilings::have_room_again(packet, settings, cpu, scratch.standing());
    u32::from(is_answered)
}

/// See [`cookies_repeat`].
#[inline(always)]
pub fn have_room(context: *mut xdp_md) -> bool {
    cookies_repeat(context) != 0
}
