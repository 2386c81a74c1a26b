//! What is usual, by vector and service, and from which rate on something is not.
//!
//! Calm seconds are learned ([`Levels`]), overall and, for whole vectors, by the hour of the week;
//! an hour counts once it was seen in two weeks. The threshold lies above both the usual spread
//! (median + 8 deviations) and twice what the busiest 0.5 % of seconds brought, but
//! * never below the floor, which is what makes the first minute sensible: see [`floor`];
//! * never above the bound, which itself grows by at most [`GROWTH`] a day of calm, so that nobody
//!   ramps it up: a December of five times October takes it eight days. In its first day, when
//!   nothing is known, a bound may double every hour.
//! * never above the operator's ceiling.
//!
//! Whoever is not calm learns nothing; see [`Track`](super::machine::Track) for the exception.
//!
//! Memory: [`SERVICES`] services of at most 3 KiB and all vectors of at most 12 KiB.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    levels::Levels,
    vector::{Target, Vector},
};
use crate::config::detection::Detection;

/// By which factor the bound of a threshold may grow in a day of calm.
pub const GROWTH: f64 = 1.25;
/// By which factor it may grow in an hour of its first day.
const GROWTH_AT_FIRST: f64 = 2.0;
/// What counts as the first day, seconds of calm time.
const FIRST: f64 = 86_400.0;
/// By which factor above the floor a bound begins.
const HEADROOM: f64 = 2.0;
/// Baselines of services that are kept at most.
pub const SERVICES: usize = 64;
/// Hours of a week.
const HOURS: usize = 168;
/// In how many weeks an hour must have been seen before it counts.
const WEEKS: u16 = 2;
/// How much of an hour must have been calm for it to be learned, seconds.
const MOST_OF_AN_HOUR: f64 = 1_800.0;
/// Over which time a trend is averaged, seconds of calm.
const TREND: f64 = 86_400.0;
/// The strongest trend that is followed.
const MOST_TREND: f64 = 8.0;
/// Calm time before anything learned is relied on, seconds: as far as a bound lets it, which begins at
/// twice the floor.
const ENOUGH: f64 = 30.0;
/// Calm time until which little is known, seconds.
const YOUNG: f64 = 600.0;

/// The rate, packets a second, below which nothing is an attack unless the operator says otherwise.
/// The kernel begins to defend itself at 20,000 packets a second on a CPU; these are lower where less
/// does harm.
pub const fn floor(vector: Vector) -> f64 {
    match vector {
        // A hundred visitors a second that open six connections each are 600; a small host's stack
        // begins to feel ten times that.
        Vector::Syn => 3_000.0,
        // Answers to this host's own connections: only a busy proxy opens more in a second.
        Vector::SynAck => 2_000.0,
        // Data. Less is spared by the kernel too, and a download of 100 Mbit/s already acknowledges
        // with 4,000.
        Vector::Ack => 20_000.0,
        // Ends of connections come as often as beginnings, from both sides and in bursts.
        Vector::Close => 3_000.0,
        // A newsletter that brings 25 times 20 connections a second; few processes accept more on
        // one core.
        Vector::Connections => 500.0,
        // A call or a game is 50 a second, a video over QUIC some hundred: a hundred users.
        Vector::Udp => 10_000.0,
        // A resolver's and a time client's life are tens.
        Vector::Reflection => 2_000.0,
        // Monitoring is a few; path MTU discovery and unreachables come by the dozen.
        Vector::Icmp => 1_000.0,
        // Large answers of DNS and what goes through narrow tunnels.
        Vector::Fragments => 3_000.0,
        // A tunnel of an office at 100 Mbit/s.
        Vector::Protocols => 10_000.0,
        // Nobody sane sends any.
        Vector::Malformed => 500.0,
    }
}

/// What is usual of something, and what no longer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// The median, packets a second; `None` while nothing was learned.
    pub usual: Option<f64>,
    /// From which rate on it is unusual, packets a second.
    pub threshold: f64,
    /// Above which rate it is an attack whatever is usual, packets a second.
    pub ceiling: Option<f64>,
}

