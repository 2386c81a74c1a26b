//! Links, addresses and routes of the sandbox.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{Ns, Options, Sandbox, far};

/// The bridge's port towards the server, in the namespace [`Ns::Wire`].
pub const UPLINK: &str = "uplink";

/// One end of the segment.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Its interface.
    pub interface: &'static str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its IPv4 address, in a /24 of its own.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in a /64 of its own.
    pub v6: Ipv6Addr,
}

/// Who has which address.
pub mod hosts {
    use super::{Host, Ipv4Addr, Ipv6Addr};

    /// What is to be protected.
    pub const SERVER: Host = Host {
        interface: "srv0",
        mac: [2, 0xf, 0, 0, 0, 1],
        v4: Ipv4Addr::new(203, 0, 113, 10),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x5e, 0, 0, 0, 0, 0x10),
    };
    /// Real people; every address of the /24 answers.
    pub const CLIENT: Host = Host {
        interface: "cli0",
        mac: [2, 0xf, 0, 0, 0, 2],
        v4: Ipv4Addr::new(198, 51, 100, 10),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xc1, 0, 0, 0, 0, 0x10),
    };
    /// A machine that attacks from an address of its own.
    pub const ATTACKER: Host = Host {
        interface: "atk0",
        mac: [2, 0xf, 0, 0, 0, 3],
        v4: Ipv4Addr::new(192, 0, 2, 66),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa7, 0, 0, 0, 0, 0x66),
    };
    /// Real machines that attack, a /16 behind the attacker's interface.
    pub const BOTS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
    /// A crowd of real visitors, a /12 behind the client's interface.
    pub const CROWD: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
    /// The same in IPv6, a /36.
    pub const CROWD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc000, 0, 0, 0, 0, 0);
    /// People behind a path of 1,280 bytes, a /24.
    pub const FAR_V4: Ipv4Addr = Ipv4Addr::new(172, 31, 2, 0);
    /// The same people in IPv6, a /64.
    pub const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x79, 2, 0, 0, 0, 0);
    /// A network of 256 addresses that is routed to the server.
    pub const ROUTED_V4: Ipv4Addr = Ipv4Addr::new(10, 113, 0, 0);
    /// A network that is routed to the server, whose first 256 addresses are in use.
    pub const ROUTED_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x5f, 0, 0, 0, 0, 0);
    /// The server's gateway: where answers to everybody else go, and end.
    pub const GATEWAY: Host = Host {
        interface: "br0",
        mac: [2, 0xf, 0, 0, 0, 0xfe],
        v4: Ipv4Addr::new(203, 0, 113, 1),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x5e, 0, 0, 0, 0, 1),
    };
}

/// What `/proc/net/dev` says of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Packets received, those that XDP dropped included.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
}

/// Joins the namespaces.
pub(super) fn build(sandbox: &Sandbox, options: &Options) -> Result<()> {
    let mtu = options.mtu;
    for namespace in &sandbox.namespaces {
        namespace.run(|| set(SETTINGS))??;
    }
    sandbox.in_ns(Ns::Client, || set(MANY_ADDRESSES))??;
    let gateway = hosts::GATEWAY;
    let mut wire = format!(
        "link set lo up\n\
         link add br0 address {} type bridge stp_state 0 mcast_snooping 0\n",
        mac(gateway.mac)
    );
    for (ns, port, host) in ends() {
        let peer = sandbox.namespace(ns).name();
        let (name, address) = (host.interface, mac(host.mac));
        wire += &format!(
            "link add {port} mtu {mtu} type veth peer name {name} mtu {mtu} address {address} netns {peer}\n\
             link set {port} master br0 up\n"
        );
    }
    wire += &format!(
        "link set br0 up\n\
         addr add {}/24 dev br0\n\
         addr add {}/64 dev br0 nodad\n",
        gateway.v4, gateway.v6
    );
    ip(sandbox, Ns::Wire, &wire)?;
    for (ns, _, host) in ends() {
        ip(sandbox, ns, &end(ns, host))?;
    }
    // Any address of the client's networks is local to it, so that many people can call.
    let any = format!(
        "route add local 198.51.100.0/24 dev lo\n\
         route add local {}/12 dev lo\n\
         -6 route add local 2001:db8:c1::/48 dev lo\n\
         -6 route add local {}/36 dev lo\n",
        hosts::CROWD,
        hosts::CROWD_V6
    );
    ip(sandbox, Ns::Client, &any)?;
    let any = format!("route add local {}/16 dev lo\n", hosts::BOTS);
    ip(sandbox, Ns::Attacker, &any)?;
    if options.routed {
        ip(sandbox, Ns::Server, &routed())?;
    }
    if options.far {
        far::build(sandbox)?;
    }
    Ok(())
}

