//! The configuration file: which keys there are, what they may say, and what holds without them.

mod defences;
mod detection;
mod incidents;
mod lifelines;
mod limits;
mod protocols;
mod services;

use std::{
    fmt::Write,
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use filter_common::{
    abi::settings::{CLASSES, Class, FragmentPolicy},
    logic::sanity::SWITCHABLE,
};
use ipnet::IpNet;
use toml::de::DeTable;

pub use self::lifelines::MOST_LIFELINES;
use self::{
    defences::DEFENCES,
    incidents::{INCIDENTS, METRICS, WEBHOOK},
    limits::{FRAGMENTS, LIMITS},
};
use super::{
    Access, AttachPreference, ClassLimit, Config, Control, Fragments, IcmpLimits, Limits, Paths,
    PrefixLimits, Samples, Tables,
    defence::Defences,
    detection::Detection,
    incidents::{Incidents, Metrics, Webhook},
    limit::LimitRate,
    protocols::Protocols,
    schema::{Key, Node, Problem, Reader, join},
    text::{is_hidden, quote},
    units::{Rate, RateError, parse_limit, parse_prefix},
};
use crate::{api::types::Mode, stats::reasons};

/// Most bytes of a configuration file.
const MOST_BYTES: u64 = 1 << 20;
/// Most bytes of a socket's path: `sun_path` holds 108 with the zero at its end (unix(7)).
const MOST_SOCKET_PATH: usize = 107;
/// Most entries of a table.
const MOST_ENTRIES: u32 = 1 << 24;
/// Each prefix can cut the space of /64s in two places, and a tree has room for four million cuts.
const MOST_LISTED_V6: u32 = 1 << 21;
/// Fewest sources: below, sets collide all the time.
const FEWEST_SOURCES: u32 = 1 << 10;
/// Bytes of an interface's name: `IFNAMSIZ` less the zero at its end.
const MOST_INTERFACE_NAME: usize = 15;
const MOST_GROUP_NAME: usize = 32;
/// Instead of names: the interfaces that default routes go through.
pub const DEFAULT_ROUTE: &str = "default-route";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; {}", .path.display(), remedy(.path, .source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says what it may not.
    #[error("{}", listed(.path, .problems))]
    Content {
        /// The file.
        path: PathBuf,
        /// All of it, by place; at least one.
        problems: Vec<Problem>,
    },
}

fn remedy(path: &Path, error: &io::Error) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        "give the right path with --config, or create the file: an empty one means defaults"
            .to_owned()
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "run as root, or make it readable: chmod a+r {}",
            path.display()
        )
    } else {
        "give a readable TOML file with --config".to_owned()
    }
}

