//! What always passes, and what only looks like it.

use filter_common::abi::reason::Reason::{Blocked, Clean, Control, ForgedDiscovery, MartianSource};

use crate::{
    force::{Force, only},
    frame::{DESTINATION, HOP_BY_HOP, ICMPV6, IGMP, UDP, V6, icmp, udp, v4, v6},
    row::{Row, Scenario, row},
};

const LINK: &str = "fe80::1";
const GLOBAL: &str = "2001:db8::7";

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const LISTENER_REPORT: u8 = 143;

fn discovery(source: &str, kind: u8) -> V6 {
    v6(source, ICMPV6, icmp(kind, 0)).hops(255)
}

fn listener(source: &str) -> V6 {
    v6(source, ICMPV6, icmp(LISTENER_REPORT, 0))
        .header(HOP_BY_HOP, 0)
        .hops(1)
}

fn igmp(source: &str, hops: u8) -> Vec<u8> {
    v4(source, IGMP, vec![0x16, 0, 0, 0, 224, 0, 0, 251])
        .hops(hops)
        .options(4)
        .frame()
}

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "discovery",
            force: Force::new(),
            rows: discoveries(),
        },
        Scenario {
            name: "membership and DHCP",
            force: Force::new(),
            rows: others(),
        },
        Scenario {
            name: "a blocked neighbour",
            force: Force::new()
                .block("fe80::/10")
                .block("0.0.0.0/8")
                .block("192.0.2.67/32"),
            rows: vec![
                row(
                    "is still a neighbour",
                    discovery(LINK, NEIGHBOUR_SOLICITATION).frame(),
                    Control,
                ),
                row(
                    "is blocked otherwise",
                    v6(LINK, UDP, udp(7, 7)).frame(),
                    Blocked,
                ),
                row(
                    "may still answer DHCP",
                    v4("192.0.2.67", UDP, udp(67, 68)).frame(),
                    Control,
                ),
            ],
        },
        Scenario {
            name: "ceilings of what always passes",
            force: Force::new().with(|settings| {
                settings.control = [only(2, hz), only(1, hz), only(1, hz)];
            }),
            rows: ceilings(),
        },
    ]
}

fn discoveries() -> Vec<Row> {
    let neighbour = |source| discovery(source, NEIGHBOUR_SOLICITATION);
    vec![
        row("a neighbour asks", neighbour(LINK).frame(), Control),
        row(
            "a neighbour asks from its global address",
            neighbour(GLOBAL).frame(),
            Control,
        ),
        row(
            "duplicate address detection",
            neighbour("::").frame(),
            Control,
        ),
        row(
            "a neighbour answers",
            discovery(GLOBAL, NEIGHBOUR_ADVERTISEMENT).frame(),
            Control,
        ),
        row(
            "a host asks for routers",
            discovery(LINK, ROUTER_SOLICITATION).frame(),
            Control,
        ),
        row(
            "a host without address asks for routers",
            discovery("::", ROUTER_SOLICITATION).frame(),
            Control,
        ),
        row(
            "a router answers",
            discovery(LINK, ROUTER_ADVERTISEMENT).frame(),
            Control,
        ),
        row(
            "a router redirects",
            discovery(LINK, REDIRECT).frame(),
            Control,
        ),
        row(
            "a router's answer from elsewhere",
            discovery(GLOBAL, ROUTER_ADVERTISEMENT).frame(),
            ForgedDiscovery,
        ),
        row(
            "a redirection from elsewhere",
            discovery(GLOBAL, REDIRECT).frame(),
            ForgedDiscovery,
        ),
        row(
            "a question that a router forwarded",
            neighbour(LINK).hops(254).frame(),
            ForgedDiscovery,
        ),
        row(
            "an answer that a router forwarded",
            discovery(GLOBAL, NEIGHBOUR_ADVERTISEMENT).hops(64).frame(),
            ForgedDiscovery,
        ),
        row(
            "a question in a first fragment",
            neighbour(LINK).piece(0, true).frame(),
            ForgedDiscovery,
        ),
        row(
            "a question in an atomic fragment",
            neighbour(LINK).piece(0, false).frame(),
            ForgedDiscovery,
        ),
        row(
            "a question with a code",
            v6(LINK, ICMPV6, icmp(NEIGHBOUR_SOLICITATION, 1))
                .hops(255)
                .frame(),
            ForgedDiscovery,
        ),
        row(
            "a question behind an extension header",
            neighbour(LINK).header(DESTINATION, 0).frame(),
            Control,
        ),
        row(
            "a forged answer behind an extension header",
            discovery(GLOBAL, ROUTER_ADVERTISEMENT)
                .header(DESTINATION, 0)
                .frame(),
            ForgedDiscovery,
        ),
        row(
            "ICMPv6 over IPv4 is no discovery",
            v4("192.0.2.7", ICMPV6, icmp(NEIGHBOUR_SOLICITATION, 0))
                .hops(64)
                .frame(),
            Clean,
        ),
        row(
            "ICMP over IPv6 is no discovery",
            v6(LINK, 1, icmp(NEIGHBOUR_SOLICITATION, 0)).frame(),
            Clean,
        ),
    ]
}

