//! Blocking and allowing: what an operator types, and what packets meet.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use xtask::lab::sandbox::{Ns, hosts};

use crate::common::{Protected, frame, tagged, wait_until};

#[test]
fn a_blocked_source_is_cut_off_and_let_in_again() {
    let p = Protected::enforcing();
    assert!(p.passes("198.51.100.66"));
    p.cli("block add 198.51.100.66 --reason flood")
        .ends(0)
        .says("block 198.51.100.66/32")
        .says("1 added");
    let before = p.count("blocked");
    assert!(!p.passes("198.51.100.66"));
    assert_eq!(p.count("blocked"), before + 4);
    assert!(p.passes("198.51.100.67"));
    assert!(p.passes("198.51.100.65"));
    p.cli("block list")
        .ends(0)
        .says("198.51.100.66/32")
        .says("flood");
    let entry = &p.json("block list")["entries"][0];
    assert_eq!(entry["prefix"], "198.51.100.66/32");
    assert_eq!(entry["list"], "manual");
    assert_eq!(entry["reason"], "flood");
    assert_eq!(entry["by"], "uid 0 (root)");
    assert!(entry["until"].is_null());
    assert_eq!(entry["packets"], 4);

    p.cli("block del 198.51.100.66")
        .ends(0)
        .says("off the blocklist");
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.listed("block"), [""; 0]);
}

#[test]
fn a_blocked_client_cannot_connect_and_others_can() {
    let p = Protected::enforcing();
    let listener = p
        .sandbox
        .in_ns(Ns::Server, || TcpListener::bind(("0.0.0.0", 8080)).unwrap())
        .unwrap();
    let server = SocketAddr::from((hosts::SERVER.v4, 8080));
    let connects = |ns| {
        let connect = || TcpStream::connect_timeout(&server, Duration::from_millis(700)).is_ok();
        p.sandbox.in_ns(ns, connect).unwrap()
    };
    assert!(connects(Ns::Client) && connects(Ns::Attacker));
    p.cli(&format!("block add {}", hosts::ATTACKER.v4)).ends(0);
    assert!(connects(Ns::Client) && !connects(Ns::Attacker));
    p.cli("block flush --yes").ends(0);
    assert!(connects(Ns::Attacker));
    drop(listener);
}

#[test]
fn prefixes_of_every_length_cut_off_what_they_cover_and_nothing_else() {
    let p = Protected::enforcing();
    for (prefix, inside, outside) in [
        ("192.0.0.0/5", "199.255.255.255", "191.255.255.255"),
        ("198.0.0.0/8", "198.255.255.255", "199.0.0.1"),
        ("198.32.0.0/11", "198.51.100.66", "198.64.0.1"),
        ("198.51.0.0/16", "198.51.0.1", "198.52.0.1"),
        ("198.51.100.0/23", "198.51.101.255", "198.51.102.1"),
        ("198.51.100.0/24", "198.51.100.255", "198.51.101.1"),
        ("198.51.100.0/25", "198.51.100.127", "198.51.100.128"),
        ("198.51.100.64/30", "198.51.100.67", "198.51.100.68"),
        ("198.51.100.66/31", "198.51.100.67", "198.51.100.65"),
        ("198.51.100.66/32", "198.51.100.66", "198.51.100.67"),
        ("3fff::/20", "3fff:fff:ffff::1", "3fff:1000::1"),
        ("2001:db8:c1::/32", "2001:db8:5f::1", "2001:db9::1"),
        ("2001:db8:80::/41", "2001:db8:ff::1", "2001:db8:100::1"),
        ("2001:db8:c1::/48", "2001:db8:c1:ffff::1", "2001:db8:c2::1"),
        ("2001:db8:c1:4::/63", "2001:db8:c1:5::1", "2001:db8:c1:6::1"),
        ("2001:db8:c1::/64", "2001:db8:c1::ffff", "2001:db8:c1:1::1"),
        (
            "2001:db8:c1::/65",
            "2001:db8:c1::1",
            "2001:db8:c1:0:8000::1",
        ),
        (
            "2001:db8:c1::66:0/112",
            "2001:db8:c1::66:1",
            "2001:db8:c1::67:1",
        ),
        ("2001:db8:c1::66/127", "2001:db8:c1::67", "2001:db8:c1::68"),
        ("2001:db8:c1::66/128", "2001:db8:c1::66", "2001:db8:c1::67"),
    ] {
        let force = if prefix.ends_with("/32") && prefix.contains(':') {
            // It covers the server too, whose packets never arrive at its own interface.
            " --force"
        } else {
            ""
        };
        assert!(p.passes(inside), "{prefix}");
        p.cli(&format!("block add {prefix}{force}")).ends(0);
        assert!(!p.passes(inside), "{prefix} covers {inside}");
        assert!(p.passes(outside), "{prefix} does not cover {outside}");
        p.cli(&format!("block del {prefix}")).ends(0);
        assert!(p.passes(inside), "{prefix} was taken off");
    }
}

