//! Defences by name, and when each holds.

use std::{collections::BTreeSet, fmt, str::FromStr};

use filter_common::abi::defence::{DEFENCES, Defence};

use super::{nearest::suggestion, text::quote, units::Rate};

/// When a defence holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DefenceMode {
    /// Never.
    #[default]
    Off,
    /// While the controller holds it.
    Auto,
    /// While the CPU that receives a packet is under pressure.
    Pressure,
    /// Always.
    On,
}

/// What the file says of defences.
#[derive(Clone, Debug, PartialEq)]
pub struct Defences {
    /// When each holds, by its number.
    pub modes: [DefenceMode; DEFENCES],
    /// Which listening TCP ports cookies defend.
    pub cookie_ports: CookiePorts,
    /// SYNs that are answered a second, in all.
    pub answers: Rate,
    /// SYNs of one prefix that are answered a second.
    pub answers_prefix: Rate,
    /// SYNs of known good sources that go to the stack unanswered, for each CPU; `None`: none.
    pub known: Option<Rate>,
    /// Ports whose sockets are not this host's own.
    pub left_out: LeftOut,
}

/// Which listening TCP ports cookies defend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CookiePorts {
    /// All.
    All,
    /// Those of these that are listened on.
    Some(BTreeSet<u16>),
}

/// Ports about which the sockets of this host say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Of TCP.
    pub tcp: BTreeSet<u16>,
    /// Of UDP.
    pub udp: BTreeSet<u16>,
}

impl Default for Defences {
    fn default() -> Self {
        Self {
            modes: Defence::ALL.map(|defence| match defence {
                // Whoever answers SYNs needs the kernel's settings changed.
                Defence::Cookies => DefenceMode::Auto,
                Defence::Sockets
                | Defence::ClosedPorts
                | Defence::Solicited
                | Defence::Connections
                | Defence::Icmp
                | Defence::Protocols => DefenceMode::Pressure,
            }),
            cookie_ports: CookiePorts::All,
            answers: Rate::per_second(2_000_000),
            answers_prefix: Rate::per_second(2_000),
            known: Some(Rate::per_second(200)),
            left_out: LeftOut::default(),
        }
    }
}

impl Defences {
    /// When a defence holds.
    pub fn mode(&self, defence: Defence) -> DefenceMode {
        self.modes
            .get(defence as usize)
            .copied()
            .unwrap_or_default()
    }
}

impl CookiePorts {
    /// Whether a port is among them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Some(ports) => ports.contains(&port),
        }
    }
}

/// The name of a defence in configuration, commands and JSON.
pub const fn name(defence: Defence) -> &'static str {
    match defence {
        Defence::Cookies => "cookies",
        Defence::Sockets => "sockets",
        Defence::ClosedPorts => "closed_ports",
        Defence::Solicited => "solicited",
        Defence::Connections => "connections",
        Defence::Icmp => "icmp",
        Defence::Protocols => "protocols",
    }
}

/// The defence of this name; a hyphen will do for an underscore.
pub fn by_name(text: &str) -> Result<Defence, String> {
    let wanted = text.trim().replace('-', "_");
    Defence::ALL
        .into_iter()
        .find(|defence| name(*defence) == wanted)
        .ok_or_else(|| {
            let known = Defence::ALL.map(name);
            format!(
                "{} is no defence: {}",
                quote(text),
                suggestion(&wanted, &known)
            )
        })
}

impl DefenceMode {
    /// Every mode, the weakest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Auto, Self::Pressure, Self::On];

    /// The modes that a defence can have: the kernel answers SYNs or it does not, pressure or none, so
    /// that only the controller says when.
    pub const fn of(defence: Defence) -> &'static [Self] {
        match defence {
            Defence::Cookies => &[Self::Off, Self::Auto, Self::On],
            Defence::Sockets
            | Defence::ClosedPorts
            | Defence::Solicited
            | Defence::Connections
            | Defence::Icmp
            | Defence::Protocols => &[Self::Off, Self::Pressure, Self::On],
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Pressure => "pressure",
            Self::On => "on",
        }
    }
}

impl fmt::Display for DefenceMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for DefenceMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.word() == text.trim())
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::word);
                format!("{} is no mode: {}", quote(text), suggestion(text, &known))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defences_by_name() {
        for defence in Defence::ALL {
            assert_eq!(by_name(name(defence)), Ok(defence));
        }
        assert_eq!(by_name("closed-ports"), Ok(Defence::ClosedPorts));
        let error = by_name("cookie").unwrap_err();
        assert!(error.contains("did you mean `cookies`?"), "{error}");
    }

    #[test]
    fn modes_as_written() {
        for mode in DefenceMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        let error = "always".parse::<DefenceMode>().unwrap_err();
        assert!(error.contains("off, auto, pressure, on"), "{error}");
    }
}
