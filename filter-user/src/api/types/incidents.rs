//! Incidents, and seconds.

use std::collections::BTreeMap;

use filter_common::abi::{counter::Counter, traffic::TrafficClass};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Count, Event, SCHEMA};
use crate::{
    detect::{Vector, output::Report},
    store::archive::{Found, seconds::Second},
};

/// `GET /v1/incidents`: a page, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentPage {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Newest first.
    pub incidents: Vec<IncidentSummary>,
    /// `before` of the next page; null if this is the last.
    pub next: Option<u64>,
    /// How many there are in all.
    pub total: u64,
    /// Numbers on this page whose report was damaged, or written by another version.
    pub damaged: Vec<u64>,
}

/// An incident in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentSummary {
    /// Its number.
    pub id: u64,
    /// When its first packet came, as far as it can be told.
    pub first: Timestamp,
    /// When it ended; null while it is open.
    pub end: Option<Timestamp>,
    /// Its vectors, by name.
    pub vectors: Vec<String>,
    /// What they are aimed at: `tcp/443`, `this host`, a prefix.
    pub targets: Vec<String>,
    /// Its strongest second, packets a second.
    pub peak_packets: f64,
    /// Its strongest second, bits a second.
    pub peak_bits: f64,
    /// Packets that were stopped.
    pub stopped: u64,
    /// Packets above what is usual that went to the stack.
    pub passed: u64,
    /// Packets of known good sources that were stopped.
    pub good_stopped: u64,
}

impl From<&Report> for IncidentSummary {
    fn from(report: &Report) -> Self {
        let (mut vectors, mut targets) = (Vec::new(), Vec::new());
        for vector in &report.vectors {
            let (name, target) = (vector.vector.name().to_owned(), vector.target.to_string());
            if !vectors.contains(&name) {
                vectors.push(name);
            }
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let most = |of: fn(&crate::detect::output::VectorReport) -> f64| {
            report.vectors.iter().map(of).fold(0.0, f64::max)
        };
        Self {
            id: report.id,
            first: report.first,
            end: report.end,
            vectors,
            targets,
            peak_packets: most(|vector| vector.peak_packets),
            peak_bits: most(|vector| vector.peak_bits),
            stopped: report.stopped,
            passed: report.passed,
            good_stopped: report.good_stopped,
        }
    }
}

/// Query of `GET /v1/incidents`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct IncidentsQuery {
    /// Only incidents with a number below this, as `next` of a page; the newest if not given.
    #[serde(default)]
    #[param(format = "uint64")]
    pub before: Option<u64>,
    /// At most so many, 1 to 200; 50 if not given.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
}

/// `GET /v1/incidents/ID`: the whole story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentDetail {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What is known of it.
    pub incident: Report,
    /// What operators and floodwall itself did meanwhile, beside the controller; the last 200 at most.
    pub events: Vec<Event>,
    /// Its seconds, from a minute before it to a minute behind it.
    pub seconds: Vec<SecondStatus>,
    /// `from` of `GET /v1/history` for the rest of its seconds; null if these are all.
    pub next: Option<Timestamp>,
    /// Blocks of up to a minute that were damaged.
    pub damaged: u64,
}

/// Query of `GET /v1/history`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// From when on; ten minutes before the end if not given.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when; now if not given.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// At most so many seconds, 1 to 10,000; 3,600 if not given.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
}

/// `GET /v1/history`: second by second. The last minute may not be written yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// [`SCHEMA`].
    pub schema: u32,
    /// By rising time. Where some are missing, the daemon did not run.
    pub seconds: Vec<SecondStatus>,
    /// `from` of the next page; null if this is the last.
    pub next: Option<Timestamp>,
    /// Blocks of up to a minute that were damaged.
    pub damaged: u64,
}

/// What came in within a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecondStatus {
    /// Its end.
    pub at: Timestamp,
    /// All of it.
    pub received: Count,
    /// What went to the stack.
    pub passed: Count,
    /// What was dropped, or answered by the filter itself.
    pub stopped: Count,
    /// What would have been, were all reasons enforced.
    pub would_stop: Count,
    /// What came in by class of traffic; classes without any are left out.
    pub classes: BTreeMap<String, Count>,
}

impl HistoryPage {
    /// What was found, as it is shown.
    pub fn of(found: &Found) -> Self {
        Self {
            schema: SCHEMA,
            seconds: found.seconds.iter().filter_map(second).collect(),
            next: found.next.and_then(|at| Timestamp::from_second(at).ok()),
            damaged: found.damaged,
        }
    }
}

fn second(second: &Second) -> Option<SecondStatus> {
    let classes = TrafficClass::ALL.into_iter().zip(second.classes);
    Some(SecondStatus {
        at: Timestamp::from_second(second.at).ok()?,
        received: count(second.received),
        passed: count(second.passed),
        stopped: count(second.stopped),
        would_stop: count(second.would_stop),
        classes: classes
            .filter(|(_, counter)| counter.packets > 0)
            .map(|(class, counter)| {
                let name = Vector::of(class).map_or("other", Vector::name);
                (name.to_owned(), count(counter))
            })
            .collect(),
    })
}

const fn count(counter: Counter) -> Count {
    Count {
        packets: counter.packets,
        bytes: counter.bytes,
    }
}

/// `GET /v1/view`: what the controller sees at the moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ViewStatus {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What it sees.
    #[serde(flatten)]
    pub view: crate::detect::View,
}
