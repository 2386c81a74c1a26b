//! Fragments: what becomes of the first becomes of the later.

use filter_common::{
    abi::{
        reason::Reason::{
            Allowed, Clean, FragmentOfDropped, FragmentUnknown, LimitFragments, RuleDrop,
            TinyFragment,
        },
        settings::FragmentPolicy,
    },
    logic::bucket::Limit,
};

use crate::{
    force::{Force, only},
    frame::{TCP, UDP, udp, v4, v6},
    row::{Row, Scenario, row},
};

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    let pass = FragmentPolicy::Pass;
    vec![
        Scenario {
            name: "fates of fragments",
            force: force(FragmentPolicy::Drop, hz).allow("198.18.0.9/32"),
            rows: fates(),
        },
        Scenario {
            name: "fragments whose first was not seen, where they pass",
            force: force(pass, hz),
            rows: vec![
                row("pass", later("198.18.1.1"), Clean),
                row("first", first("198.18.1.1", 53), RuleDrop),
                row("drop its later", later("198.18.1.1"), FragmentOfDropped),
            ],
        },
        Scenario {
            name: "fates that nobody remembers",
            force: force(pass, hz).with(|settings| settings.fragment_hold = 0),
            rows: vec![
                row("a first that is dropped", first("198.18.2.1", 53), RuleDrop),
                row(
                    "its later has no ports, and meets no rule with ports",
                    later("198.18.2.1"),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "a limit of fragments",
            force: force(FragmentPolicy::Limit, hz)
                .with(|settings| settings.fragments = only(3, hz)),
            rows: limited(),
        },
        Scenario {
            name: "fragments that are only watched",
            force: force(FragmentPolicy::Drop, hz).with(|settings| {
                settings.enforced = RuleDrop.bit();
                settings.fragments = Limit {
                    depth: 0,
                    ..only(1, hz)
                };
            }),
            rows: watched(),
        },
    ]
}

/// Datagrams to port 53 are dropped, and fates remembered.
fn force(policy: FragmentPolicy, hz: u64) -> Force {
    Force::new().rule("drop udp dport 53").with(|settings| {
        settings.fragment_policy = policy as u32;
        settings.fragment_hold = hz * 3600;
    })
}

fn first(source: &str, port: u16) -> Vec<u8> {
    v4(source, UDP, udp(1024, port)).piece(0, true).frame()
}

fn later(source: &str) -> Vec<u8> {
    v4(source, UDP, vec![0; 8]).piece(9, false).frame()
}

fn first6(source: &str, port: u16) -> Vec<u8> {
    v6(source, UDP, udp(1024, port)).piece(0, true).frame()
}

fn later6(source: &str) -> Vec<u8> {
    v6(source, UDP, vec![0; 8]).piece(9, false).frame()
}

fn fates() -> Vec<Row> {
    let tiny = v4("198.18.0.5", TCP, vec![0; 8]).piece(0, true).frame();
    let of_tcp = v4("198.18.0.5", TCP, vec![0; 8]).piece(9, false).frame();
    vec![
        row("a first that passes", first("198.18.0.1", 80), Clean),
        row("its later", later("198.18.0.1"), Clean),
        row("a first that is dropped", first("198.18.0.2", 53), RuleDrop),
        row("its later", later("198.18.0.2"), FragmentOfDropped),
        row("and the next", later("198.18.0.2"), FragmentOfDropped),
        row(
            "another first of the same packet",
            first("198.18.0.2", 80),
            Clean,
        ),
        row(
            "changes what becomes of its later",
            later("198.18.0.2"),
            Clean,
        ),
        row(
            "a later before its first",
            later("198.18.0.3"),
            FragmentUnknown,
        ),
        row("the first, late", first("198.18.0.3", 80), Clean),
        row("the later once more", later("198.18.0.3"), Clean),
        row("a first that is insane", tiny, TinyFragment),
        row("has a later too", of_tcp, FragmentOfDropped),
        row(
            "the later of another protocol has another fate",
            later("198.18.0.5"),
            FragmentUnknown,
        ),
        row("a first over IPv6", first6("2001:db8:18::1", 53), RuleDrop),
        row("its later", later6("2001:db8:18::1"), FragmentOfDropped),
        row(
            "the later of a neighbour in the /64",
            later6("2001:db8:18::2"),
            FragmentUnknown,
        ),
        row(
            "a first over IPv6 that passes",
            first6("2001:db8:18::3", 80),
            Clean,
        ),
        row("its later", later6("2001:db8:18::3"), Clean),
        row("the later of the allowed", later("198.18.0.9"), Allowed),
        row(
            "a packet in one piece is no fragment",
            v4("198.18.0.3", UDP, udp(1024, 80)).frame(),
            Clean,
        ),
    ]
}

fn limited() -> Vec<Row> {
    vec![
        row("a first is charged", first("198.18.3.1", 80), Clean),
        row("its later too", later("198.18.3.1"), Clean),
        row(
            "so is one that a rule drops",
            first("198.18.3.2", 53),
            RuleDrop,
        ),
        row(
            "its later is told by its fate",
            later("198.18.3.2"),
            FragmentOfDropped,
        ),
        row(
            "all sources have one limit",
            first("198.18.3.3", 80),
            LimitFragments,
        ),
        row(
            "the later of a first above the limit",
            later("198.18.3.3"),
            FragmentOfDropped,
        ),
        row(
            "one whose first was not seen",
            later("198.18.3.4"),
            LimitFragments,
        ),
        row("one over IPv6", later6("2001:db8:18:1::1"), LimitFragments),
        row(
            "what is no fragment has no such limit",
            v4("198.18.3.1", UDP, udp(1024, 80)).frame(),
            Clean,
        ),
    ]
}

fn watched() -> Vec<Row> {
    vec![
        row(
            "a later whose first was not seen",
            later("198.18.4.1"),
            Clean,
        )
        .observed(FragmentUnknown),
        row("a first that is dropped", first("198.18.4.2", 53), RuleDrop),
        row("its later", later("198.18.4.2"), Clean).observed(FragmentOfDropped),
        row("a first above the limit", first("198.18.4.3", 80), Clean).observed(LimitFragments),
        row(
            "passed, and so the limit alone speaks against its later",
            later("198.18.4.3"),
            Clean,
        )
        .observed(LimitFragments),
    ]
}
