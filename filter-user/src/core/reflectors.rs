//! Services that answer with more than they are asked: whoever asks them in another's name has the
//! answers flood that other. What comes from their ports passes only if this host asked.
//!
//! Left out is what clients send from, too: games (Quake 27960, Steam 27015), BitTorrent, OpenVPN
//! 1194, IKE 500, QUIC 443, and every port from 32768 on, which systems give to clients (DVRs at
//! 37810, Jenkins at 33848). A router may have a client send from any port from 1024 on, though.

use filter_common::abi::defence::{PORT_WORDS, PortSet};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reflector {
    /// Its name.
    pub name: &'static str,
    /// Its port.
    pub port: u16,
    /// Who says so.
    pub source: Source,
}

/// Who says that a service reflects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// US-CERT, alert TA14-017A, "UDP-Based Amplification Attacks", as revised in 2019.
    UsCert,
    /// Rossow, "Amplification Hell: Revisiting Network Protocols for DDoS Abuse", NDSS 2014.
    Rossow,
    /// An operator's or a vendor's report of attacks.
    Report(&'static str),
}

use Source::{Report, Rossow, UsCert};

/// The services, by rising port.
pub const REFLECTORS: &[Reflector] = &[
    of("QOTD", 17, Rossow),
    of("chargen", 19, Rossow),
    of("DNS", 53, Rossow),
    of("TFTP", 69, UsCert),
    of("portmap", 111, UsCert),
    of("NTP", 123, Rossow),
    of("NetBIOS name service", 137, Rossow),
    of("SNMP", 161, Rossow),
    of("XDMCP", 177, Report("Shadowserver, scanning project")),
    of("CLDAP", 389, UsCert),
    of("SLP", 427, Report("CVE-2023-29552")),
    of("RIP version 1", 520, UsCert),
    of(
        "MSSQL resolution",
        1434,
        Report("Akamai, threat advisory 2015"),
    ),
    of(
        "Citrix ICA browser",
        1604,
        Report("Shadowserver, scanning project"),
    ),
    of(
        "L2TP",
        1701,
        Report("NETSCOUT, threat intelligence report 2021"),
    ),
    of("SSDP", 1900, Rossow),
    of("Apple remote management", 3283, Report("NETSCOUT, 2019")),
    of("WS-Discovery", 3702, UsCert),
    of(
        "Sentinel licences",
        5093,
        Report("Akamai, threat advisory 2015"),
    ),
    of("mDNS", 5353, UsCert),
    of(
        "CoAP",
        5683,
        Report("NETSCOUT, threat intelligence report 2019"),
    ),
    of("Ubiquiti discovery", 10001, Report("Rapid7, 2019")),
    of("TP-240", 10074, Report("CVE-2022-26143")),
    of("memcached", 11211, UsCert),
    of("VxWorks debugger", 17185, Report("CVE-2010-2965")),
    of(
        "Lantronix discovery",
        30718,
        Report("Shadowserver, scanning project"),
    ),
    of("Plex", 32410, Report("NETSCOUT, 2021")),
    of("Plex", 32414, Report("NETSCOUT, 2021")),
];

const fn of(name: &'static str, port: u16, source: Source) -> Reflector {
    Reflector { name, port, source }
}

/// The set of their ports, as [`PortSet::Reflectors`] has it.
pub fn reflectors() -> [u64; PORT_WORDS as usize] {
    let mut ports = [0; PORT_WORDS as usize];
    for reflector in REFLECTORS {
        if let Some(word) = ports.get_mut(usize::from(reflector.port / 64)) {
            *word |= PortSet::bit(reflector.port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_named_twice_or_given_to_clients() {
        let ports = REFLECTORS.iter().map(|it| it.port);
        assert!(ports.is_sorted_by(|one, other| one < other));
        assert!(REFLECTORS.iter().all(|it| it.port < 32_768));
    }

    #[test]
    fn the_set_has_a_bit_for_each() {
        let set = reflectors();
        let has = |port: &u16| set[usize::from(port / 64)] & PortSet::bit(*port) != 0;
        let ports: Vec<u16> = (0..=u16::MAX).filter(has).collect();
        let named: Vec<u16> = REFLECTORS.iter().map(|it| it.port).collect();
        assert_eq!(ports, named);
    }
}