/// The baseline of a vector, or of a vector at a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    levels: Levels,
    /// By hour of the week, once learned.
    hours: BTreeMap<u8, Hour>,
    /// The hour that is being learned.
    hour: Option<(u8, Levels)>,
    /// By which factor the last day was above what its hours of the week let expect.
    trend: Option<f64>,
    /// What thresholds are bounded by, packets a second; 0 before it was ever used.
    bound: f64,
    /// Calm time that was learned, seconds; never fades.
    learned: f64,
}

/// What an hour of the week brought, packets a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    median: f64,
    high: f64,
    weeks: u16,
}

impl Baseline {
    /// Learns a rate of calm time. `weekly` says whether hours of the week are told apart.
    fn learn(&mut self, rate: f64, seconds: f64, hour: u8, weekly: bool, floor: f64) {
        self.levels.add(rate, seconds);
        self.learned += seconds;
        if weekly {
            self.follow(rate, seconds, hour);
            match &mut self.hour {
                Some((current, levels)) if *current == hour => levels.add(rate, seconds),
                Some((current, levels)) => {
                    let done = std::mem::replace(current, hour);
                    let learned = std::mem::take(levels);
                    levels.add(rate, seconds);
                    self.finish(done, &learned);
                }
                None => {
                    let mut levels = Levels::default();
                    levels.add(rate, seconds);
                    self.hour = Some((hour, levels));
                }
            }
        }
        self.grow(seconds, floor);
    }

    /// Follows a season that grows faster than hours are seen again.
    fn follow(&mut self, rate: f64, seconds: f64, hour: u8) {
        let known = self.hours.get(&hour).filter(|known| known.weeks >= WEEKS);
        let Some(known) = known.filter(|known| known.median > 1.0 && rate.is_finite()) else {
            return;
        };
        let part = -(-seconds / TREND).exp_m1();
        let trend = self.trend.unwrap_or(1.0);
        let next = trend + ((rate / known.median).min(MOST_TREND) - trend) * part;
        self.trend = Some(next.clamp(1.0, MOST_TREND));
    }

    fn finish(&mut self, hour: u8, levels: &Levels) {
        if levels.seconds() < MOST_OF_AN_HOUR {
            return;
        }
        let known = self.hours.entry(hour).or_default();
        let blend = |old: f64, new: f64, weeks| if weeks == 0 { new } else { 0.5 * (old + new) };
        known.median = blend(known.median, levels.median(), known.weeks);
        known.high = blend(known.high, levels.quantile(0.995), known.weeks);
        known.weeks = known.weeks.saturating_add(1);
    }

    /// Lets the bound grow towards what was learned, as fast as it may.
    fn grow(&mut self, seconds: f64, floor: f64) {
        let least = floor * HEADROOM;
        let wanted = self.wanted(None);
        let rate = if self.learned < FIRST {
            GROWTH_AT_FIRST.ln() / 3_600.0
        } else {
            GROWTH.ln() / 86_400.0
        };
        let bound = self.bound.max(least);
        self.bound = if wanted > bound {
            wanted.min(bound * (rate * seconds).exp())
        } else {
            bound
        };
    }

    /// The threshold that what was learned asks for.
    fn wanted(&self, hour: Option<&Hour>) -> f64 {
        let trend = self.trend.unwrap_or(1.0);
        let (median, high) = match hour {
            Some(hour) => (hour.median * trend, hour.high * trend),
            None => (self.levels.median(), self.levels.quantile(0.995)),
        };
        (median + 8.0 * self.levels.spread()).max(2.0 * high)
    }

    fn normal(&self, hour: u8, floor: f64, ceiling: Option<f64>) -> Normal {
        let is_known = self.levels.seconds() >= ENOUGH;
        // An hour may begin early: its neighbour's traffic is usual too.
        let next = (hour + 1) % HOURS as u8;
        let known = [hour, next]
            .iter()
            .filter_map(|hour| self.hours.get(hour))
            .filter(|hour| hour.weeks >= WEEKS)
            .max_by(|a, b| a.high.total_cmp(&b.high));
        let usual = known.map_or_else(
            || self.levels.median(),
            |hour| hour.median * self.trend.unwrap_or(1.0),
        );
        let wanted = if is_known { self.wanted(known) } else { 0.0 };
        let bound = self.bound.max(floor * HEADROOM);
        let threshold = wanted.min(bound).max(floor);
        Normal {
            usual: is_known.then_some(usual),
            threshold: ceiling.map_or(threshold, |ceiling| threshold.min(ceiling)),
            ceiling,
        }
    }

