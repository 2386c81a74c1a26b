//! What calm traffic looks like: a sample that is kept while nothing happens.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use filter_common::abi::traffic::TrafficClass;

use super::condition::source_key;
use crate::detect::{
    input::{Fate, Observed},
    sketch::Reservoir,
};

/// Packets that are kept.
pub const ROOM: usize = 4_096;
/// Packets that open connections, of which there are few among all, and each of which counts for a
/// whole connection: so many are kept beside.
const OPENINGS: usize = 4_096;
/// Packets that are looked at in a step; of more, every second or third.
const LOOKED_AT: usize = 2_048;
/// Packets of one second that may be kept: a busy minute does not fill the sample.
const PER_SECOND: usize = 16;
/// Likewise while there still is room: half a minute after a start says what a fingerprint would harm.
const AT_FIRST: usize = 64;
/// After so long, half of what is kept is newer.
const HALF_LIFE: Duration = Duration::from_secs(6 * 3_600);
/// Packets are held back so long before they are kept: what comes just before an attack is noticed
/// is of the attack.
const PROBATION: Duration = Duration::from_secs(10);
/// A source that is seen again after one to two of these is one that returns.
const GENERATION: Duration = Duration::from_secs(600);
/// At first a generation is shorter: this part of the time that was observed, and no less than this.
const PART_AT_FIRST: u32 = 4;
const SHORTEST: Duration = Duration::from_secs(5);
/// Sources of a generation that are remembered.
const SOURCES: usize = 16_384;

/// What a packet counts if its source proved its address.
const PROVEN: f64 = 1.0;
/// What it counts if its source did not, but returned: who sends decoys to be met by fingerprints
/// later must then send them from the same addresses for long.
const RETURNING: f64 = 0.1;
/// What it counts otherwise, where there are others to go by.
const SEEN_ONCE: f64 = 0.0005;
/// Others are to go by if their weight is such a share of the sample's size.
const ENOUGH: f64 = 0.02;
/// No source counts more than this share of the sample's size.
const MOST_OF_ONE: f64 = 1.0 / 64.0;

/// A sample of calm traffic that went to the stack, which is what comes by where rules are, but for
/// what the allowlist spares them.
///
/// It is fair over time, not over packets: each second gives at most sixteen, and the more a source
/// sends in it, the less each of its packets has a chance.
#[derive(Debug)]
pub struct Calm {
    all: Sample,
    openings: Sample,
    began: Duration,
    /// When something was observed first.
    first: Option<Duration>,
    /// How long a generation is.
    generation: Duration,
    /// Sources of this generation, of the one before, and of that before it.
    generations: [BTreeSet<u128>; 3],
    turned: Duration,
}

/// What is kept of one kind.
#[derive(Debug)]
struct Sample {
    room: usize,
    kept: Reservoir<Kept>,
    /// Of the present second.
    second: Reservoir<Observed>,
    /// How many packets each source has in it.
    sent: BTreeMap<u128, u32>,
    /// On probation, oldest first.
    waiting: VecDeque<(Duration, Kept)>,
}

#[derive(Clone, Debug)]
struct Kept {
    seen: Observed,
    source: u128,
    returned: bool,
}

/// A packet of the sample and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct Weighed<'c> {
    /// The packet.
    pub seen: &'c Observed,
    /// Its weight, above 0.
    pub weight: f64,
}

impl Sample {
    fn new(room: usize, seed: u64) -> Self {
        Self {
            room,
            kept: Reservoir::new(room, Some(HALF_LIFE), seed),
            second: Reservoir::new(AT_FIRST, None, seed.rotate_left(32)),
            sent: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn take(&mut self, elapsed: Duration, source: u128, seen: &Observed) {
        if self.sent.len() >= SOURCES && !self.sent.contains_key(&source) {
            return;
        }
        let sent = self.sent.entry(source).or_default();
        *sent = sent.saturating_add(1);
        let _ = self
            .second
            .add(seen.clone(), 1.0 / f64::from(*sent), elapsed);
    }

    fn end_second(&mut self, began: Duration, returns: impl Fn(u128) -> bool) {
        self.sent.clear();
        let is_full = self.kept.len() + self.waiting.len() >= self.room;
        let most = if is_full { PER_SECOND } else { AT_FIRST };
        // The surest to stay come last.
        let surplus = self.second.len().saturating_sub(most);
        for seen in self.second.take().skip(surplus) {
            let source = source_key(seen.source);
            let kept = Kept {
                seen,
                source,
                returned: returns(source),
            };
            self.waiting.push_back((began, kept));
        }
    }

    /// Keeps what is no longer on probation.
    fn keep(&mut self, elapsed: Duration) {
        while let Some((since, _)) = self.waiting.front()
            && elapsed.saturating_sub(*since) >= PROBATION
            && let Some((since, kept)) = self.waiting.pop_front()
        {
            let _ = self.kept.add(kept, 1.0, since);
        }
    }

    fn disturb(&mut self) {
        self.waiting.clear();
        self.sent.clear();
        drop(self.second.take());
    }

    /// What each counts. Until generations are as long as they become, who returned is not surer than
    /// others in what nobody proves anything by.
    fn weighed(&self, is_grown: bool, returns: impl Fn(u128) -> bool) -> Vec<Weighed<'_>> {
        let mut of_source: BTreeMap<u128, u32> = BTreeMap::new();
        for kept in self.kept.items() {
            *of_source.entry(kept.source).or_default() += 1;
        }
        let most = (self.kept.len() as f64 * MOST_OF_ONE).max(8.0);
        let standing = |kept: &Kept| {
            if kept.seen.is_proven {
                Some(PROVEN)
            } else {
                (kept.returned || returns(kept.source)).then_some(RETURNING)
            }
        };
        let sure = self.kept.items();
        let sure = sure.filter(|kept| is_grown || kept.seen.is_proven);
        let surer: f64 = sure.filter_map(standing).sum();
        let once = if surer >= self.kept.len() as f64 * ENOUGH {
            SEEN_ONCE
        } else {
            RETURNING
        };
        let weigh = |kept: &Kept| {
            let sent = of_source.get(&kept.source).copied().unwrap_or(1);
            let fair = (most / f64::from(sent)).min(1.0);
            standing(kept).unwrap_or(once) * fair
        };
        let all = self.kept.items();
        all.map(|kept| Weighed {
            seen: &kept.seen,
            weight: weigh(kept),
        })
        .collect()
    }
}

impl Calm {
    /// An empty sample.
    pub fn new(seed: u64) -> Self {
        Self {
            all: Sample::new(ROOM, seed),
            openings: Sample::new(OPENINGS, seed.rotate_left(16)),
            began: Duration::ZERO,
            first: None,
            generation: SHORTEST,
            generations: Default::default(),
            turned: Duration::ZERO,
        }
    }

