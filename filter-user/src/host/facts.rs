//! What the guards against self-harm must know of this host.

use std::{fmt::Display, net::IpAddr};

use super::{addresses, resolvers, sessions, sessions::Session};

/// Facts about this host, in the network namespace of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Own addresses, of all interfaces.
    pub addresses: Vec<IpAddr>,
    /// Gateways of default routes.
    pub gateways: Vec<IpAddr>,
    /// Name servers that are asked.
    pub resolvers: Vec<IpAddr>,
    /// Administrators' sessions.
    pub sessions: Vec<Session>,
    /// Ports on which SSH is served; 22 is always one.
    pub ssh_ports: Vec<u16>,
    /// What could not be found out, and why: a sentence each.
    pub warnings: Vec<String>,
}

impl Facts {
    /// Asks the kernel and reads the files; what fails is left empty and told in the warnings.
    pub fn gather() -> Self {
        let mut warnings = Vec::new();
        let addresses = best_effort("own addresses", addresses::addresses(), &mut warnings);
        let gateways = best_effort("gateways", addresses::gateways(), &mut warnings);
        let resolvers = best_effort("name servers", resolvers::resolvers(), &mut warnings);
        let (sessions, mut ssh_ports) =
            best_effort("SSH sessions", sessions::sessions(), &mut warnings);
        if ssh_ports.is_empty() {
            ssh_ports.push(22);
        }
        Self {
            addresses,
            gateways,
            resolvers,
            sessions,
            ssh_ports,
            warnings,
        }
    }
}

fn best_effort<T: Default, E: Display>(
    what: &str,
    result: Result<T, E>,
    warnings: &mut Vec<String>,
) -> T {
    result.unwrap_or_else(|error| {
        warnings.push(format!(
            "{what} cannot be read ({error}): commands that would block them are not noticed"
        ));
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_empty_and_told() {
        let mut warnings = Vec::new();
        let found: Vec<u8> = best_effort("gateways", Err("no luck"), &mut warnings);
        assert!(found.is_empty());
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("gateways cannot be read (no luck)"));
    }

    #[test]
    fn this_host_has_facts() {
        let facts = Facts::gather();
        assert!(facts.ssh_ports.contains(&22));
        assert_eq!(facts.warnings, Vec::<String>::new());
    }
}
