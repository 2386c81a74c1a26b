//! From counters to rates.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use filter_common::abi::{
    counter::{self, Counter},
    reason::{Action, Reason},
};
use jiff::Timestamp;

use crate::{
    api::types::{self, Count, Rates, ReasonRate, SCHEMA, Stats, Totals},
    dataplane::Counters,
    stats::reasons,
};

/// Readings of the counters, of which the oldest is about a second old.
#[derive(Debug, Default)]
pub struct Meter {
    readings: VecDeque<(Instant, Box<Counters>)>,
}

/// Readings that are kept: a second's worth, and one.
const READINGS: usize = 11;

impl Meter {
    /// Takes a reading.
    pub fn read(&mut self, at: Instant, counters: Counters) {
        if self.readings.len() >= READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back((at, Box::new(counters)));
    }

    /// The newest reading.
    pub fn newest(&self) -> Option<&Counters> {
        self.readings.back().map(|(_, counters)| &**counters)
    }

    /// Rates over about the last second, and totals.
    pub fn stats(&self, at: Timestamp) -> Stats {
        let (Some((start, old)), Some((end, new))) = (self.readings.front(), self.readings.back())
        else {
            return Stats {
                schema: SCHEMA,
                at,
                seconds: 0.0,
                reasons: BTreeMap::new(),
                rates: Rates::default(),
                totals: Totals::default(),
                lists: Vec::new(),
            };
        };
        let seconds = end.duration_since(*start).as_secs_f64();
        let rate = |new: u64, old: u64| {
            if seconds > 0.0 {
                new.saturating_sub(old) as f64 / seconds
            } else {
                0.0
            }
        };
        let by_reason = Reason::ALL.iter().map(|reason| {
            let (happened, before) = (happened(new, *reason), happened(old, *reason));
            let would = rate(
                observed(new, *reason).packets,
                observed(old, *reason).packets,
            );
            let rates = ReasonRate {
                packets_per_second: rate(happened.packets, before.packets),
                bytes_per_second: rate(happened.bytes, before.bytes),
                would_drop_per_second: would,
                packets: happened.packets,
                bytes: happened.bytes,
            };
            (reasons::name(*reason).to_owned(), rates)
        });
        let (now, before) = (totals(new), totals(old));
        let of = |part: fn(&Totals) -> Count| rate(part(&now).packets, part(&before).packets);
        Stats {
            schema: SCHEMA,
            at,
            seconds,
            reasons: by_reason.collect(),
            rates: Rates {
                received: of(|totals| totals.received),
                passed: of(|totals| totals.passed),
                dropped: of(|totals| totals.dropped),
                answered: of(|totals| totals.answered),
                would_drop: of(|totals| totals.would_drop),
            },
            totals: now,
            lists: Vec::new(),
        }
    }
}

/// The counter of what happened for a reason.
pub fn happened(counters: &Counters, reason: Reason) -> Counter {
    counters
        .get(counter::happened(reason) as usize)
        .copied()
        .unwrap_or_default()
}

/// The counter of what a reason would have dropped.
pub fn observed(counters: &Counters, reason: Reason) -> Counter {
    counters
        .get(counter::observed(reason.code()) as usize)
        .copied()
        .unwrap_or_default()
}

/// Sums over all reasons.
pub fn totals(counters: &Counters) -> Totals {
    let mut totals = Totals::default();
    for reason in Reason::ALL {
        let count = happened(counters, *reason);
        add(&mut totals.received, count);
        match reason.action() {
            Action::Pass => add(&mut totals.passed, count),
            Action::Drop => add(&mut totals.dropped, count),
            Action::Answer => add(&mut totals.answered, count),
        }
        add(&mut totals.would_drop, observed(counters, *reason));
    }
    totals
}

fn add(sum: &mut Count, count: Counter) {
    sum.packets = sum.packets.saturating_add(count.packets);
    sum.bytes = sum.bytes.saturating_add(count.bytes);
}

/// The state of each reason, where `enforced` is the set of those that are.
pub fn reasons(counters: &Counters, enforced: u64) -> BTreeMap<String, types::ReasonStatus> {
    let status = |reason: &Reason| {
        let (happened, observed) = (happened(counters, *reason), observed(counters, *reason));
        let (action, enforced) = match reason.action() {
            Action::Pass => (types::Action::Pass, true),
            Action::Drop => (types::Action::Drop, enforced & reason.bit() != 0),
            Action::Answer => (types::Action::Answer, enforced & reason.bit() != 0),
        };
        let status = types::ReasonStatus {
            packets: happened.packets,
            bytes: happened.bytes,
            action,
            enforced,
            would_drop: Count {
                packets: observed.packets,
                bytes: observed.bytes,
            },
            text: reasons::text(*reason).to_owned(),
        };
        (reasons::name(*reason).to_owned(), status)
    };
    Reason::ALL.iter().map(status).collect()
}
