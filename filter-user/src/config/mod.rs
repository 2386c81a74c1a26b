//! The configuration: one TOML file, every key optional, unknown keys refused.

pub mod file;
pub mod list;
pub mod nearest;
mod rules;
pub mod schema;
pub mod text;
pub mod units;

use std::path::PathBuf;

use ipnet::IpNet;

use crate::{
    api::types::{ListKind, Mode},
    config::units::Rate,
    rules::Rule,
};

/// All of it, with defaults for what the file does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Interfaces to protect.
    pub interfaces: Vec<String>,
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
    pub source: [SourceLimit; filter_common::abi::settings::CLASSES],
}

/// A limit per source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceLimit {
    /// The rate; `None` is off.
    pub rate: Option<Rate>,
    /// Whether the file gives it: then it holds in calm too.
    pub by_hand: bool,
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
    /// Sources with state; a power of two.
    pub sources: u32,
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
    /// Passed packets.
    pub passed: Rate,
    /// Dropped packets.
    pub dropped: Rate,
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
