//! Lists, rules, limits, services and defences, and why a packet would meet what.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::*;

/// `GET /v1/block`, `GET /v1/allow`, `GET /v1/ban`: a page of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntryPage {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The imported lists; on the first page only.
    pub lists: Vec<ListStatus>,
    /// The entries, by list name and prefix.
    pub entries: Vec<Entry>,
    /// Pass this as `cursor` to get what follows; null at the end.
    pub next: Option<String>,
    /// Entries in all.
    pub total: u64,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// The prefix, masked.
    #[schema(value_type = String, example = "192.0.2.0/24")]
    pub prefix: IpNet,
    /// What it is an entry of.
    pub kind: ListKind,
    /// `manual`, or the name it was imported under.
    pub list: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Packets that met it; null for members of imported lists.
    pub packets: Option<u64>,
}

/// `GET /v1/rules`: every rule, in the order in which packets meet them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rules {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The rules: those of the file, then those added at run time.
    pub rules: Vec<RuleStatus>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleStatus {
    /// `file:1` for the first of the file; a number for one that was added.
    pub id: String,
    /// The rule in its one canonical spelling.
    pub expression: String,
    /// What it does.
    pub state: RuleState,
    /// Packets that it decided, or would have decided in shadow; of a limit, those above it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Who added it: `file`, `uid 0 (root)`.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when; null for the file's.
    pub since: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleState {
    /// What it says.
    Enforced,
    /// It counts what it would do, for it says `shadow`.
    Shadow,
    /// It counts what it would do, for the mode does not enforce rules.
    Watched,
}

/// `GET /v1/limits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Packets a second on one CPU above which the limits marked `pressure` bite.
    pub pressure: String,
    /// Those of sources, of prefixes, of connections, of fragments, of services.
    pub limits: Vec<LimitStatus>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitStatus {
    /// As `source.syn`, `prefix.bytes`, `fragments`, `icmp.errors`, `protocols`, `service.web`,
    /// `service.web.bytes`.
    pub name: String,
    /// As `200/s burst 200`, `100MB/s`, or `off`.
    pub rate: String,
    /// `pressure`: only under pressure; `always`; `defence`: while the defence of its name is on;
    /// `off`.
    pub holds: String,
    /// `default`, `file`, or who set it.
    pub by: String,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Set while the controller lowers it: `rate` is then the controller's.
    #[serde(default)]
    pub held: Option<HeldStatus>,
}

/// What the controller holds until it lets go, or an operator ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldStatus {
    /// Since when.
    pub since: Timestamp,
    /// Until when, if it is not held on.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// `GET /v1/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// [`SCHEMA`].
    pub schema: u32,
    /// In the order in which packets meet them.
    pub services: Vec<ServiceStatus>,
}

/// One protected service. Counters begin when the daemon starts, or takes the service up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    #[schema(value_type = Vec<String>, example = json!(["203.0.113.10/32"]))]
    pub to: Vec<IpNet>,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or a number.
    pub protocol: String,
    /// Its port; null for all.
    pub port: Option<u16>,
    /// Ceiling in packets, or `off`.
    pub packets: String,
    /// Ceiling in bytes, or `off`.
    pub bytes: String,
    /// Whether it is sent more than its ceiling.
    pub overloaded: bool,
    /// While it is: packets a second that one source may send.
    pub fair_share: Option<u64>,
    /// Packets within the ceiling.
    pub passed: u64,
    /// Packets above it, of newcomers.
    pub dropped_new: u64,
    /// Packets above it, of sources above the fair share.
    pub dropped_heavy: u64,
    /// Packets above it, of all others.
    pub dropped_known: u64,
}

/// `GET /v1/defences`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Defences {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Packets a second on one CPU above which the defences in mode `pressure` hold.
    pub pressure: String,
    /// Each.
    pub defences: Vec<DefenceStatus>,
}

/// One defence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DefenceStatus {
    /// `cookies`, `sockets`, `closed_ports`, `solicited`, `connections`, `icmp`, `protocols`.
    pub name: String,
    /// When it holds: `off`, `pressure`, `on`; of cookies, `auto`: when the controller says so.
    pub mode: String,
    /// How it fares at the moment.
    pub state: DefenceState,
    /// `default`, `file`, or who set it.
    pub by: String,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Set while the controller holds it.
    #[serde(default)]
    pub held: Option<HeldStatus>,
    /// Packets that it dropped since the maps were made.
    pub dropped: u64,
    /// SYNs that it answered.
    pub answered: u64,
    /// Handshakes whose cookie was valid.
    pub accepted: u64,
    /// Packets that it would have dropped or answered, were its reasons enforced.
    pub would_drop: u64,
    /// Of cookies: the ports that are defended at the moment.
    pub ports: Vec<u16>,
    /// What is left out and why, and what hinders it: a sentence each.
    pub notes: Vec<String>,
}

/// How a defence fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefenceState {
    /// It is off.
    Off,
    /// No CPU is under pressure, the controller does not hold it, or it is not ready yet.
    Waiting,
    /// It holds, on one CPU at least.
    Holding,
    /// It cannot hold here, or not now; the notes say why.
    Unable,
}

/// `GET /v1/why`: what would happen to a packet, and because of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The source.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// What would happen now.
    pub action: Action,
    /// Name of the reason.
    pub reason: String,
    /// Whether the reason is enforced; if not, a packet it would drop passes.
    pub enforced: bool,
    /// In one sentence.
    pub sentence: String,
    /// The entries that cover the source, those that decide first.
    pub entries: Vec<Entry>,
    /// Rules that match it, or would if it had something that was not asked about: a sentence each,
    /// in order.
    #[serde(default)]
    pub rules: Vec<String>,
    /// What the limits say of the source: a sentence each.
    pub limits: Vec<String>,
    /// What is known of the source, and which defences would look at the packet: a sentence each.
    #[serde(default)]
    pub defences: Vec<String>,
}

/// What a reload would change, and whom it would hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The keys that differ.
    pub changes: Vec<KeyChange>,
    /// A key that takes a restart, so that a reload would be refused.
    pub restart: Option<String>,
    /// Packets of the last hour that passed and were looked at again.
    pub samples: u64,
    /// Of those, the ones that would not pass any more, by source and cause; most first.
    pub hits: Vec<ConfigHit>,
}

/// A key of the configuration that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyChange {
    /// Its whole name.
    pub name: String,
    /// What it was; null if it was not there.
    pub before: Option<String>,
    /// What it is; null if it is not there.
    pub after: Option<String>,
}

/// A source that a configuration would hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigHit {
    /// From where.
    #[schema(value_type = String)]
    pub source: IpAddr,
    /// How many of the sampled packets.
    pub packets: u64,
    /// By what.
    pub cause: String,
}
