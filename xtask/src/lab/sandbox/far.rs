//! The far end: people whose path to the server is narrower than either of them knows.
//!
//! ```text
//!   bridge ── to-router ══ rtr0  router  rtr1 (1,280) ══ far0 (1,500)  far
//! ```

use anyhow::Result;

use super::{
    Ns, Sandbox,
    segment::{MANY_ADDRESSES, hosts, ip, mac, set},
};

/// The router's interface on the segment.
pub const TO_SEGMENT: &str = "rtr0";

/// The router's hardware address on the segment.
const ROUTER: [u8; 6] = [2, 0xf, 0, 0, 0, 4];

/// Adds router and far end to a segment that stands.
pub fn build(sandbox: &Sandbox) -> Result<()> {
    let (router, server) = (mac(ROUTER), hosts::SERVER);
    let name = |ns| sandbox.namespace(ns).name();
    let wire = format!(
        "link add to-router type veth peer name rtr0 address {router} netns {}\n\
         link set to-router master br0 up\n",
        name(Ns::Router)
    );
    ip(sandbox, Ns::Wire, &wire)?;
    sandbox.in_ns(Ns::Router, || set(FORWARD))??;
    sandbox.in_ns(Ns::Far, || set(MANY_ADDRESSES))??;
    let lines = format!(
        "link set lo up\n\
         link set rtr0 up\n\
         addr add 172.31.0.1/24 dev rtr0\n\
         addr add 2001:db8:79::1/64 dev rtr0 nodad\n\
         neigh replace {v4} lladdr {address} dev rtr0 nud permanent\n\
         neigh replace {v6} lladdr {address} dev rtr0 nud permanent\n\
         route add {v4}/32 dev rtr0\n\
         -6 route add {v6}/128 dev rtr0\n\
         link add rtr1 mtu 1280 type veth peer name far0 mtu 1500 netns {}\n\
         link set rtr1 up\n\
         addr add 172.31.1.1/24 dev rtr1\n\
         addr add 2001:db8:79:1::1/64 dev rtr1 nodad\n",
        name(Ns::Far),
        v4 = server.v4,
        v6 = server.v6,
        address = mac(server.mac),
    );
    ip(sandbox, Ns::Router, &lines)?;
    let lines = format!(
        "link set lo up\n\
         link set far0 up\n\
         addr add 172.31.1.2/24 dev far0\n\
         addr add 2001:db8:79:1::2/64 dev far0 nodad\n\
         route add default via 172.31.1.1\n\
         -6 route add default via 2001:db8:79:1::1\n\
         route add local {}/24 dev lo\n\
         -6 route add local {}/64 dev lo\n",
        hosts::FAR_V4,
        hosts::FAR_V6
    );
    ip(sandbox, Ns::Far, &lines)?;
    let lines = format!(
        "route add {}/24 via 172.31.1.2\n\
         -6 route add {}/64 via 2001:db8:79:1::2\n",
        hosts::FAR_V4,
        hosts::FAR_V6
    );
    ip(sandbox, Ns::Router, &lines)?;
    let device = server.interface;
    let lines = format!(
        "neigh replace 172.31.0.1 lladdr {router} dev {device} nud permanent\n\
         neigh replace 2001:db8:79::1 lladdr {router} dev {device} nud permanent\n\
         route add 172.31.0.0/16 via 172.31.0.1 dev {device} onlink\n\
         -6 route add 2001:db8:79::/48 via 2001:db8:79::1 dev {device} onlink\n"
    );
    ip(sandbox, Ns::Server, &lines)
}

/// Makes a router of a namespace.
const FORWARD: &[(&str, &str)] = &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];
