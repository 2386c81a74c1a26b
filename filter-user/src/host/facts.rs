//! What the guards against self-harm must know of this host.

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    net::IpAddr,
};

use super::{addresses, resolvers, sessions, sessions::Session};

/// Facts about this host, in the network namespace of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Own addresses, of all interfaces.
    pub addresses: Vec<IpAddr>,
    /// Gateways of default routes.
    pub gateways: Vec<IpAddr>,
    /// Indices of the interfaces that default routes go through.
    pub uplinks: BTreeSet<u32>,
    /// Name servers that are asked.
    pub resolvers: Vec<IpAddr>,
    /// Administrators' sessions.
    pub sessions: Vec<Session>,
    /// Ports on which SSH is served; 22 is always one.
    pub ssh_ports: Vec<u16>,
    /// What could not be found out, and why: a sentence each.
    pub warnings: Vec<String>,
    /// Parts that could never be read, and are empty for that.
    pub unknown: BTreeSet<Part>,
}

/// A part of the facts, read by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Own addresses.
    Addresses,
    /// Gateways of default routes, and the interfaces that they go through.
    Gateways,
    /// Name servers.
    Resolvers,
    /// Administrators' sessions, and the ports of SSH.
    Sessions,
}

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addresses => "own addresses",
            Self::Gateways => "gateways",
            Self::Resolvers => "name servers",
            Self::Sessions => "SSH sessions",
        })
    }
}

const PARTIAL: &str = "an sshd process cannot be looked into, so that its ports other than 22 are \
    unknown: run as root or with CAP_SYS_PTRACE";

impl Facts {
    /// Asks the kernel and reads the files; what fails is left empty, noted as unknown and told in
    /// the warnings.
    pub fn gather() -> Self {
        let mut facts = Self::default();
        facts.addresses = facts.read(Part::Addresses, addresses::addresses());
        let ways = facts.read(Part::Gateways, addresses::ways());
        facts.gateways = ways.gateways;
        facts.uplinks = ways.interfaces;
        facts.resolvers = facts.read(Part::Resolvers, resolvers::resolvers());
        let ssh = facts.read(Part::Sessions, sessions::sessions().map(Some));
        facts.ssh_ports = vec![22];
        if let Some(ssh) = ssh {
            facts.sessions = ssh.sessions;
            facts.ssh_ports = ssh.ports;
            if ssh.is_partial {
                facts.warnings.push(PARTIAL.to_owned());
            }
        }
        facts
    }

    /// These facts, with the parts that could not be read as they were before.
    #[must_use]
    pub fn over(mut self, before: &Self) -> Self {
        let known_before: Vec<Part> = self.unknown.difference(&before.unknown).copied().collect();
        for part in known_before {
            self.unknown.remove(&part);
            match part {
                Part::Addresses => self.addresses.clone_from(&before.addresses),
                Part::Gateways => {
                    self.gateways.clone_from(&before.gateways);
                    self.uplinks.clone_from(&before.uplinks);
                }
                Part::Resolvers => self.resolvers.clone_from(&before.resolvers),
                Part::Sessions => {
                    self.sessions.clone_from(&before.sessions);
                    self.ssh_ports.clone_from(&before.ssh_ports);
                }
            }
        }
        self
    }

    fn read<T: Default, E: Display>(&mut self, part: Part, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| {
            self.unknown.insert(part);
            self.warnings.push(format!(
                "{part} cannot be read ({error}): they are taken to be as they were"
            ));
            T::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_as_it_was_and_told() {
        let peer = "192.0.2.1:50000".parse().unwrap();
        let before = Facts {
            addresses: vec!["192.0.2.9".parse().unwrap()],
            sessions: vec![Session {
                peer,
                local_port: 2222,
            }],
            ssh_ports: vec![22, 2222],
            unknown: BTreeSet::from([Part::Gateways]),
            ..Facts::default()
        };
        let mut now = Facts {
            ssh_ports: vec![22],
            ..Facts::default()
        };
        for part in [Part::Gateways, Part::Sessions] {
            let found: Vec<u8> = now.read(part, Err("no luck"));
            assert!(found.is_empty());
        }
        assert!(now.warnings[1].starts_with("SSH sessions cannot be read (no luck)"));
        let merged = now.clone().over(&before);
        assert_eq!(merged.addresses, Vec::<IpAddr>::new(), "these were read");
        assert_eq!(merged.sessions, before.sessions);
        assert_eq!(merged.ssh_ports, [22, 2222]);
        assert_eq!(merged.unknown, BTreeSet::from([Part::Gateways]));
        assert_eq!(merged.warnings, now.warnings);
        assert_eq!(now.clone().over(&now).unknown, now.unknown);
    }

    #[test]
    fn this_host_has_facts() {
        let mut facts = Facts::gather();
        assert!(facts.ssh_ports.contains(&22));
        assert_eq!(facts.unknown, BTreeSet::new());
        // Whoever runs this need not be root.
        facts.warnings.retain(|warning| warning != PARTIAL);
        assert_eq!(facts.warnings, Vec::<String>::new());
    }
}
