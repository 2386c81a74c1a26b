//! Everything that is watched: each vector as a whole, and at each service that gets much of it.
//!
//! A whole vector is counted exactly; what a service gets of it is estimated from observed packets,
//! and enters with the lower bound of that estimate. What services under attack explain is no attack
//! on the host besides. At most [`SERVICES`] services of a vector are watched at a time.

use std::{collections::BTreeMap, time::Duration};

use super::{
    baseline::{Baselines, Normal, floor_of},
    crowd::{Crowd, carpet, heavy},
    evidence::Signs,
    output::News,
    profile::{Profile, Share},
    rates::{FAST, Rates, Window},
    threat::{Heavy, Threat},
    vector::{Phase, Target, Vector},
    watched::{Moment, Place, Watched, Windows},
};

use crate::config::detection::Detection;

/// Services of a vector that are watched at most.
const SERVICES: usize = 16;
/// By which factor within two seconds something must rise to have come at once.
const JUMP: f64 = 8.0;
/// Below how many times what came before it is over.
const BACK: f64 = 2.0;
/// How often what is calm is learned.
const LESSON: Duration = Duration::from_secs(1);
/// Services with less than this share of a vector are not learned.
const NOTABLE: f64 = 0.01;

/// Everything that is watched.
#[derive(Debug, Default)]
pub struct Watch {
    of: BTreeMap<(Vector, Place), Watched>,
    /// What came in before something came at once, packets a second.
    jumped: BTreeMap<Vector, f64>,
    restarted: BTreeMap<Vector, Duration>,
    lesson: Option<Duration>,
    counts_handshakes: bool,
}

impl Watch {
    /// Says which vectors begin in this step, so that what was observed before does not count.
    pub fn onsets(&mut self, moment: &Moment<'_>, baselines: &Baselines) -> Vec<Vector> {
        let fast = moment.rates.over(FAST);
        let mut onsets = Vec::new();
        for vector in Vector::ALL {
            let rate = fast.rate(vector).packets;
            let normal = baselines.normal(vector, &Target::Host, moment.now, moment.config);
            let was = self.restarted.get(&vector).copied();
            let is_new =
                was.is_none_or(|was| moment.elapsed.saturating_sub(was) >= Duration::from_secs(5));
            if rate < normal.threshold || !self.is_calm(vector) {
                continue;
            }
            if is_new {
                onsets.push(vector);
            }
            self.restarted.insert(vector, moment.elapsed);
        }
        onsets
    }

    /// Looks at everything.
    pub fn step(
        &mut self,
        moment: &Moment<'_>,
        profile: &Profile,
        baselines: &mut Baselines,
    ) -> Vec<News> {
        let windows = Windows::of(moment.rates);
        self.counts_handshakes |= windows.fast.handshakes > 0.0;
        for vector in Vector::ALL {
            self.look(vector, moment, &windows, profile, baselines);
        }
        self.of
            .retain(|_, watched| !watched.track.is_idle(moment.elapsed));
        let news = self.unfreeze(moment.elapsed);
        self.learn(moment, &windows, profile, baselines);
        news
    }