    /// Takes what was observed while all is calm. Time does not fall.
    pub fn observe(&mut self, elapsed: Duration, observed: &[Observed]) {
        let first = *self.first.get_or_insert(elapsed);
        let part = elapsed.saturating_sub(first) / PART_AT_FIRST;
        self.generation = part.clamp(SHORTEST, GENERATION);
        if elapsed.saturating_sub(self.turned) >= self.generation {
            self.turned = elapsed;
            self.generations.rotate_right(1);
            self.generations[0].clear();
        }
        if elapsed.saturating_sub(self.began) >= Duration::from_secs(1) {
            // What a short generation says holds for as long as it lasts.
            let is_grown = self.is_grown();
            let returns = |source| is_grown && returns(&self.generations, source);
            self.all.end_second(self.began, returns);
            self.openings.end_second(self.began, returns);
            self.began = elapsed;
        }
        self.all.keep(elapsed);
        self.openings.keep(elapsed);
        let each = observed.len().div_ceil(LOOKED_AT).max(1);
        for seen in observed.iter().step_by(each).filter(|seen| went_on(seen)) {
            let source = source_key(seen.source);
            let [sources, ..] = &mut self.generations;
            if sources.len() < SOURCES {
                sources.insert(source);
            }
            self.all.take(elapsed, source, seen);
            if opens(seen) {
                self.openings.take(elapsed, source, seen);
            }
        }
    }

    /// All is not calm: forgets what is on probation.
    pub fn disturb(&mut self) {
        self.all.disturb();
        self.openings.disturb();
    }

    /// How many packets are kept.
    pub fn len(&self) -> usize {
        self.all.kept.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.all.kept.is_empty()
    }

    /// The sample, in an order that says nothing.
    pub fn weighed(&self) -> Vec<Weighed<'_>> {
        self.all
            .weighed(self.is_grown(), |source| returns(&self.generations, source))
    }

    /// Likewise of what opens connections.
    pub fn openings(&self) -> Vec<Weighed<'_>> {
        self.openings
            .weighed(self.is_grown(), |source| returns(&self.generations, source))
    }

    /// Whether a packet is of somebody who came in calm, too: again and again, or with an address that
    /// is proven.
    pub fn knows(&self, seen: &Observed) -> bool {
        seen.is_proven || returns(&self.generations, source_key(seen.source))
    }

    fn is_grown(&self) -> bool {
        self.generation >= GENERATION
    }
}

/// Whether a source was seen a generation ago or longer, and since.
fn returns([now, before, long_ago]: &[BTreeSet<u128>; 3], source: u128) -> bool {
    long_ago.contains(&source) && (now.contains(&source) || before.contains(&source))
}

/// Whether a packet opens a connection: a SYN, whatever ECN adds.
pub(super) fn opens(seen: &Observed) -> bool {
    seen.class == TrafficClass::Syn
}