fn others() -> Vec<Row> {
    let listener_query = |source| v6(source, ICMPV6, icmp(130, 0)).hops(1);
    vec![
        row("a listener reports", listener(LINK).frame(), Control),
        row(
            "a listener without address reports",
            listener("::").frame(),
            Control,
        ),
        row(
            "a router asks listeners",
            listener_query(LINK).frame(),
            Control,
        ),
        row(
            "a listener's report from elsewhere",
            listener(GLOBAL).frame(),
            Clean,
        ),
        row(
            "a listener's report that was forwarded",
            listener(LINK).hops(64).frame(),
            Clean,
        ),
        row("IGMP", igmp("192.0.2.7", 1), Control),
        row(
            "IGMP of a switch without address",
            igmp("0.0.0.0", 1),
            Control,
        ),
        row("IGMP that was forwarded", igmp("192.0.2.7", 2), Clean),
        row(
            "IGMP that was forwarded from nowhere",
            igmp("0.0.0.0", 64),
            MartianSource,
        ),
        row(
            "a DHCP server answers",
            v4("192.0.2.67", UDP, udp(67, 68)).frame(),
            Control,
        ),
        row(
            "a host without address asks a DHCP server here",
            v4("0.0.0.0", UDP, udp(68, 67))
                .to("255.255.255.255")
                .frame(),
            Control,
        ),
        row(
            "a host with an address is any client",
            v4("192.0.2.7", UDP, udp(68, 67)).frame(),
            Clean,
        ),
        row(
            "a host without address asks for something else",
            v4("0.0.0.0", UDP, udp(68, 53)).frame(),
            MartianSource,
        ),
        row(
            "a DHCPv6 server answers",
            v6(LINK, UDP, udp(547, 546)).frame(),
            Control,
        ),
        row(
            "a host asks a DHCPv6 server here",
            v6(LINK, UDP, udp(546, 547)).frame(),
            Control,
        ),
        row(
            "a DHCPv6 answer from elsewhere",
            v6(GLOBAL, UDP, udp(547, 546)).frame(),
            Clean,
        ),
    ]
}

fn ceilings() -> Vec<Row> {
    let neighbour = |source| discovery(source, NEIGHBOUR_SOLICITATION).frame();
    vec![
        row(
            "the first question is within the ceiling",
            neighbour(LINK),
            Control,
        ),
        row("so is the second", neighbour(LINK), Control),
        row("the third is like any other packet", neighbour(LINK), Clean),
        row(
            "and without an address it is insane",
            neighbour("::"),
            MartianSource,
        ),
        row(
            "forged ones are dropped as before",
            discovery(LINK, REDIRECT).hops(1).frame(),
            ForgedDiscovery,
        ),
        row(
            "membership has a ceiling of its own",
            listener(LINK).frame(),
            Control,
        ),
        row("and reaches it", igmp("192.0.2.7", 1), Clean),
        row(
            "DHCP has a ceiling of its own",
            v4("192.0.2.67", UDP, udp(67, 68)).frame(),
            Control,
        ),
        row(
            "and reaches it",
            v6(LINK, UDP, udp(547, 546)).frame(),
            Clean,
        ),
    ]
}
