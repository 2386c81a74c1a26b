//! What `status` and `stats` show.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::*;
use crate::detect::output::HitReport;

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the daemon, or of the command line if no daemon answered.
    pub version: String,
    /// SHA-256 of the eBPF object in it, in hexadecimal digits.
    #[serde(default)]
    pub object: String,
    /// Whether a daemon answered; otherwise this was read from the pinned maps.
    pub daemon: bool,
    /// Since when the daemon runs.
    pub since: Option<Timestamp>,
    /// The mode.
    pub mode: Mode,
    /// Interfaces under protection, and those that should be.
    pub interfaces: Vec<Interface>,
    /// The attack that goes on; null while there is none.
    #[serde(default)]
    pub incident: Option<OpenIncident>,
    /// Sums over all reasons since the maps were made.
    pub totals: Totals,
    /// By name of reason.
    pub reasons: BTreeMap<String, ReasonStatus>,
    /// Who proved an address and was stopped within the last ten minutes, or would have been, most
    /// first.
    #[serde(default)]
    pub hit: Vec<HitReport>,
    /// What differs from the configuration file, and who changed it.
    pub overrides: Vec<Override>,
    /// What the controller holds beside that.
    #[serde(default)]
    pub held: Vec<HeldOverride>,
    /// What waits for confirmation; null if nothing does.
    #[serde(default)]
    pub pending: Option<PendingStatus>,
    /// Protected services, in order.
    #[serde(default)]
    pub services: Vec<ServiceStatus>,
    /// Defences that do not ask who sent a packet.
    #[serde(default)]
    pub defences: Vec<DefenceStatus>,
    /// Entries by table, named as the key under `[tables]` that says their size.
    pub tables: BTreeMap<String, TableStatus>,
    /// Imported lists of the blocklist.
    pub lists: Vec<ListStatus>,
    /// The program in force; null if no daemon answered.
    #[serde(default)]
    pub program: Option<Program>,
    /// Memory of all maps, in bytes.
    pub map_memory: u64,
    /// Each map.
    #[serde(default)]
    pub maps: Vec<MapStatus>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// An attack that goes on, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenIncident {
    /// Number of the incident.
    pub id: u64,
    /// When its first packet came, as far as it can be told.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Its vectors, each with its target: those that go on, or all of them where none does and it
    /// is watched whether they return.
    pub vectors: Vec<String>,
}

/// Changes that are taken back unless somebody confirms them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingStatus {
    /// What was changed, in the journal's words.
    pub changes: Vec<String>,
    /// Who did it last.
    pub by: String,
    /// Since when something waits.
    pub since: Timestamp,
    /// When it is taken back.
    pub until: Timestamp,
    /// Seconds left until then, by the kernel's clock.
    pub seconds_left: u64,
}

/// The program in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Program {
    /// What is compiled in; what is not costs nothing.
    pub features: Vec<String>,
    /// Instructions that the kernel's verifier walked at the load; null if the kernel does not tell.
    pub instructions_verified: Option<u32>,
    /// Instructions that it has; null if the kernel does not tell.
    pub instructions: Option<u32>,
    /// Bytes of machine code.
    pub jited_bytes: u32,
}

/// One map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MapStatus {
    /// Its name.
    pub name: String,
    /// Memory that it takes.
    pub bytes: u64,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// How the program is attached: `native`, `generic`, or null while it is not.
    pub attach: Option<AttachMode>,
    /// The kernel's id of the program.
    pub program_id: Option<u32>,
    /// Why it is not attached.
    pub problem: Option<String>,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// All that came in.
    pub received: Count,
    /// Handed to the stack.
    pub passed: Count,
    /// Dropped.
    pub dropped: Count,
    /// Answered with a SYN cookie.
    #[serde(default)]
    pub answered: Count,
    /// Passed, but would have been dropped or answered if every reason were enforced.
    pub would_drop: Count,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReasonStatus {
    /// Packets that met this fate for this reason.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// `pass` or `drop`.
    pub action: Action,
    /// Whether the action is carried out.
    pub enforced: bool,
    /// Packets that it would have dropped, were it enforced.
    pub would_drop: Count,
    /// The reason in words.
    pub text: String,
}

/// Something that was changed at run time and differs from the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// What: `mode`, `limit.source.syn`, `defence.sockets`, `defence.cookies.443`, `interface.eth0`.
    pub name: String,
    /// To what.
    pub value: String,
    /// What the file says.
    pub file: String,
    /// Who: `uid 0 (root)`.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// Something that the controller holds beside what file and operators say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldOverride {
    /// What: `defence.cookies`, `limit.source.syn`.
    pub name: String,
    /// To what.
    pub value: String,
    /// What holds otherwise.
    pub otherwise: String,
    /// Since when, until when, and why.
    #[serde(flatten)]
    pub held: HeldStatus,
    /// The command by which an operator ends it.
    pub ends: String,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableStatus {
    /// Entries in it.
    pub entries: u64,
    /// Entries it has room for.
    pub capacity: u64,
}

/// An imported list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListStatus {
    /// Its name.
    pub name: String,
    /// Prefixes on it.
    pub members: u64,
    /// What they met since the list was first imported; null for lists of the allowlist. Where
    /// lists overlap, the one that was there first counts.
    pub hits: Option<Count>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// `GET /v1/stats`: rates over the last second, beside the totals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When.
    pub at: Timestamp,
    /// Over how many seconds the rates were taken.
    pub seconds: f64,
    /// By name of reason.
    pub reasons: BTreeMap<String, ReasonRate>,
    /// All together, a second.
    pub rates: Rates,
    /// All together since the maps were made.
    pub totals: Totals,
    /// Imported lists of the blocklist.
    pub lists: Vec<ListStatus>,
}

/// Rate and total of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReasonRate {
    /// Packets a second.
    pub packets_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Packets a second that it would have dropped, were it enforced.
    pub would_drop_per_second: f64,
    /// Packets in all.
    pub packets: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Packets a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rates {
    /// All that came in.
    pub received: f64,
    /// To the stack.
    pub passed: f64,
    /// Away.
    pub dropped: f64,
    /// Answered with a SYN cookie.
    #[serde(default)]
    pub answered: f64,
    /// Passed, but would have been dropped or answered.
    pub would_drop: f64,
}
