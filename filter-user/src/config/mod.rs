//! The configuration: one TOML file, every key optional, unknown keys refused.

pub mod bytes;
pub mod defence;
pub mod detection;
pub mod diff;
pub mod file;
pub mod incidents;
pub mod limit;
pub mod list;
pub mod nearest;
pub mod protocols;
mod rules;
pub mod schema;
pub mod text;
pub mod units;

use std::path::PathBuf;

use filter_common::abi::settings::{CLASSES, FragmentPolicy};
use ipnet::IpNet;

use self::{
    bytes::ByteRate,
    defence::Defences,
    detection::Detection,
    incidents::{Incidents, Metrics, Webhook},
    limit::LimitRate,
    protocols::Protocols,
    units::Rate,
};
use crate::{
    api::types::{ListKind, Mode},
    rules::{Rule, ServiceMatch},
};

/// All of it, with defaults for what the file does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Interfaces to protect; with [`Config::default_route`], those that the daemon found so far.
    pub interfaces: Vec<String>,
    /// Whether they are those that default routes go through, and not named.
    pub default_route: bool,
    /// Watch or drop; `monitor` if not given.
    pub mode: Mode,
    /// How to attach; `auto` if not given.
    pub attach: AttachPreference,
    /// Where things lie.
    pub paths: Paths,
    /// What must never be cut off; `None` if not given: sshd's sessions and new ones at a reserved
    /// rate.
    pub lifeline: Option<Vec<Lifeline>>,
    /// Checks of headers that are switched off.
    pub unchecked: Vec<filter_common::abi::reason::Reason>,
    /// Limits.
    pub limits: Limits,
    /// Protected services. A packet belongs to the first that it matches.
    pub services: Vec<Service>,
    /// What becomes of fragments.
    pub fragments: Fragments,
    /// What becomes of IP protocols that are neither TCP, UDP nor ICMP.
    pub protocols: Protocols,
    /// Defences that do not ask who sent a packet.
    pub defences: Defences,
    /// How far the controller may go.
    pub detection: Detection,
    /// How long what is told of incidents is kept.
    pub incidents: Incidents,
    /// Who is told of incidents.
    pub webhook: Webhook,
    /// Who may read metrics.
    pub metrics: Metrics,
    /// Sizes.
    pub tables: Tables,
    /// Budgets of samples, for each CPU.
    pub samples: Samples,
    /// Ceilings of what always passes, for each CPU.
    pub control: Control,
    /// Who may.
    pub access: Access,
    /// Rules, in order.
    pub rules: Vec<Rule>,
}

/// Native, generic, or native with generic where the driver cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachPreference {
    /// Native, else generic.
    #[default]
    Auto,
    /// Native or not at all.
    Native,
    /// Generic.
    Generic,
}

/// Where things lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The control socket.
    pub socket: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// The folder of pins, in a bpffs.
    pub bpf: PathBuf,
    /// The root of the control groups, version 2; `None`: where it is mounted.
    pub cgroup: Option<PathBuf>,
}

/// What must never be cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct Lifeline {
    /// Source prefixes.
    pub from: Vec<IpNet>,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// Ceiling for each CPU.
    pub ceiling: Rate,
}

/// Limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Packets a second on one CPU above which the default limits bite; `None`: always.
    pub pressure: Option<Rate>,
    /// Per source, by class number.
    pub source: [ClassLimit; CLASSES],
    /// Per prefix.
    pub prefix: PrefixLimits,
    /// Completed handshakes, of one source and of one prefix.
    pub connections: [ClassLimit; 2],
    /// ICMP of all sources together.
    pub icmp: IcmpLimits,
    /// IP protocols that are neither TCP, UDP nor ICMP, of all sources together; `None` is off.
    pub protocols: Option<Rate>,
}

/// Limits of ICMP, which hold while its defence is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IcmpLimits {
    /// Errors that belong to no connection of this host; `None` is off. Those of path MTU discovery
    /// have as much again, of their own.
    pub errors: Option<Rate>,
    /// Echo, and what else is no error; `None` is off.
    pub echo: Option<Rate>,
}

/// Limits per prefix: off if not given, for behind one prefix there may be a whole carrier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrefixLimits {
    /// By class number.
    pub classes: [ClassLimit; CLASSES],
    /// Length of IPv4 prefixes, up to 32.
    pub ipv4: u8,
    /// Length of IPv6 prefixes, up to 64.
    pub ipv6: u8,
}

/// A limit of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassLimit {
    /// The rate; `None` is off.
    pub rate: Option<LimitRate>,
    /// Whether the file gives it: then it holds in calm too.
    pub by_hand: bool,
}

/// A protected service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name, a word.
    pub name: String,
    /// Which packets are its own.
    pub matches: ServiceMatch,
    /// Packets a second of all sources together; `None`: they are only counted.
    pub packets: Option<Rate>,
    /// Bytes a second of all sources together; `None`: no ceiling.
    pub bytes: Option<ByteRate>,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fragments {
    /// Later fragments whose first was not seen.
    pub unknown: FragmentPolicy,
    /// All fragments of all sources; `None` is off.
    pub limit: Option<Rate>,
}

/// Sizes of tables, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Single entries of the blocklist.
    pub block: u32,
    /// Entries of the allowlist, imported lists included.
    pub allow: u32,
    /// Bans.
    pub bans: u32,
    /// IPv4 prefixes of all imported lists of the blocklist.
    pub lists_v4: u32,
    /// IPv6 prefixes likewise.
    pub lists_v6: u32,
    /// Sources with state, while a limit per source is set; a power of two.
    pub sources: u32,
    /// Prefixes with state, while a limit per prefix is set; a power of two.
    pub prefixes: u32,
}

impl Tables {
    /// Room for single entries of a list, and the key that says so.
    pub const fn room(&self, kind: ListKind) -> (u32, &'static str) {
        match kind {
            ListKind::Allow => (self.allow, "allow"),
            ListKind::Block => (self.block, "block"),
            ListKind::Ban => (self.bans, "bans"),
        }
    }

    /// Lines that tell apart whose the members of the big set of IPv4 are, where neighbours are of
    /// several lists. Beyond these, the first list counts for all.
    pub const fn owner_lines(&self) -> u32 {
        self.lists_v4 / 8
    }
}

/// Budgets of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Samples {
    /// Passed packets; `None`: none.
    pub passed: Option<Rate>,
    /// Dropped packets; `None`: none.
    pub dropped: Option<Rate>,
}

/// Ceilings of what always passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// Neighbour and router discovery.
    pub discovery: Rate,
    /// IGMP and MLD.
    pub membership: Rate,
    /// DHCP and DHCPv6.
    pub dhcp: Rate,
}

/// Groups by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// May read.
    pub read_group: String,
    /// May change.
    pub admin_group: String,
}