    fn look(
        &mut self,
        vector: Vector,
        moment: &Moment<'_>,
        windows: &Windows,
        profile: &Profile,
        baselines: &Baselines,
    ) {
        let normal = baselines.normal(vector, &Target::Host, moment.now, moment.config);
        let normal = strict(normal, vector, moment.config, &windows.brisk);
        let brisk = windows.brisk.rate(vector).packets;
        let jumped = self.jumped(vector, windows, &normal);
        let least = floor_of(vector, moment.config).min(normal.threshold);
        let fast = windows.fast.rate(vector).packets;
        if self.is_calm(vector) && brisk.max(fast) < 0.5 * least {
            // Nothing at all can be unusual.
            for ((of, _), watched) in &mut self.of {
                if *of == vector {
                    watched.rest();
                }
            }
            return;
        }
        let seen = profile.seen(vector);
        let crowd = seen.map_or_else(Crowd::default, |seen| {
            Crowd::of(seen, brisk, profile.familiar.is_ready(moment.elapsed))
        });
        let evidence = Signs {
            vector,
            brisk: &windows.brisk,
            steady: &windows.steady,
            normal: &normal,
            crowd: &crowd,
            strain: moment.strain,
            jumped,
            talk: talk(vector, moment.rates, &windows.steady, profile),
            accompanied: accompanied(vector, moment, windows, &normal, baselines),
            counts_handshakes: self.counts_handshakes,
        }
        .weigh();
        let spread = seen.and_then(carpet);
        let mut rest = Share {
            share: 1.0,
            least: 1.0,
            most: 1.0,
        };
        let mut rest_passes = 1.0;
        if matches!(
            vector,
            Vector::Syn | Vector::Ack | Vector::Close | Vector::Udp
        ) {
            let services = seen.map(|seen| seen.services()).unwrap_or_default();
            let unseen = seen.and_then(|seen| seen.unseen());
            let passed = seen.and_then(|seen| seen.passed());
            for (place, share) in self.candidates(vector, services, unseen) {
                let normal = baselines.normal(vector, &place.target(), moment.now, moment.config);
                let watched = self.of.entry((vector, place)).or_default();
                let passes = match (&passed, place) {
                    (Some(passed), Place::Service(protocol, port)) => {
                        passed.get(&(protocol, port)).copied().unwrap_or(0.0)
                    }
                    (None, _) | (_, Place::Whole) => share.share,
                };
                watched.look(moment, windows, vector, (share, passes), &normal, &evidence);
                watched.aim(spread.map(|prefix| Target::Prefix { prefix }), place);
                if watched.track.explains() {
                    rest_passes = (rest_passes - passes).max(0.0);
                    rest.share = (rest.share - share.share).max(0.0);
                    rest.least = (rest.least - share.most).max(0.0);
                }
            }
        }
        let watched = self.of.entry((vector, Place::Whole)).or_default();
        let rest = (rest, rest_passes);
        watched.look(moment, windows, vector, rest, &normal, &evidence);
        let target = if vector.class().is_none() {
            busiest(moment.rates, &windows.steady)
        } else {
            spread.map(|prefix| Target::Prefix { prefix })
        };
        watched.aim(target, Place::Whole);
    }

    /// Services that are worth a look: those watched, and those observed most.
    fn candidates(
        &self,
        vector: Vector,
        mut services: BTreeMap<(u8, u16), Share>,
        unseen: Option<Share>,
    ) -> Vec<(Place, Share)> {
        let mut all = Vec::new();
        for ((of, place), watched) in &self.of {
            if let Place::Service(protocol, port) = place
                && *of == vector
            {
                // While nothing at all is observed, the share stays what it was.
                let observed = services.remove(&(*protocol, *port)).or(unseen);
                let share = observed.unwrap_or(watched.share);
                all.push((*place, share));
            }
        }
        let mut others: Vec<_> = services.into_iter().collect();
        others.sort_by(|a, b| b.1.share.total_cmp(&a.1.share).then(a.0.cmp(&b.0)));
        let room = SERVICES.saturating_sub(all.len());
        all.extend(
            others
                .into_iter()
                .take(room)
                .map(|((protocol, port), share)| (Place::Service(protocol, port), share)),
        );
        all
    }

    fn jumped(&mut self, vector: Vector, windows: &Windows, normal: &Normal) -> bool {
        let now = windows.brisk.rate(vector).packets;
        let before = windows.before.rate(vector).packets;
        if let Some(level) = self.jumped.get(&vector)
            && (now < 0.5 * normal.threshold || now < BACK * level)
        {
            self.jumped.remove(&vector);
        }
        if windows.before.seconds >= 0.5 && now >= normal.threshold && now >= JUMP * before {
            self.jumped.entry(vector).or_insert(before);
        }
        self.jumped.contains_key(&vector)
    }