#[test]
fn the_allowlist_goes_before_the_blocklist() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.0/24 2001:db8:c1::/64").ends(0);
    assert!(!p.passes("198.51.100.66") && !p.passes("2001:db8:c1::66"));
    p.cli("allow add 198.51.100.64/30 2001:db8:c1::66").ends(0);
    let before = p.count("allowed");
    assert!(p.passes("198.51.100.66") && p.passes("2001:db8:c1::66"));
    assert_eq!(p.count("allowed"), before + 8);
    assert!(!p.passes("198.51.100.68") && !p.passes("2001:db8:c1::67"));
    // A longer blocked prefix does not win over a shorter allowed one either.
    p.cli("block add 198.51.100.66")
        .ends(5)
        .says("198.51.100.64/30")
        .says("floodwall allow del 198.51.100.64/30");
    p.cli("allow del 198.51.100.64/30 2001:db8:c1::66").ends(0);
    assert!(!p.passes("198.51.100.66") && !p.passes("2001:db8:c1::66"));
}

#[test]
fn an_entry_with_an_end_ends_by_itself() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 2001:db8:c1::66 --for 5s")
        .ends(0)
        .says("until");
    p.cli("block add 198.51.100.67").ends(0);
    assert!(!p.passes("198.51.100.66") && !p.passes("2001:db8:c1::66"));
    assert!(p.json("block list")["entries"][0]["until"].is_string());
    wait_until("both entries end", || {
        p.passes("198.51.100.66") && p.passes("2001:db8:c1::66")
    });
    wait_until("they are forgotten", || {
        p.listed("block") == ["198.51.100.67/32"]
    });
    assert!(!p.passes("198.51.100.67"));
    p.cli("events").ends(0).says("ended");
}

#[test]
fn an_entry_ends_in_time_though_the_daemon_was_killed() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66 2001:db8:c1::/64 --for 6s")
        .ends(0);
    p.cli("block add 198.51.100.67").ends(0);
    assert!(!p.passes("198.51.100.66"));
    p.kill();
    assert!(!p.passes("198.51.100.66") && !p.passes("2001:db8:c1::66"));
    wait_until("the kernel ends both", || {
        p.passes("198.51.100.66") && p.passes("2001:db8:c1::66")
    });
    assert!(!p.passes("198.51.100.67") && !p.runs());
    p.start();
    assert_eq!(p.listed("block"), ["198.51.100.67/32"]);
    assert!(p.passes("198.51.100.66") && !p.passes("198.51.100.67"));
}

#[test]
fn an_entry_added_again_gets_the_new_end_and_reason() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 --for 1h --reason first")
        .ends(0);
    p.cli("block add 198.51.100.66 --for 2h --reason second")
        .ends(0)
        .says("1 updated");
    let list = p.json("block list");
    assert_eq!(list["total"], 1);
    assert_eq!(list["entries"][0]["reason"], "second");
    assert!(!p.passes("198.51.100.66"));
}

#[test]
fn tags_and_headers_are_no_way_round_the_blocklist() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 2001:db8:c1::66").ends(0);
    for source in ["198.51.100.66", "2001:db8:c1::66"] {
        let source = source.parse().unwrap();
        for tags in [
            &[(0x8100, 7)][..],
            &[(0x88a8, 7)],
            &[(0x8100, 7), (0x8100, 8)],
            &[(0x88a8, 7), (0x8100, 8)],
        ] {
            let before = p.count("blocked");
            p.send(&tagged(frame(source, 0, 0), tags));
            wait_until("it is dropped as blocked", || {
                p.count("blocked") == before + 1
            });
        }
        let before = p.count("vlan_depth");
        p.send(&tagged(frame(source, 0, 0), &[(0x8100, 7); 3]));
        wait_until("a third tag is too many", || {
            p.count("vlan_depth") == before + 1
        });
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 --dry-run")
        .ends(0)
        .says("Only tried, nothing was changed")
        .says("1 added");
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.listed("block"), [""; 0]);
    p.cli("block add 203.0.113.10 --dry-run").ends(5);
}