/// Addresses of the server's own, one by one, as hosts with a network of their own have them.
fn routed() -> String {
    let mut lines = String::new();
    for number in 0..256_u32 {
        let v4 = Ipv4Addr::from(u32::from(hosts::ROUTED_V4) + number);
        let v6 = Ipv6Addr::from(u128::from(hosts::ROUTED_V6) + u128::from(number));
        lines += &format!("addr add {v4}/32 dev lo\naddr add {v6}/128 dev lo nodad\n");
    }
    lines
}

fn ends() -> [(Ns, &'static str, Host); 3] {
    [
        (Ns::Server, UPLINK, hosts::SERVER),
        (Ns::Client, "to-client", hosts::CLIENT),
        (Ns::Attacker, "to-attacker", hosts::ATTACKER),
    ]
}

/// Address, routes and neighbours of one end. Neighbours are fixed: whether a flood also hurts
/// address resolution is not what the sandbox is to show by chance.
fn end(ns: Ns, host: Host) -> String {
    let device = host.interface;
    let mut lines = format!(
        "link set lo up\n\
         link set {device} up\n\
         addr add {}/24 dev {device}\n\
         addr add {}/64 dev {device} nodad\n",
        host.v4, host.v6
    );
    let others = ends()
        .into_iter()
        .filter(|(other, _, _)| *other != ns)
        .map(|(_, _, host)| host);
    for other in others.chain([hosts::GATEWAY]) {
        lines += &format!(
            "neigh replace {} lladdr {address} dev {device} nud permanent\n\
             neigh replace {} lladdr {address} dev {device} nud permanent\n",
            other.v4,
            other.v6,
            address = mac(other.mac)
        );
    }
    let others = ends().into_iter().filter(|(other, _, _)| *other != ns);
    for (_, _, other) in others {
        lines += &format!(
            "route add {}/24 via {} dev {device} onlink\n\
             -6 route add {}/64 via {} dev {device} onlink\n",
            network_v4(other.v4),
            other.v4,
            network_v6(other.v6),
            other.v6
        );
    }
    if ns == Ns::Server {
        lines += &format!(
            "route add default via {} dev {device}\n\
             -6 route add default via {} dev {device}\n\
             route add {}/16 via {} dev {device} onlink\n\
             route add {}/12 via {} dev {device} onlink\n\
             -6 route add 2001:db8:c1::/48 via {client} dev {device} onlink\n\
             -6 route add {}/36 via {client} dev {device} onlink\n",
            hosts::GATEWAY.v4,
            hosts::GATEWAY.v6,
            hosts::BOTS,
            hosts::ATTACKER.v4,
            hosts::CROWD,
            hosts::CLIENT.v4,
            hosts::CROWD_V6,
            client = hosts::CLIENT.v6,
        );
    }
    lines
}

/// Sysctls of every namespace. What is not here is as the kernel has it by default.
const SETTINGS: &[(&str, &str)] = &[
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    // As systemd sets it: everybody may ping.
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// For hosts that have whole networks: IPv6 does not take a local route for an address of one's own.
pub(super) const MANY_ADDRESSES: &[(&str, &str)] = &[("ipv6/ip_nonlocal_bind", "1")];

/// Writes sysctls of the calling thread's namespace.
pub(super) fn set(settings: &[(&str, &str)]) -> Result<()> {
    for (key, value) in settings {
        let path = format!("/proc/sys/net/{key}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// The counters of an interface in the calling thread's namespace.
pub(super) fn traffic(interface: &str) -> Result<Traffic> {
    let path = "/proc/thread-self/net/dev";
    let table = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let numbers: Vec<u64> = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))
        .with_context(|| format!("there is no interface {interface} in this namespace"))?
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers.as_slice() {
        [_, received, _, _, _, _, _, _, _, sent, ..] => Ok(Traffic {
            received: *received,
            sent: *sent,
        }),
        _ => bail!("{path} has another form than expected for {interface}"),
    }
}

/// Runs lines of `ip` inside a namespace; the first that fails ends it.
pub(super) fn ip(sandbox: &Sandbox, ns: Ns, lines: &str) -> Result<()> {
    // `ip -batch` takes -6 only on its own command line.
    let (v6, rest): (Vec<&str>, Vec<&str>) =
        lines.lines().partition(|line| line.starts_with("-6 "));
    for (family, lines) in [(None, rest), (Some("-6"), v6)] {
        let text: String = lines
            .iter()
            .map(|line| format!("{}\n", line.trim_start_matches("-6 ")))
            .collect();
        let mut child = Command::new("ip")
            .args(family)
            .args(["-n", sandbox.namespace(ns).name(), "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run `ip`; install it with `apt-get install iproute2`")?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(text.as_bytes())
                .context("cannot write to `ip`")?;
        }
        let output = child.wait_with_output().context("cannot wait for `ip`")?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!(
                "`ip` refused a line of the sandbox's set-up: {}",
                error.trim()
            );
        }
    }
    Ok(())
}

pub(super) fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn network_v4(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address) & 0xffff_ff00)
}

fn network_v6(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(address) >> 64 << 64)
}