    fn unfreeze(&mut self, elapsed: Duration) -> Vec<News> {
        let mut news = Vec::new();
        for ((vector, place), watched) in &mut self.of {
            let is_unfrozen = watched.track.is_unfrozen(elapsed);
            if is_unfrozen && !watched.told_unfrozen {
                let target = place.target();
                news.push(News::Notice(format!(
                    "{} at {target} was not calm for 24 hours without interruption: its baseline \
                     learns again, for this may be what is usual now",
                    vector.text()
                )));
            }
            watched.told_unfrozen = is_unfrozen;
        }
        news
    }

    fn learn(
        &mut self,
        moment: &Moment<'_>,
        windows: &Windows,
        profile: &Profile,
        baselines: &mut Baselines,
    ) {
        let since = *self.lesson.get_or_insert(moment.elapsed);
        let passed = moment.elapsed.saturating_sub(since);
        if passed < LESSON {
            return;
        }
        self.lesson = Some(moment.elapsed);
        // A gap in the readings teaches no more than a second does.
        let seconds = passed.as_secs_f64().min(10.0);
        for vector in Vector::ALL {
            let rate = windows.steady.rate(vector).packets;
            let is_young = baselines.is_young(vector);
            let may_learn = |place: &Place| {
                let watched = self.of.get(&(vector, *place));
                watched.is_none_or(|Watched { track, .. }| {
                    track.may_learn(moment.elapsed)
                        || is_young && track.may_be_usual(moment.elapsed)
                })
            };
            let places = self.of.keys().filter(|(of, _)| *of == vector);
            if !places.map(|(_, place)| place).all(may_learn) {
                continue;
            }
            let (now, config) = (moment.now, moment.config);
            baselines.learn((vector, &Target::Host), rate, seconds, now, config);
            if !matches!(
                vector,
                Vector::Syn | Vector::Ack | Vector::Close | Vector::Udp
            ) {
                continue;
            }
            let services = profile.seen(vector).map(|seen| seen.services());
            for ((protocol, port), share) in services.unwrap_or_default() {
                if share.share >= NOTABLE && share.least > 0.0 {
                    let target = Target::Service { protocol, port };
                    let rate = rate * share.share;
                    baselines.learn((vector, &target), rate, seconds, now, config);
                }
            }
        }
    }

    /// Whether a vector is calm wherever it is watched.
    pub fn is_calm(&self, vector: Vector) -> bool {
        let mut all = self.of.iter();
        all.all(|((of, _), watched)| *of != vector || watched.track.phase == Phase::Calm)
    }

    /// What is not calm, under attack first, the strongest first. What is aimed at one target twice
    /// is told once.
    pub fn restless(&self) -> Vec<(Vector, &Target, &Watched)> {
        let mut all: Vec<_> = self
            .of
            .iter()
            .filter(|(_, watched)| watched.track.phase != Phase::Calm)
            .filter_map(|((vector, _), watched)| {
                watched
                    .target
                    .as_ref()
                    .map(|target| (*vector, target, watched))
            })
            .collect();
        let order = |phase: Phase| match phase {
            Phase::Attack => 0,
            Phase::Suspected => 1,
            Phase::Recovering => 2,
            Phase::Calm => 3,
        };
        all.sort_by(|a, b| {
            order(a.2.track.phase)
                .cmp(&order(b.2.track.phase))
                .then(b.2.rate.packets.total_cmp(&a.2.rate.packets))
        });
        let mut told = std::collections::BTreeSet::new();
        all.retain(|(vector, target, _)| told.insert((*vector, (*target).clone())));
        all
    }

