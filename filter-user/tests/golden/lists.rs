//! Lifeline, allowlist and blocklist.

use filter_common::{
    abi::{
        lifeline::LifelineRule,
        reason::Reason::{Allowed, Blocked, Clean, Lifeline, MartianSource, TcpFlags, Truncated},
    },
    logic::bucket::Limit,
};
use filter_user::api::types::ListKind::{Allow, Block};

use crate::{
    force::{Force, address, only},
    frame::{ACK, DESTINATION, FIN, ICMP, SYN, TCP, UDP, icmp, syn, tagged, tcp, udp, v4, v6},
    row::{Row, Scenario, row},
};

/// A tick long ago: jiffies start five minutes before 2³².
const ENDED: u64 = 1;

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "blocked IPv4 prefixes",
            force: blocked4(),
            rows: rows4(),
        },
        Scenario {
            name: "blocked IPv6 prefixes",
            force: blocked6(),
            rows: rows6(),
        },
        Scenario {
            name: "a blocked IPv6 prefix too short for the gate",
            force: Force::new().block("3fff::/16"),
            rows: vec![
                row("is blocked", from6("3fff:ffff::1"), Blocked),
                row("and nothing beside it", from6("3ffe:ffff::1"), Clean),
            ],
        },
        Scenario {
            name: "half of the addresses",
            force: Force::new().block("0.0.0.0/1").block("8000::/1"),
            rows: vec![
                row("the lower half", from("126.1.2.3"), Blocked),
                row("the upper half", from("128.1.2.3"), Clean),
                row("the upper half over IPv6", from6("fd00::1"), Blocked),
                row("the lower half over IPv6", from6("2001:db8::1"), Clean),
            ],
        },
        Scenario {
            name: "all addresses",
            force: Force::new()
                .block("0.0.0.0/0")
                .block("::/0")
                .allow("192.0.2.7/32"),
            rows: vec![
                row("any address", from("198.51.100.1"), Blocked),
                row("any address over IPv6", from6("2001:db8::1"), Blocked),
                row("all but the allowed", from("192.0.2.7"), Allowed),
            ],
        },
        Scenario {
            name: "allow and block",
            force: both(),
            rows: both_rows(),
        },
        Scenario {
            name: "entries that ended",
            force: ended(),
            rows: ended_rows(),
        },
        Scenario {
            name: "a blocked IPv4 address and its IPv6 clothing",
            force: Force::new()
                .block("192.0.2.1/32")
                .with(|settings| settings.unchecked = MartianSource.bit()),
            rows: vec![
                row("the address is blocked", from("192.0.2.1"), Blocked),
                row(
                    "mapped into IPv6 it is another",
                    from6("::ffff:192.0.2.1"),
                    Clean,
                ),
                row(
                    "so is the IPv6 address of the same bits",
                    from6("c000:201::"),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "lifelines",
            force: lifelines(hz),
            rows: lifeline_rows(),
        },
        Scenario {
            name: "sessions",
            force: sessions(hz),
            rows: session_rows(),
        },
    ]
}

fn from(source: &str) -> Vec<u8> {
    v4(source, UDP, udp(1024, 53)).frame()
}

fn from6(source: &str) -> Vec<u8> {
    v6(source, UDP, udp(1024, 53)).frame()
}

fn blocked4() -> Force {
    Force::new()
        .block("192.0.2.1/32")
        .block("192.0.2.8/31")
        .block("198.51.100.0/24")
        .block("203.0.112.0/23")
        .block("172.16.0.0/12")
        .block("11.0.0.0/8")
        .block("32.0.0.0/3")
}

fn rows4() -> Vec<Row> {
    let packet = || v4("192.0.2.1", TCP, syn(80));
    vec![
        row("a /32", from("192.0.2.1"), Blocked),
        row(
            "its neighbour, behind the same bit of the gate",
            from("192.0.2.2"),
            Clean,
        ),
        row("a /31", from("192.0.2.9"), Blocked),
        row("behind a /31", from("192.0.2.10"), Clean),
        row("the end of a /24", from("198.51.100.255"), Blocked),
        row("behind a /24", from("198.51.101.0"), Clean),
        row("the second half of a /23", from("203.0.113.255"), Blocked),
        row("behind a /23", from("203.0.114.0"), Clean),
        row("the end of a /12", from("172.31.255.255"), Blocked),
        row("behind a /12", from("172.32.0.0"), Clean),
        row("a /8", from("11.255.0.1"), Blocked),
        row("the start of a /3", from("32.0.0.0"), Blocked),
        row("the end of a /3", from("63.255.255.255"), Blocked),
        row("behind a /3", from("64.0.0.0"), Clean),
        row("before a /3", from("31.255.255.255"), Clean),
        row(
            "in one tag",
            tagged(&[0x8100], 0x0800, &packet().packet()),
            Blocked,
        ),
        row(
            "in two tags",
            tagged(&[0x88a8, 0x8100], 0x0800, &packet().packet()),
            Blocked,
        ),
        row("with options", packet().options(40).frame(), Blocked),
        row(
            "in a later fragment",
            packet().piece(100, true).frame(),
            Blocked,
        ),
        row(
            "with a protocol that nobody knows",
            v4("192.0.2.1", 253, vec![]).frame(),
            Blocked,
        ),
        row(
            "with a ping",
            v4("192.0.2.1", ICMP, icmp(8, 0)).frame(),
            Blocked,
        ),
        row(
            "the insane goes first",
            v4("192.0.2.1", TCP, tcp(1, 2, SYN | FIN)).frame(),
            TcpFlags,
        ),
        row(
            "the truncated goes first",
            packet().total_length(41).frame(),
            Truncated,
        ),
    ]
}

