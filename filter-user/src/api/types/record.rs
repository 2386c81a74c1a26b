//! What happened, and which packets came.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/events`: a page of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// By rising id.
    pub events: Vec<Event>,
    /// Id of the last event there is.
    pub last: i64,
}

/// Something that happened, or that somebody did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rises by one.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `uid 0 (root)`, or `floodwall`.
    pub by: String,
    /// What, as `block.add`, `mode.set`, `interface.attached`.
    pub kind: String,
    /// In one sentence.
    pub text: String,
}

/// `GET /v1/samples`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SamplePage {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// By rising time.
    pub samples: Vec<SampledPacket>,
}

/// One sampled packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SampledPacket {
    /// When, to a tick of the kernel's clock.
    pub at: Timestamp,
    /// Interface it came in by.
    pub interface: String,
    /// Receive queue.
    pub queue: u32,
    /// Name of the reason.
    pub reason: String,
    /// Whether it was dropped.
    pub dropped: bool,
    /// Length of the frame in bytes.
    pub length: u32,
    /// In short: addresses, protocol, ports, flags.
    pub summary: String,
    /// The first 128 bytes of the frame, in hexadecimal.
    pub bytes: String,
}