/// Whether a packet came by where rules are and went to the stack.
fn went_on(seen: &Observed) -> bool {
    match seen.fate {
        Fate::Passed | Fate::Watched(_) => true,
        Fate::Stopped(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fingerprint::scenery::{Scenery, udp};

    /// Observes for so many seconds, ten times each, what a function gives.
    fn live(
        calm: &mut Calm,
        seconds: std::ops::Range<u64>,
        mut give: impl FnMut() -> Vec<Observed>,
    ) {
        for tenth in seconds.start * 10..seconds.end * 10 {
            calm.observe(Duration::from_millis(tenth * 100), &give());
        }
    }

    #[test]
    fn memory_is_bounded_and_a_busy_minute_does_not_fill_it() {
        let mut scenery = Scenery::new(1);
        let mut calm = Calm::new(1);
        live(&mut calm, 0..600, || scenery.web(4));
        let mut busy = 0_u32;
        live(&mut calm, 600..660, || {
            let source = (0xc633_6400 + busy).into();
            busy += 1;
            vec![udp(source, 4_000, 9_999, b"burst"); 300]
        });
        live(&mut calm, 660..1_200, || scenery.web(4));
        assert_eq!(calm.len(), ROOM);
        let burst = calm.weighed();
        let burst = burst.iter().filter(|one| one.seen.protocol == 17).count();
        assert!((100..400).contains(&burst), "{burst}");
    }

    #[test]
    fn a_minute_fills_half_of_it_and_tells_who_returns() {
        let mut scenery = Scenery::new(7);
        let mut calm = Calm::new(7);
        let mut number = 0_u32;
        live(&mut calm, 0..60, || {
            number += 1;
            let mut all = scenery.web(8);
            all.push(udp((number % 20).into(), 4_000, 53, b"regular"));
            all.push(udp((1_000 + number).into(), 4_000, 53, b"once"));
            all
        });
        assert!(calm.len() > ROOM / 2, "{}", calm.len());
        let weighed = calm.weighed();
        let of = |payload: &[u8]| {
            let mut all = weighed
                .iter()
                .filter(|one| one.seen.payload.as_slice() == payload);
            all.next_back().map(|one| one.weight)
        };
        assert_eq!(
            (of(b"regular"), of(b"once")),
            (Some(RETURNING), Some(SEEN_ONCE))
        );
    }

    #[test]
    fn what_comes_just_before_an_attack_is_not_kept() {
        let mut scenery = Scenery::new(2);
        let mut calm = Calm::new(2);
        live(&mut calm, 0..30, || scenery.web(5));
        let before = calm.len();
        live(&mut calm, 30..35, || {
            vec![udp([192, 0, 2, 7].into(), 1, 2, b"flood"); 50]
        });
        calm.disturb();
        live(&mut calm, 100..130, || scenery.web(5));
        assert!(calm.len() > before);
        assert!(calm.weighed().iter().all(|one| one.seen.protocol == 6));
    }

    #[test]
    fn what_was_stopped_is_not_of_the_sample() {
        let mut calm = Calm::new(3);
        let stopped = Observed {
            fate: Fate::Stopped(filter_common::abi::reason::Reason::ClosedUdp),
            ..udp([192, 0, 2, 7].into(), 1, 2, b"scan")
        };
        live(&mut calm, 0..60, || vec![stopped.clone()]);
        assert!(calm.is_empty());
    }

    #[test]
    fn no_source_counts_more_than_its_part() {
        let mut scenery = Scenery::new(4);
        let mut calm = Calm::new(4);
        let backup = Observed {
            is_proven: true,
            ..udp([198, 51, 100, 9].into(), 5_000, 6_000, b"backup")
        };
        live(&mut calm, 0..400, || {
            let mut all = scenery.web(3);
            all.extend(vec![backup.clone(); 100]);
            all
        });
        let weighed = calm.weighed();
        let of = |protocol| {
            let one = weighed
                .iter()
                .filter(move |one| one.seen.protocol == protocol);
            one.map(|one| one.weight).sum::<f64>()
        };
        assert!(of(17) <= calm.len() as f64 * MOST_OF_ONE + 1e-6);
        assert!(of(17) < of(6) * 0.05, "{} {}", of(17), of(6));
    }

    #[test]
    fn sources_count_by_what_is_certain_of_them() {
        let mut calm = Calm::new(5);
        let regular = udp([203, 0, 113, 1].into(), 4_000, 53, b"regular");
        let mut number = 0_u32;
        let mut scenery = Scenery::new(5);
        live(&mut calm, 0..1_900, || {
            number += 1;
            let mut all = scenery.web(2);
            all.push(udp(number.into(), 4_000, 53, b"once"));
            if number.is_multiple_of(20) {
                all.push(regular.clone());
            }
            all
        });
        let weighed = calm.weighed();
        let one = |payload: &[u8]| {
            let mut all = weighed
                .iter()
                .filter(|one| one.seen.payload.as_slice() == payload);
            all.next_back().map(|one| one.weight)
        };
        assert_eq!(one(b"once"), Some(SEEN_ONCE));
        assert!(one(b"regular").is_some_and(|weight| weight > SEEN_ONCE && weight <= RETURNING));
    }

    #[test]
    fn where_nobody_proves_anything_all_count_alike() {
        let mut calm = Calm::new(6);
        let mut number = 0_u32;
        live(&mut calm, 0..300, || {
            number += 1;
            vec![udp(number.into(), 4_000, 53, b"once")]
        });
        let weighed = calm.weighed();
        assert!(!weighed.is_empty());
        assert!(weighed.iter().all(|one| one.weight == RETURNING));
    }
}
