//! Limits by name, and what each of them counts.

use std::{fmt, str::FromStr};

use filter_common::abi::settings::Class;

use super::{
    bytes::ByteRate,
    nearest::suggestion,
    text::{quote, service_name},
    units::{Rate, parse_limit},
};

/// What is limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitName {
    /// A class of what one source sends: `source.syn`.
    Source(Class),
    /// A class of what one prefix sends: `prefix.syn`.
    Prefix(Class),
    /// Handshakes that one source, or one prefix, completes: `source.connections`.
    Connections(Sender),
    /// All fragments: `fragments`.
    Fragments,
    /// ICMP errors that belong to no connection of this host: `icmp.errors`.
    IcmpErrors,
    /// Echo, and other ICMP that is no error: `icmp.echo`.
    IcmpEcho,
    /// IP protocols that are neither TCP, UDP nor ICMP: `protocols`.
    Protocols,
    /// What a protected service gets: `service.web` in packets, `service.web.bytes` in bytes.
    Service(String, Measure),
}

/// Who is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// One source.
    Source = 0,
    /// One prefix.
    Prefix = 1,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Packets, or connections.
    Packets,
    /// Bytes of frame.
    Bytes,
}

/// How much may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitRate {
    /// In packets.
    Packets(Rate),
    /// In bytes.
    Bytes(ByteRate),
}

/// The name of a class in a configuration.
pub const fn class_name(class: Class) -> &'static str {
    match class {
        Class::All => "packets",
        Class::Syn => "syn",
        Class::Udp => "udp",
        Class::Icmp => "icmp",
        Class::Bytes => "bytes",
    }
}

/// What a class counts.
pub const fn class_measure(class: Class) -> Measure {
    match class {
        Class::All | Class::Syn | Class::Udp | Class::Icmp => Measure::Packets,
        Class::Bytes => Measure::Bytes,
    }
}

impl LimitName {
    /// Every limit that there is whatever the configuration says.
    pub fn fixed() -> impl Iterator<Item = Self> {
        let sources = Class::ALL.into_iter().map(Self::Source);
        let prefixes = Class::ALL.into_iter().map(Self::Prefix);
        let connections = [Sender::Source, Sender::Prefix].map(Self::Connections);
        let rest = [
            Self::Fragments,
            Self::IcmpErrors,
            Self::IcmpEcho,
            Self::Protocols,
        ];
        sources.chain(prefixes).chain(connections).chain(rest)
    }

    /// What it counts.
    pub const fn measure(&self) -> Measure {
        match self {
            Self::Source(class) | Self::Prefix(class) => class_measure(*class),
            Self::Connections(_)
            | Self::Fragments
            | Self::IcmpErrors
            | Self::IcmpEcho
            | Self::Protocols => Measure::Packets,
            Self::Service(_, measure) => *measure,
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(class) => write!(formatter, "source.{}", class_name(*class)),
            Self::Prefix(class) => write!(formatter, "prefix.{}", class_name(*class)),
            Self::Connections(Sender::Source) => formatter.write_str("source.connections"),
            Self::Connections(Sender::Prefix) => formatter.write_str("prefix.connections"),
            Self::Fragments => formatter.write_str("fragments"),
            Self::IcmpErrors => formatter.write_str("icmp.errors"),
            Self::IcmpEcho => formatter.write_str("icmp.echo"),
            Self::Protocols => formatter.write_str("protocols"),
            Self::Service(name, Measure::Packets) => write!(formatter, "service.{name}"),
            Self::Service(name, Measure::Bytes) => write!(formatter, "service.{name}.bytes"),
        }
    }
}

impl FromStr for LimitName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(name) = Self::fixed().find(|name| name.to_string() == text) {
            return Ok(name);
        }
        if let Some(service) = text.strip_prefix("service.") {
            let (name, measure) = match service.strip_suffix(".bytes") {
                Some(name) => (name, Measure::Bytes),
                None => (service, Measure::Packets),
            };
            return service_name(name).map(|name| Self::Service(name, measure));
        }
        let names: Vec<String> = Self::fixed().map(|name| name.to_string()).collect();
        let known: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .chain(["service.NAME", "service.NAME.bytes"])
            .collect();
        Err(format!(
            "{} is no limit: {}",
            quote(text),
            suggestion(text, &known)
        ))
    }
}

impl Measure {
    /// A limit of this measure, or `off`, which is `None`.
    pub fn parse(self, text: &str) -> Result<Option<LimitRate>, String> {
        match self {
            Self::Packets => Ok(parse_limit(text)?.map(LimitRate::Packets)),
            Self::Bytes if text.trim() == "off" => Ok(None),
            Self::Bytes => match text.parse() {
                Ok(rate) => Ok(Some(LimitRate::Bytes(rate))),
                Err(error) => Err(format!("{error}, or `off`")),
            },
        }
    }
}

impl LimitRate {
    /// What it counts.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Packets(_) => Measure::Packets,
            Self::Bytes(_) => Measure::Bytes,
        }
    }
}

impl fmt::Display for LimitRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packets(rate) => rate.fmt(formatter),
            Self::Bytes(rate) => rate.fmt(formatter),
        }
    }
}

/// A limit as [`Measure::parse`] reads it back.
pub fn format_limit(limit: Option<LimitRate>) -> String {
    limit.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_name() {
        let service = |measure| LimitName::Service("web".to_owned(), measure);
        let all = LimitName::fixed().chain([Measure::Packets, Measure::Bytes].map(service));
        for name in all {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for (text, says) in [
            ("source.sym", "did you mean `source.syn`?"),
            ("colour", "known: source.packets"),
            ("service.", "is no name for a service"),
            ("service.a.b", "is no name for a service"),
        ] {
            let error = text.parse::<LimitName>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn each_limit_takes_its_own_measure_and_names_the_other() {
        let limit = |name: &str, rate: &str| {
            let name: LimitName = name.parse().expect("a limit");
            name.measure().parse(rate).map(format_limit)
        };
        assert_eq!(limit("source.bytes", "1Gbit/s").as_deref(), Ok("125MB/s"));
        assert_eq!(limit("service.web", "200k/s").as_deref(), Ok("200k/s"));
        assert_eq!(limit("prefix.bytes", " off ").as_deref(), Ok("off"));
        for (name, rate, says) in [
            ("source.bytes", "200k/s", "`100MB/s`"),
            ("service.web.bytes", "200k/s", "`100MB/s`"),
            ("source.packets", "100MB/s", "`200/s`"),
            ("fragments", "100MB/s", "`source.bytes`"),
            ("source.bytes", "of", "or `off`"),
        ] {
            let error = limit(name, rate).unwrap_err();
            assert!(error.contains(says), "{name} {rate}: {error}");
        }
    }
}