fn blocked6() -> Force {
    Force::new()
        .block("2001:db8::1/128")
        .block("2001:db8:0:1::/64")
        .block("2001:db8:2::/48")
        .block("2001:db8:4::/47")
        .block("2001:db9::/32")
        .block("2001:db8:8::8/127")
        .block("2001:db8:9:8000::/49")
}

fn rows6() -> Vec<Row> {
    vec![
        row("a /128", from6("2001:db8::1"), Blocked),
        row(
            "its neighbour, behind the same bit of the gate",
            from6("2001:db8::2"),
            Clean,
        ),
        row("a /127", from6("2001:db8:8::9"), Blocked),
        row("behind a /127", from6("2001:db8:8::a"), Clean),
        row("a /64", from6("2001:db8:0:1:ffff::1"), Blocked),
        row("behind a /64", from6("2001:db8:0:2::1"), Clean),
        row(
            "the upper half of a /48 as a /49",
            from6("2001:db8:9:ffff::1"),
            Blocked,
        ),
        row("the lower half of it", from6("2001:db8:9:7fff::1"), Clean),
        row("a /48", from6("2001:db8:2:ffff::1"), Blocked),
        row("behind a /48", from6("2001:db8:3::1"), Clean),
        row("the second half of a /47", from6("2001:db8:5::1"), Blocked),
        row("behind a /47", from6("2001:db8:6::1"), Clean),
        row("a /32", from6("2001:db9:ffff::1"), Blocked),
        row("behind a /32", from6("2001:dba::1"), Clean),
        row(
            "behind six extension headers",
            {
                let packet = v6("2001:db8::1", TCP, syn(80));
                (0..6)
                    .fold(packet, |packet, _| packet.header(DESTINATION, 0))
                    .frame()
            },
            Blocked,
        ),
        row(
            "in a later fragment",
            v6("2001:db8::1", UDP, vec![0; 8]).piece(9, false).frame(),
            Blocked,
        ),
        row(
            "in a tag",
            tagged(&[0x8100], 0x86dd, &v6("2001:db8::1", TCP, syn(80)).packet()),
            Blocked,
        ),
    ]
}

fn both() -> Force {
    Force::new()
        .block("10.0.0.0/8")
        .allow("10.1.2.3/32")
        .block("2001:db8::/32")
        .allow("2001:db8:1::/48")
        .block("192.0.2.7/32")
        .allow("192.0.2.0/24")
}

fn both_rows() -> Vec<Row> {
    vec![
        row(
            "an allowed address in a blocked network",
            from("10.1.2.3"),
            Allowed,
        ),
        row("the address beside it", from("10.1.2.4"), Blocked),
        row(
            "an allowed network in a blocked one",
            from6("2001:db8:1::1"),
            Allowed,
        ),
        row("the network beside it", from6("2001:db8:2::1"), Blocked),
        row(
            "a blocked address in an allowed network",
            from("192.0.2.7"),
            Allowed,
        ),
        row(
            "the allowed may not be insane",
            v4("10.1.2.3", TCP, tcp(1, 2, SYN | FIN)).frame(),
            TcpFlags,
        ),
    ]
}

fn ended() -> Force {
    Force::new()
        .list(Block, "192.0.2.1/32", ENDED)
        .list(Block, "198.51.100.1/32", ENDED)
        .block("198.51.100.0/24")
        .list(Block, "203.0.113.0/24", ENDED)
        .block("203.0.113.9/32")
        .block("10.0.0.0/8")
        .list(Allow, "10.1.2.3/32", ENDED)
        .allow("172.16.0.0/12")
        .list(Block, "172.16.0.1/32", ENDED)
        .list(Block, "2001:db8::/32", ENDED)
}

fn ended_rows() -> Vec<Row> {
    vec![
        row(
            "an entry that ended blocks nothing",
            from("192.0.2.1"),
            Clean,
        ),
        row(
            "a wider one that lives still blocks",
            from("198.51.100.1"),
            Blocked,
        ),
        row(
            "a narrower one that lives still blocks",
            from("203.0.113.9"),
            Blocked,
        ),
        row("beside it nothing is blocked", from("203.0.113.8"), Clean),
        row(
            "an allowance that ended allows nothing",
            from("10.1.2.3"),
            Blocked,
        ),
        row(
            "a block that ended takes no allowance away",
            from("172.16.0.1"),
            Allowed,
        ),
        row(
            "an entry that ended blocks nothing over IPv6",
            from6("2001:db8::1"),
            Clean,
        ),
    ]
}

