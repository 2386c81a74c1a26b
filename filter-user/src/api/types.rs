//! What crosses the control socket, as JSON: `snake_case`, RFC 3339 times in UTC, `"schema": 1`.
//!
//! Both ends use these types: the daemon serialises them, the command line reads them back.

mod incidents;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::incidents::*;
use crate::detect::output::HitReport;

/// Version of this interface.
pub const SCHEMA: u32 = 1;

/// Watch, or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is decided and counted, nothing is dropped.
    Monitor,
    /// What a reason says is done, for the reasons that are enforced.
    Enforce,
}

/// Which list.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// Never blocked, banned or limited as a source.
    Allow,
    /// Dropped.
    Block,
    /// Dropped for a time.
    Ban,
}

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

/// How the program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the stack, behind the driver: slower, and aggregates count as one packet.
    Generic,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of frame.
    pub bytes: u64,
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

/// What a reason asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To the stack.
    Pass,
    /// Away.
    Drop,
    /// Answered in the host's name.
    Answer,
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

/// Query of `GET /v1/block`, `GET /v1/allow`, `GET /v1/ban`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntriesQuery {
    /// Only of this list: `manual`, or the name it was imported under.
    #[serde(default)]
    pub list: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many, 1 to 10,000; 1,000 if not given.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
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

/// `POST /v1/block`, `POST /v1/allow`, `POST /v1/ban`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEntries {
    /// Addresses or prefixes, as typed.
    #[schema(min_items = 1)]
    pub prefixes: Vec<String>,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `POST /v1/block/remove`, `POST /v1/allow/remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveEntries {
    /// Addresses or prefixes, as typed.
    #[schema(min_items = 1)]
    pub prefixes: Vec<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `PUT /v1/block/import`, `PUT /v1/allow/import`; the body is the list as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Name of the list, which is replaced as a whole.
    pub list: String,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Entries added.
    pub added: u64,
    /// Entries that were there and got another end or reason.
    pub updated: u64,
    /// Entries removed.
    pub removed: u64,
    /// Ids of the rules added or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// What was done, a sentence each.
    pub notes: Vec<String>,
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

/// `POST /v1/rules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRule {
    /// The rule, as `drop udp sport 123 length > 400`.
    pub expression: String,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Id of the rule before which it is to stand; behind all others if not given.
    #[serde(default)]
    pub before: Option<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `POST /v1/rules/remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRules {
    /// Their ids.
    pub ids: Vec<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `PUT /v1/mode`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// The mode.
    pub mode: Mode,
    /// With `enforce`: only these reasons; all if empty.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
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

/// `PUT /v1/limits/NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// As `200/s`, `20k/s burst 400`, `off`; of a limit in bytes, `100MB/s`, `1Gbit/s`.
    pub rate: String,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
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

/// `PUT /v1/defences/NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDefence {
    /// `off`, `pressure`, `on`; of cookies, `off`, `auto` or `on`.
    pub mode: String,
    /// Of cookies: only at these TCP ports; all if neither ports nor services are named.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Of cookies: only at the TCP ports of these services.
    #[serde(default)]
    pub services: Vec<String>,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes; kept in the journal.
    #[serde(default)]
    pub reason: String,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `GET /v1/why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// The source.
    #[param(value_type = String)]
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// `tcp`, `udp`, `icmp`, another name as `gre`, or a number; `tcp` if not given.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Destination port; none if not given.
    #[serde(default)]
    pub port: Option<u16>,
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

/// `GET /v1/events`: a page of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// [`SCHEMA`].
    pub schema: u32,
    /// By rising id.
    pub events: Vec<Event>,
    /// Id of the last event there is.
    pub last: i64,
}

/// Query of `GET /v1/events`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events with an id above this; the newest if not given.
    #[serde(default)]
    pub after: Option<i64>,
    /// At most so many, 1 to 10,000; 100 if not given. With `follow`, of those that happened before.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// Go on with what happens, an [`Event`] a line (`application/x-ndjson`), until one side ends it.
    #[serde(default)]
    pub follow: bool,
}

/// `POST /v1/config/diff`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffConfig {
    /// The text of a configuration; what the daemon's file says if none is given.
    #[serde(default)]
    pub text: Option<String>,
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

/// Query of a change that has no body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `POST /v1/undo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UndoQuery {
    /// Say what would be taken back, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `POST /v1/detach`, `POST /v1/interfaces/NAME/detach`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DetachQuery {
    /// How long, as `90s`, `1h`, `7d`; until it is attached again if not given.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
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

/// Query of `GET /v1/samples`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SampleQuery {
    /// Only of this reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// At most so many, the newest.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// `GET /v1/samples`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SamplePage {
    /// [`SCHEMA`].
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

/// What is wrong, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The kind.
    pub error: ErrorKind,
    /// What is wrong, where, and the command that mends it.
    pub message: String,
}

/// Kinds of errors, by what the caller can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// It could not be done. Exit code 1, HTTP 500.
    Failed,
    /// The request makes no sense. Exit code 2, HTTP 400.
    Invalid,
    /// Not there. Exit code 1, HTTP 404.
    NotFound,
    /// Who asked may not. Exit code 4, HTTP 403.
    NotPermitted,
    /// It would do harm, or nothing. Exit code 5, HTTP 409.
    Refused,
}
