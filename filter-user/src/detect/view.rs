//! What the controller sees at the moment, for `status`, `top` and metrics; and what it keeps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    baseline::Baselines,
    fingerprint::{Stored, understood},
    output::{Action, HitReport, SourceReport, VectorReport},
};

/// What the controller sees at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// When it looked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Packets and bits a second by class of traffic, in the order of
    /// [`TrafficClass::ALL`](filter_common::abi::traffic::TrafficClass::ALL).
    pub rates: Vec<ClassRate>,
    /// Vectors that are not calm.
    pub vectors: Vec<VectorReport>,
    /// What each of them brings at the moment, packets a second, in the same order.
    #[serde(default)]
    pub vectors_now: Vec<f64>,
    /// Sources that send most now, most first: packets a second.
    pub sources: Vec<SourceReport>,
    /// What was done of late, newest first.
    pub actions: Vec<Action>,
    /// Number of the incident that is open, if one is.
    pub incident: Option<u64>,
    /// What gives out first, if anything does: link, card, CPU, stack or application.
    pub bottleneck: Option<String>,
    /// Packets of proven sources that are dropped, a second: who is hit that should not be.
    pub good_dropped: f64,
    /// Who proved an address and was stopped within the last ten minutes, or would have been, most
    /// first.
    #[serde(default)]
    pub hit: Vec<HitReport>,
    /// The last ten minutes by the second, oldest first.
    pub history: Vec<Total>,
}

/// What came in a second, all classes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    /// Packets a second.
    pub packets: f64,
    /// Of these, those that were stopped.
    pub stopped: f64,
    /// Bits a second.
    pub bits: f64,
}

/// What comes in of a class of traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassRate {
    /// Name of the class, as its vector's.
    pub class: String,
    /// Packets a second.
    pub packets: f64,
    /// Bits a second.
    pub bits: f64,
    /// What is usual, packets a second; `None` while nothing was learned.
    pub usual: Option<f64>,
}

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Number of the next incident.
    pub next_incident: u64,
    /// What is usual.
    #[serde(default)]
    pub baselines: Baselines,
    /// Fingerprints that are or were in force.
    #[serde(default, deserialize_with = "understood")]
    pub fingerprints: Vec<Stored>,
}