    fn sanitize(&mut self) {
        self.levels.sanitize();
        self.hour = self
            .hour
            .take()
            .filter(|(hour, _)| usize::from(*hour) < HOURS);
        if let Some((_, levels)) = &mut self.hour {
            levels.sanitize();
        }
        let sane = |value: f64| value.is_finite() && (0.0..1e12).contains(&value);
        self.trend = self
            .trend
            .filter(|trend| (1.0..=MOST_TREND).contains(trend));
        self.hours.retain(|hour, known| {
            usize::from(*hour) < HOURS && sane(known.median) && sane(known.high)
        });
        for value in [&mut self.bound, &mut self.learned] {
            if !sane(*value) {
                *value = 0.0;
            }
        }
    }
}

/// All baselines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Baselines {
    of: BTreeMap<(Vector, Target), Baseline>,
}

/// A baseline as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    vector: Vector,
    target: Target,
    baseline: Baseline,
}

impl From<Vec<Entry>> for Baselines {
    fn from(entries: Vec<Entry>) -> Self {
        let mut all = Self::default();
        for mut entry in entries {
            entry.baseline.sanitize();
            all.of.insert((entry.vector, entry.target), entry.baseline);
        }
        all.bound();
        all
    }
}

impl From<Baselines> for Vec<Entry> {
    fn from(baselines: Baselines) -> Self {
        let entries = baselines.of.into_iter();
        entries
            .map(|((vector, target), baseline)| Entry {
                vector,
                target,
                baseline,
            })
            .collect()
    }
}

impl Baselines {
    /// Learns a rate, packets a second, that held for so many seconds of calm.
    pub fn learn(
        &mut self,
        (vector, target): (Vector, &Target),
        rate: f64,
        seconds: f64,
        now: Timestamp,
        config: &Detection,
    ) {
        let floor = floor_of(vector, config);
        let weekly = matches!(target, Target::Host);
        self.of.entry((vector, target.clone())).or_default().learn(
            rate,
            seconds,
            hour_of_week(now),
            weekly,
            floor,
        );
        self.bound();
    }

    /// What is usual of a vector at a target.
    pub fn normal(
        &self,
        vector: Vector,
        target: &Target,
        now: Timestamp,
        config: &Detection,
    ) -> Normal {
        let floor = floor_of(vector, config);
        let ceiling = config.ceiling.get(&vector).copied();
        match self.of.get(&(vector, target.clone())) {
            Some(baseline) => baseline.normal(hour_of_week(now), floor, ceiling),
            None => Baseline::default().normal(0, floor, ceiling),
        }
    }

    /// Whether little is known yet of what is usual of a vector.
    pub fn is_young(&self, vector: Vector) -> bool {
        let known = self.of.get(&(vector, Target::Host));
        known.is_none_or(|baseline| baseline.learned < YOUNG)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Throws out services that bring least, until there is room.
    fn bound(&mut self) {
        if self.of.len() <= SERVICES {
            return;
        }
        self.of
            .retain(|(_, target), _| !matches!(target, Target::Prefix { .. }));
        let is_service = |target: &Target| matches!(target, Target::Service { .. });
        while self
            .of
            .keys()
            .filter(|(_, target)| is_service(target))
            .count()
            > SERVICES
        {
            let least = self
                .of
                .iter()
                .filter(|((_, target), _)| is_service(target))
                .min_by(|a, b| a.1.levels.median().total_cmp(&b.1.levels.median()))
                .map(|(key, _)| key.clone());
            let Some(least) = least else { break };
            self.of.remove(&least);
        }
    }
}

/// The floor that holds: the operator's, or the default.
pub fn floor_of(vector: Vector, config: &Detection) -> f64 {
    let by_hand = config.floor.get(&vector).copied();
    by_hand.unwrap_or_else(|| floor(vector)).max(1.0)
}

/// The hour of the week in UTC, from Monday midnight on.
fn hour_of_week(now: Timestamp) -> u8 {
    let now = now.to_zoned(TimeZone::UTC);
    let day = now.weekday().since(Weekday::Monday).unsigned_abs();
    day * 24 + now.hour().unsigned_abs()
}

#[cfg(test)]
mod tests;