    /// What decision is told.
    pub fn threats(&self, profile: &Profile, now: Duration) -> Vec<Threat> {
        let restless = self.restless().into_iter();
        // All places of a vector have the same senders.
        let mut senders: BTreeMap<Vector, Vec<Heavy>> = BTreeMap::new();
        restless
            .map(|(vector, target, watched)| {
                let heavy = senders.entry(vector).or_insert_with(|| {
                    let seen = profile.seen(vector);
                    seen.map(|seen| heavy(seen, now)).unwrap_or_default()
                });
                Threat {
                    vector,
                    target: target.clone(),
                    phase: watched.track.phase,
                    rate: watched.rate.packets,
                    passed: watched.rate.passed,
                    usual: watched
                        .normal
                        .and_then(|normal| normal.usual)
                        .unwrap_or(0.0),
                    threshold: watched.normal.map_or(0.0, |normal| normal.threshold),
                    spoofed: watched.evidence.spoofed,
                    heavy: heavy.clone(),
                    evidence: watched.words(vector),
                }
            })
            .collect()
    }

    /// How many are watched.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether handshakes were ever counted.
    pub const fn counts_handshakes(&self) -> bool {
        self.counts_handshakes
    }
}

/// What is usual, where much belongs to nothing of this host. That is unusual from the floor on,
/// however many packets connections bring: a backup at line speed hides no flood.
fn strict(normal: Normal, vector: Vector, config: &Detection, brisk: &Window) -> Normal {
    let floor = floor_of(vector, config);
    let of = |class| brisk.fates.alien.get(class as usize).copied();
    let aliens = vector.class().and_then(of).unwrap_or(0.0);
    if brisk.per_second(aliens) < floor {
        return normal;
    }
    Normal {
        threshold: normal.threshold.min(floor),
        ..normal
    }
}

/// Whether handshakes rose above what is usual by at least half the factor by which a vector did.
fn accompanied(
    vector: Vector,
    moment: &Moment<'_>,
    windows: &Windows,
    normal: &Normal,
    baselines: &Baselines,
) -> bool {
    let handshakes = baselines.normal(
        Vector::Connections,
        &Target::Host,
        moment.now,
        moment.config,
    );
    let (Some(usual), Some(handshakes)) = (normal.usual, handshakes.usual) else {
        return false;
    };
    // A handshake is counted a round trip after its SYN.
    let completed = windows
        .steady
        .per_second(windows.steady.handshakes)
        .max(windows.brisk.per_second(windows.brisk.handshakes));
    rose_alike(
        (windows.brisk.rate(vector).packets, usual),
        (completed, handshakes),
    )
}

/// Whether handshakes rose as packets did, each a second as it is now and as it usually is. Not
/// where there usually is less than one for a thousand packets: those that happen by come from elsewhere.
fn rose_alike((packets, usual): (f64, f64), (completed, handshakes): (f64, f64)) -> bool {
    const AS_MUCH: f64 = 0.5;
    const COMPANY: f64 = 0.001;
    let rose = packets / usual.max(1.0);
    handshakes >= COMPANY * usual && completed >= AS_MUCH * rose * handshakes.max(1.0)
}

/// The share of data that belongs to the port where most handshakes are completed, as far as is
/// observed; all of it elsewhere.
fn talk(vector: Vector, rates: &Rates, steady: &Window, profile: &Profile) -> f64 {
    let Some(Target::Service { protocol, port }) = busiest(rates, steady) else {
        return 1.0;
    };
    let seen = profile.seen(Vector::Ack).map(|seen| seen.services());
    match (vector, seen) {
        (Vector::Connections, Some(services)) if !services.is_empty() => services
            .get(&(protocol, port))
            .map_or(0.0, |share| share.share),
        _ => 1.0,
    }
}

/// The TCP port that most handshakes are completed at, if most are.
fn busiest(rates: &Rates, steady: &Window) -> Option<Target> {
    let all = steady.per_second(steady.handshakes);
    let (port, rate) = *rates.ports().first()?;
    (rate >= 0.6 * all).then_some(Target::Service { protocol: 6, port })
}

#[cfg(test)]
mod tests;
