//! SYNs that come a second time.
//!
//! Whose SYN is not answered sends it again after a second or so: the same ports, the same sequence
//! number. A forged flood has no reason to, for nobody waits for an answer; what comes again and again
//! without a pause is no retransmission either. A line has sixteen entries, `tag:24 | time:8`; a new one
//! takes the place of the oldest.
//!
//! Times are counted in units of a sixteenth of a second or so and wrap: what was noted a multiple of
//! a quarter of a minute ago is mistaken for younger, which costs nothing but its allowance.

use super::{
    branchless::many::{below, choose, equal},
    hash::HashKey,
    packet::Packet,
};

/// Lines of the table, as a power of two. One half is for SYNs with an expected hop limit, so that a
/// flood of others pushes none of them out.
pub const LINES_LOG2: u32 = 17;
/// Entries in a line: 64 bytes.
pub const ENTRIES: usize = 16;
/// A line.
pub type Line = [u32; ENTRIES];
/// By how much a unit of time is shorter than a generation of sources seen in calm, as a power of two.
pub const UNIT_SHORTER: u32 = 14;

/// Bits of an entry's time.
const TIME_BITS: u32 = 8;
/// The mask of them.
const TIME: u64 = (1 << TIME_BITS) - 1;
/// The shortest pause, in units, after which a SYN is one that is repeated: 0.7 s. Retransmission
/// begins with one second (RFC 6298, 2.1).
pub const SHORTEST: u64 = 11;
/// The longest: five seconds, for the pause doubles.
pub const LONGEST: u64 = 80;

/// What a line says of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The SYN was seen before, and the pause is that of a retransmission.
    pub is_repeated: bool,
    /// The entry to write, below [`ENTRIES`].
    pub entry: u32,
    /// What to write there.
    pub word: u32,
}

/// Where a SYN is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the line.
    pub line: u32,
    /// The tag, odd.
    tag: u32,
}

impl Place {
    /// Of a SYN with these ports, as one number, and this sequence number, in one half of the table.
    #[inline(always)]
    pub fn of(packet: &Packet, ports: u32, sequence: u32, half: u32, key: &HashKey) -> Self {
        let [a, b] = packet.source.halves();
        let [c, d] = packet.destination.halves();
        let rest = u64::from(ports) << 32 | u64::from(sequence);
        let hash = key.chain(packet.source.family(), &[a, b, c, d, rest]);
        let line = (hash >> (u64::BITS - LINES_LOG2)) as u32 >> 1;
        Self {
            line: line | half << (LINES_LOG2 - 1),
            tag: (hash >> 24) as u32 & ((1 << (u32::BITS - TIME_BITS)) - 1) | 1,
        }
    }

    /// Looks for the SYN at a time in units, in the line that this reads the entries of.
    #[inline(always)]
    pub fn look(&self, read: impl Fn(usize) -> u32, time: u64) -> Sighting {
        let tag = u64::from(self.tag);
        let (mut found, mut pause) = (0, 0);
        let (mut mine, mut oldest, mut age) = (0, 0, 0);
        for at in 0..ENTRIES {
            let entry = u64::from(read(at));
            let at = at as u64;
            // Nobody wrote it: older than any.
            let since = choose(equal(entry, 0), TIME + 1, time.wrapping_sub(entry) & TIME);
            let is_mine = equal(entry >> TIME_BITS, tag);
            found |= is_mine;
            pause = choose(is_mine, since, pause);
            mine = choose(is_mine, at, mine);
            let is_older = below(age, since);
            oldest = choose(is_older, at, oldest);
            age = choose(is_older, since, age);
        }
        let is_late = below(LONGEST, pause);
        let is_repeated = found & (below(pause, SHORTEST) ^ 1) & (is_late ^ 1);
        let word = tag << TIME_BITS | time & TIME;
        Sighting {
            is_repeated: is_repeated != 0,
            entry: choose(found, mine, oldest) as u32,
            word: word as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn place(tag: u32) -> Place {
        Place {
            line: 0,
            tag: tag | 1,
        }
    }

    fn look(line: &Line, place: Place, time: u64) -> Sighting {
        place.look(|at| line.get(at).copied().expect("an entry"), time)
    }

    /// Looks, and writes what is to be written; tells whether the SYN is a repeated one.
    fn meets(line: &mut Line, place: Place, time: u64) -> bool {
        let sighting = look(line, place, time);
        if let Some(entry) = line.get_mut(sighting.entry as usize) {
            *entry = sighting.word;
        }
        sighting.is_repeated
    }

    #[test]
    fn a_syn_is_repeated_after_the_pause_of_a_retransmission_alone() {
        for start in [0, 1, 250, u64::from(u32::MAX)] {
            for pause in 0..256 {
                let mut line = Line::default();
                assert!(!meets(&mut line, place(7), start), "the first");
                assert!(!meets(&mut line, place(9), start + pause), "another");
                let is_repeated = meets(&mut line, place(7), start + pause);
                assert_eq!(
                    is_repeated,
                    (SHORTEST..=LONGEST).contains(&pause),
                    "{pause}"
                );
            }
        }
    }

    #[test]
    fn who_repeats_without_a_pause_never_counts() {
        let mut line = Line::default();
        for time in 0..1_000 {
            assert!(!meets(&mut line, place(7), time), "{time}");
        }
        assert!(meets(&mut line, place(7), 999 + SHORTEST), "after a pause");
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut line = Line::default();
        let tags = |from: u32| (from..from + ENTRIES as u32).map(|it| place(it * 2));
        for (time, it) in (100..).zip(tags(1)) {
            meets(&mut line, it, time);
        }
        assert!(!meets(&mut line, place(1 << 20), 120));
        let known: Vec<bool> = tags(1).map(|it| look(&line, it, 130).is_repeated).collect();
        assert_eq!(known.iter().filter(|it| **it).count(), ENTRIES - 1);
        assert_eq!(known.first(), Some(&false), "the first was the oldest");
    }
}