fn lifelines(hz: u64) -> Force {
    let free = Limit::default();
    let prefix = |source, length, protocol, port, ceiling| {
        LifelineRule::from_prefix(&address(source), length, protocol, port).with_ceiling(ceiling)
    };
    Force::new()
        .lifeline(prefix("198.51.100.0", 24, TCP, 22, free), 22)
        .lifeline(prefix("2001:db8::", 32, UDP, 500, free), 500)
        .lifeline(prefix("203.0.113.0", 25, TCP, 443, only(2, hz)), 443)
        .lifeline(
            LifelineRule::opening_from_anywhere(TCP, 2222).with_ceiling(only(2, hz)),
            2222,
        )
        .block("192.0.2.0/24")
        .block("198.51.100.0/23")
        .block("203.0.113.0/24")
        .block("2001:db8::/32")
        .block("c633:6409::/32")
}

fn lifeline_rows() -> Vec<Row> {
    let to = |source, port, flags| v4(source, TCP, tcp(40_000, port, flags)).frame();
    vec![
        row(
            "a lifeline passes what is blocked",
            to("198.51.100.9", 22, SYN),
            Lifeline,
        ),
        row(
            "not only what opens a connection",
            to("198.51.100.9", 22, ACK),
            Lifeline,
        ),
        row("but to its port only", to("198.51.100.9", 23, SYN), Blocked),
        row(
            "and not to one behind the same bit of the gate",
            to("198.51.100.9", 86, SYN),
            Blocked,
        ),
        row(
            "and from its prefix only",
            to("198.51.101.9", 22, SYN),
            Blocked,
        ),
        row(
            "and in its protocol only",
            v4("198.51.100.9", UDP, udp(40_000, 22)).frame(),
            Blocked,
        ),
        row(
            "and in its family only",
            v6("c633:6409::", TCP, syn(22)).frame(),
            Blocked,
        ),
        row(
            "and nothing insane",
            to("198.51.100.9", 22, SYN | FIN),
            TcpFlags,
        ),
        row(
            "and no later fragment, which has no port",
            v4("198.51.100.9", TCP, vec![0; 64]).piece(9, false).frame(),
            Blocked,
        ),
        row(
            "a lifeline of datagrams over IPv6",
            v6("2001:db8::9", UDP, udp(500, 500)).frame(),
            Lifeline,
        ),
        row(
            "in a tag",
            tagged(
                &[0x8100],
                0x0800,
                &v4("198.51.100.9", TCP, syn(22)).packet(),
            ),
            Lifeline,
        ),
        row(
            "the first below a ceiling of two",
            to("203.0.113.5", 443, ACK),
            Lifeline,
        ),
        row(
            "the second, from another host",
            to("203.0.113.6", 443, ACK),
            Lifeline,
        ),
        row(
            "the third is like any other",
            to("203.0.113.5", 443, ACK),
            Blocked,
        ),
        row(
            "a new connection from anywhere",
            to("192.0.2.5", 2222, SYN),
            Lifeline,
        ),
        row(
            "a packet that opens none",
            to("192.0.2.5", 2222, ACK),
            Blocked,
        ),
        row(
            "nor does an answer",
            to("192.0.2.5", 2222, SYN | ACK),
            Blocked,
        ),
        row(
            "a new connection from anywhere over IPv6",
            v6("2001:db8::5", TCP, syn(2222)).frame(),
            Lifeline,
        ),
        row("one above the ceiling", to("192.0.2.6", 2222, SYN), Blocked),
        row(
            "other lifelines are not at theirs",
            to("198.51.100.9", 22, ACK),
            Lifeline,
        ),
    ]
}

fn sessions(hz: u64) -> Force {
    Force::new()
        .session("198.51.100.9", 40_000, 22)
        .session("2001:db8::9", 40_000, 22)
        .with(|settings| settings.sessions = only(3, hz))
        .block("198.51.100.0/24")
        .block("2001:db8::/48")
}

fn session_rows() -> Vec<Row> {
    let to = |source, port, to| v4(source, TCP, tcp(port, to, ACK)).frame();
    vec![
        row(
            "a packet of a session passes",
            to("198.51.100.9", 40_000, 22),
            Lifeline,
        ),
        row(
            "from another port it is of no session",
            to("198.51.100.9", 40_001, 22),
            Blocked,
        ),
        row(
            "from another host it is of no session",
            to("198.51.100.8", 40_000, 22),
            Blocked,
        ),
        row(
            "to another port it is of no session",
            to("198.51.100.9", 40_000, 86),
            Blocked,
        ),
        row(
            "a datagram is of no session",
            v4("198.51.100.9", UDP, udp(40_000, 22)).frame(),
            Blocked,
        ),
        row(
            "a session over IPv6",
            v6("2001:db8::9", TCP, tcp(40_000, 22, ACK)).frame(),
            Lifeline,
        ),
        row(
            "the last below the ceiling",
            to("198.51.100.9", 40_000, 22),
            Lifeline,
        ),
        row(
            "one above the ceiling is like any other",
            to("198.51.100.9", 40_000, 22),
            Blocked,
        ),
    ]
}