/// `path:line:column: message`, a line each.
fn listed(path: &Path, problems: &[Problem]) -> String {
    let mut text = String::new();
    for (
        index,
        Problem {
            line,
            column,
            message,
        },
    ) in problems.iter().enumerate()
    {
        let end = if index == 0 { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{end}{}:{line}:{column}: {message}", path.display());
    }
    text
}

impl Default for Config {
    fn default() -> Self {
        let limit = |packets| ClassLimit {
            rate: Some(LimitRate::Packets(Rate::per_second(packets))),
            by_hand: false,
        };
        Self {
            interfaces: Vec::new(),
            default_route: false,
            mode: Mode::Monitor,
            attach: AttachPreference::Auto,
            paths: Paths {
                socket: "/run/floodwall/control.sock".into(),
                state: "/var/lib/floodwall".into(),
                bpf: "/sys/fs/bpf/floodwall".into(),
                cgroup: None,
            },
            lifeline: None,
            unchecked: Vec::new(),
            limits: Limits {
                pressure: Some(Rate::per_second(20_000)),
                source: Class::ALL.map(|class| match class {
                    Class::All => limit(50_000),
                    Class::Syn => limit(200),
                    Class::Udp => limit(20_000),
                    Class::Icmp => limit(50),
                    Class::Bytes => ClassLimit::default(),
                }),
                prefix: PrefixLimits {
                    classes: [ClassLimit::default(); CLASSES],
                    ipv4: 24,
                    ipv6: 48,
                },
                icmp: IcmpLimits {
                    errors: Some(Rate::per_second(1_000)),
                    echo: Some(Rate::per_second(1_000)),
                },
                protocols: Some(Rate::per_second(20_000)),
                connections: [
                    ClassLimit {
                        rate: Some(LimitRate::Packets(Rate {
                            packets: 100,
                            burst: 1_000,
                        })),
                        by_hand: false,
                    },
                    // Behind one prefix there may be a whole carrier.
                    ClassLimit::default(),
                ],
            },
            services: Vec::new(),
            fragments: Fragments {
                unknown: FragmentPolicy::Limit,
                limit: Some(Rate::per_second(20_000)),
            },
            protocols: Protocols::default(),
            defences: Defences::default(),
            detection: Detection::default(),
            incidents: Incidents::default(),
            webhook: Webhook::default(),
            metrics: Metrics::default(),
            tables: Tables {
                block: 131_072,
                allow: 16_384,
                bans: 262_144,
                lists_v4: 1 << 20,
                lists_v6: 1 << 18,
                sources: 262_144,
                prefixes: 65_536,
            },
            samples: Samples {
                passed: Some(Rate::per_second(250)),
                dropped: Some(Rate::per_second(500)),
            },
            control: Control {
                discovery: Rate::per_second(1_000),
                membership: Rate::per_second(200),
                dhcp: Rate::per_second(100),
            },
            access: Access {
                read_group: "floodwall".to_owned(),
                admin_group: "floodwall-admin".to_owned(),
            },
            rules: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Self::read(path)?, path)
    }

    /// The text of a file, which need not be good.
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        file.take(MOST_BYTES.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(failed(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {MOST_BYTES} bytes are too many for a configuration"),
            )));
        }
        Ok(text)
    }

    /// What the text of a file means; `path` is for errors. All problems are found, not only the first.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut reader = Reader::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reader.complain(
                &error.span().unwrap_or(0..0),
                format!("not TOML: {}", error.message()),
            );
        }
        if errors.is_empty() {
            reader.table("", document.get_ref(), ROOT, &mut config);
        }
        if reader.is_content()
            && let Err(error) = super::rules::check_with_services(&config.rules, &config.services)
        {
            let services = document.get_ref().get("service");
            let span = services.map_or(0..0, |services| services.span());
            reader.complain(&span, format!("`service`: {error}"));
        }
        let problems = reader.into_problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Content {
                path: path.to_owned(),
                problems,
            })
        }
    }
}

