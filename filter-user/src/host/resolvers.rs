//! Which name servers this host asks.

use std::{collections::BTreeSet, fs, io, net::IpAddr};

/// What the C library reads.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd-resolved lists the servers behind its stub at 127.0.0.53.
const BEHIND_THE_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The name servers, those behind a local stub included.
pub fn resolvers() -> io::Result<Vec<IpAddr>> {
    let text = match fs::read_to_string(RESOLV_CONF) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    // Not there is usual: then there is no stub.
    let behind = fs::read_to_string(BEHIND_THE_STUB).unwrap_or_default();
    Ok(name_servers(&[&text, &behind]))
}

/// The addresses after `nameserver` in files of resolv.conf(5); loopback left out, for nothing
/// from there comes over an interface.
pub fn name_servers(texts: &[&str]) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let address = words.next().unwrap_or_default();
        let without_zone = address.split('%').next().unwrap_or_default();
        if let Ok(address) = without_zone.parse::<IpAddr>() {
            found.insert(address.to_canonical());
        }
    }
    found
        .into_iter()
        .filter(|address| !address.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_of_both_families() {
        let text = "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.2 # x\n\
            nameserver\tfe80::1%eth0\nnameserver nonsense\nnameserver\nnameservers 192.0.2.3\n\
            nameserver 127.0.0.53\nnameserver ::ffff:192.0.2.4\n";
        let behind = "nameserver 192.0.2.2\nnameserver 192.0.2.9";
        let expected: Vec<IpAddr> = ["192.0.2.2", "192.0.2.4", "192.0.2.9", "fe80::1"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(name_servers(&[text, behind]), expected);
        assert_eq!(name_servers(&[]), Vec::<IpAddr>::new());
    }

    #[test]
    fn this_host_can_be_asked() {
        resolvers().unwrap();
    }
}