const ROOT: &[Key<Config>] = &[
    Key {
        name: "interfaces",
        read: interfaces,
    },
    Key {
        name: "mode",
        read: |r, config, node| {
            let modes = [("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];
            r.value(node, |node| node.choice(&modes), |mode| config.mode = mode);
        },
    },
    Key {
        name: "attach",
        read: |r, config, node| {
            let choices = [
                ("auto", AttachPreference::Auto),
                ("native", AttachPreference::Native),
                ("generic", AttachPreference::Generic),
            ];
            r.value(
                node,
                |node| node.choice(&choices),
                |attach| config.attach = attach,
            );
        },
    },
    Key {
        name: "paths",
        read: |r, config, node| r.section(node, PATHS, &mut config.paths),
    },
    Key {
        name: "lifeline",
        read: |r, config, node| config.lifeline = Some(lifelines::lifelines(r, node)),
    },
    Key {
        name: "sanity",
        read: sanity,
    },
    Key {
        name: "limits",
        read: |r, config, node| r.section(node, LIMITS, &mut config.limits),
    },
    Key {
        name: "service",
        read: |r, config, node| config.services = services::services(r, node),
    },
    Key {
        name: "fragments",
        read: |r, config, node| r.section(node, FRAGMENTS, &mut config.fragments),
    },
    Key {
        name: "protocols",
        read: |r, config, node| config.protocols = protocols::protocols(r, node),
    },
    Key {
        name: "defences",
        read: |r, config, node| r.section(node, DEFENCES, &mut config.defences),
    },
    Key {
        name: "detection",
        read: detection::detection,
    },
    Key {
        name: "incidents",
        read: |r, config, node| r.section(node, INCIDENTS, &mut config.incidents),
    },
    Key {
        name: "webhook",
        read: |r, config, node| r.section(node, WEBHOOK, &mut config.webhook),
    },
    Key {
        name: "metrics",
        read: |r, config, node| r.section(node, METRICS, &mut config.metrics),
    },
    Key {
        name: "tables",
        read: |r, config, node| r.section(node, TABLES, &mut config.tables),
    },
    Key {
        name: "samples",
        read: |r, config, node| r.section(node, SAMPLES, &mut config.samples),
    },
    Key {
        name: "control",
        read: |r, config, node| r.section(node, CONTROL, &mut config.control),
    },
    Key {
        name: "access",
        read: |r, config, node| r.section(node, ACCESS, &mut config.access),
    },
    Key {
        name: "rules",
        read: |r, config, node| config.rules = super::rules::rules(r, node),
    },
];

const PATHS: &[Key<Paths>] = &[
    Key {
        name: "socket",
        read: |r, paths, node| r.value(node, socket_path, |path| paths.socket = path),
    },
    Key {
        name: "state",
        read: |r, paths, node| r.value(node, absolute_path, |path| paths.state = path),
    },
    Key {
        name: "bpf",
        read: |r, paths, node| r.value(node, absolute_path, |path| paths.bpf = path),
    },
    Key {
        name: "cgroup",
        read: |r, paths, node| {
            let parse = |node: Node<'_>| match node.choice(&[("auto", ())]) {
                Ok(()) => Ok(None),
                Err(_) => absolute_path(node).map(Some),
            };
            r.value(node, parse, |path| paths.cgroup = path);
        },
    },
];

const TABLES: &[Key<Tables>] = &[
    Key {
        name: "block",
        read: |r, tables, node| {
            r.value(
                node,
                |node| node.number(1, MOST_ENTRIES),
                |size| tables.block = size,
            );
        },
    },
    Key {
        name: "allow",
        read: |r, tables, node| {
            r.value(
                node,
                |node| node.number(1, MOST_ENTRIES),
                |size| tables.allow = size,
            );
        },
    },
    Key {
        name: "bans",
        read: |r, tables, node| {
            r.value(
                node,
                |node| node.number(1, MOST_ENTRIES),
                |size| tables.bans = size,
            );
        },
    },
    Key {
        name: "lists_v4",
        read: |r, tables, node| {
            r.value(
                node,
                |node| node.number(1, MOST_ENTRIES),
                |size| tables.lists_v4 = size,
            );
        },
    },
    Key {
        name: "lists_v6",
        read: |r, tables, node| {
            r.value(
                node,
                |node| node.number(1, MOST_LISTED_V6),
                |size| tables.lists_v6 = size,
            );
        },
    },
    Key {
        name: "sources",
        read: |r, tables, node| r.value(node, power_of_two, |size| tables.sources = size),
    },
    Key {
        name: "prefixes",
        read: |r, tables, node| r.value(node, power_of_two, |size| tables.prefixes = size),
    },
];

const SAMPLES: &[Key<Samples>] = &[
    Key {
        name: "passed",
        read: |r, samples, node| r.value(node, budget, |rate| samples.passed = rate),
    },
    Key {
        name: "dropped",
        read: |r, samples, node| r.value(node, budget, |rate| samples.dropped = rate),
    },
];

const CONTROL: &[Key<Control>] = &[
    Key {
        name: "discovery",
        read: |r, control, node| r.value(node, rate, |rate| control.discovery = rate),
    },
    Key {
        name: "membership",
        read: |r, control, node| r.value(node, rate, |rate| control.membership = rate),
    },
    Key {
        name: "dhcp",
        read: |r, control, node| r.value(node, rate, |rate| control.dhcp = rate),
    },
];

const ACCESS: &[Key<Access>] = &[
    Key {
        name: "read_group",
        read: |r, access, node| r.value(node, group, |name| access.read_group = name),
    },
    Key {
        name: "admin_group",
        read: |r, access, node| r.value(node, group, |name| access.admin_group = name),
    },
];

/// Names, or the one word that stands for none. An interface may have that name: in an array.
fn interfaces(reader: &mut Reader<'_>, config: &mut Config, node: Node<'_>) {
    if node.choice(&[(DEFAULT_ROUTE, ())]).is_ok() {
        config.default_route = true;
        return;
    }
    let of = format!("names, as [\"eth0\"], or \"{DEFAULT_ROUTE}\"");
    let mut names: Vec<String> = Vec::new();
    for (name, item) in reader.array(node, &of, |_, item| interface(item)) {
        if names.contains(&name) {
            reader.complain_of(item, &format!("\"{name}\" is named twice: leave one out"));
        } else {
            names.push(name);
        }
    }
    config.interfaces = names;
}

fn interface(node: Node<'_>) -> Result<String, String> {
    let name = node.text("\"eth0\"")?;
    check_interface(name)?;
    Ok(name.to_owned())
}

/// Whether Linux could have an interface of this name (`dev_valid_name`).
pub fn check_interface(name: &str) -> Result<(), String> {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || is_hidden(c);
    if name.is_empty()
        || name.len() > MOST_INTERFACE_NAME
        || matches!(name, "." | "..")
        || name.contains(odd)
    {
        return Err(format!(
            "{} cannot be an interface: a name has 1 to {MOST_INTERFACE_NAME} bytes without `/`, \
             `:` and white space; `ip link` shows those there are",
            quote(name)
        ));
    }
    Ok(())
}

fn absolute_path(node: Node<'_>) -> Result<PathBuf, String> {
    let text = node.text("\"/var/lib/floodwall\"")?;
    let path = PathBuf::from(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || climbs || text.contains(is_hidden) {
        return Err(format!(
            "{} is not allowed: write an absolute path without `..`",
            quote(text)
        ));
    }
    Ok(path)
}

fn socket_path(node: Node<'_>) -> Result<PathBuf, String> {
    let path = absolute_path(node)?;
    let length = path.as_os_str().len();
    if length > MOST_SOCKET_PATH {
        return Err(format!(
            "the path has {length} bytes, a socket's has at most {MOST_SOCKET_PATH}: shorten it"
        ));
    }
    Ok(path)
}

fn sanity(reader: &mut Reader<'_>, config: &mut Config, node: Node<'_>) {
    let Some(table) = node.as_table() else {
        let message = format!("{} is not allowed: write a table [sanity]", node.shown());
        return reader.complain_of(node, &message);
    };
    for (name, value) in table {
        match SWITCHABLE
            .iter()
            .find(|reason| reasons::name(**reason) == name.get_ref().as_ref())
        {
            Some(reason) => {
                let path = join(node.path(), reasons::name(*reason));
                reader.value(
                    node.child(&path, value),
                    |node| node.truth(),
                    |checked| {
                        if !checked {
                            config.unchecked.push(*reason);
                        }
                    },
                );
            }
            None => reader.unknown(node.path(), name, &SWITCHABLE.map(reasons::name)),
        }
    }
    config.unchecked.sort_unstable();
}

fn rate(node: Node<'_>) -> Result<Rate, String> {
    node.text("\"200/s\"")?
        .parse()
        .map_err(|error: RateError| error.to_string())
}

/// A rate, or `off`.
fn budget(node: Node<'_>) -> Result<Option<Rate>, String> {
    parse_limit(node.text("\"200/s\"")?)
}

fn prefixes(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<IpNet> {
    let parse =
        |_: &mut Reader<'_>, item: Node<'_>| parse_prefix(item.text("\"198.51.100.0/24\"")?);
    let parsed = reader.array(node, "prefixes, as [\"198.51.100.0/24\"]", parse);
    parsed.into_iter().map(|(prefix, _)| prefix).collect()
}

fn port(node: Node<'_>) -> Result<u16, String> {
    let port = node.number(1, u32::from(u16::MAX))?;
    u16::try_from(port).map_err(|error| error.to_string())
}

fn power_of_two(node: Node<'_>) -> Result<u32, String> {
    let size = node.number(FEWEST_SOURCES, MOST_ENTRIES)?;
    if size.is_power_of_two() {
        return Ok(size);
    }
    let above = size.next_power_of_two();
    Err(format!(
        "{size} is no power of two: write {} or {above}",
        above / 2
    ))
}

fn group(node: Node<'_>) -> Result<String, String> {
    let name = node.text("\"floodwall\"")?;
    let odd = |c: char| matches!(c, ':' | ',' | '/') || c.is_whitespace() || is_hidden(c);
    if name.is_empty() || name.len() > MOST_GROUP_NAME || name.contains(odd) {
        return Err(format!(
            "{} cannot be a group: a name has 1 to {MOST_GROUP_NAME} bytes without `:`, `,`, `/` \
             and white space; `getent group` shows those there are",
            quote(name)
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
