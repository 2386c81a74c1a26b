//! Commands that would do harm, or nothing, or make no sense: refused, and nothing changed.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use xtask::lab::sandbox::{Ns, hosts};

use crate::common::{Config, PATIENCE, Protected};

#[test]
fn nonsense_is_a_usage_error() {
    let p = Protected::enforcing();
    for prefix in [
        "nonsense",
        "198.51.100.0/33",
        "2001:db8::/129",
        "198.51.100.256",
        "198.051.100.1",
        "198.51.100.0/",
        "fe80::1%srv0",
    ] {
        for verb in ["block add", "block del", "allow add"] {
            let said = p.cli(&format!("{verb} {prefix}")).ends(2);
            assert!(said.stderr.contains(prefix), "{said:?}");
        }
    }
    p.cli("block add").ends(2);
    p.cli("block add 198.51.100.66 --for never")
        .ends(2)
        .says("is no duration");
    p.cli_words(&["block", "add", "198.51.100.66", "--reason", "a\u{1b}[2J"])
        .ends(2)
        .says("not printable");
    p.cli_words(&[
        "block",
        "add",
        "198.51.100.66",
        "--reason",
        &"x".repeat(201),
    ])
    .ends(2)
    .says("the most is 200");
    p.cli("frobnicate").ends(2);
    assert_eq!(p.listed("block"), [""; 0]);
    assert_eq!(p.listed("allow"), [""; 0]);
}

#[test]
fn host_bits_are_accepted_and_shown_masked() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.77/24 2001:db8:c1::77/48 ::ffff:192.0.2.7")
        .ends(0)
        .says("198.51.100.0/24");
    let masked = ["192.0.2.7/32", "198.51.100.0/24", "2001:db8:c1::/48"];
    assert_eq!(p.listed("block"), masked);
    assert!(!p.passes("198.51.100.1") && !p.passes("192.0.2.7"));
    // Spelled in yet another way it is the same entry.
    p.cli("block del 198.51.100.3/24").ends(0);
    assert!(p.passes("198.51.100.1"));
}

#[test]
fn what_would_cut_this_host_off_is_refused_however_it_is_spelled() {
    let p = Protected::with(
        &Config::new("enforce")
            .table("[[lifeline]]\nfrom = [\"198.51.100.128/25\"]\nprotocol = \"tcp\"\nport = 22"),
    );
    for (prefix, why) in [
        ("203.0.113.10", "an address of this host"),
        ("203.0.113.0/28", "an address of this host"),
        ("::ffff:203.0.113.10", "an address of this host"),
        ("2001:db8:5e::10", "an address of this host"),
        ("2001:db8::/32", "an address of this host"),
        ("203.0.113.1", "a gateway of this host"),
        ("2001:db8:5e::1", "a gateway of this host"),
        ("127.0.0.1", "an address of this host"),
        ("198.51.100.128/25", "a lifeline"),
        ("198.51.100.200", "a lifeline"),
        ("198.51.100.0/24", "a lifeline"),
        ("0.0.0.0/0", "covers"),
        ("0.0.0.0/1", "covers"),
        ("128.0.0.0/1", "covers"),
        ("::/0", "covers"),
        ("2000::/3", "covers"),
        ("8000::/1", "more than an eighth"),
        ("64.0.0.0/2", "more than an eighth"),
        // More than an eighth of what is in use.
        ("2400::/6", "more than an eighth"),
    ] {
        p.cli(&format!("block add {prefix}")).ends(5).says(why);
        p.cli_fed(
            "block import - --list feed",
            format!("{prefix}\n").as_bytes(),
        )
        .ends(5)
        .says(why);
    }
    // Nor piece by piece.
    p.cli("block add 32.0.0.0/3").ends(0);
    p.cli("block add 64.0.0.0/3").ends(5).says("in all");
    p.cli_fed("block import - --list feed", b"64.0.0.0/8\n")
        .ends(5);
    let many: String = (64..96).map(|net| format!(" {net}.0.0.0/8")).collect();
    p.cli(&format!("block add{many}")).ends(5).says("in all");
    assert_eq!(p.listed("block"), ["32.0.0.0/3"]);
    p.cli("allow add 0.0.0.0/1").ends(5).says("mode monitor");
    assert_eq!(p.listed("allow"), [""; 0]);
    assert!(p.passes("198.51.100.200") && p.passes("64.0.0.1") && p.passes("203.0.113.1"));
}

#[test]
fn a_resolver_is_not_blocked() {
    let mut p = Protected::unstarted(&Config::new("enforce"));
    p.set_resolver("192.0.2.53");
    p.start();
    p.cli("block add 192.0.2.0/24")
        .ends(5)
        .says("192.0.2.53/32, a resolver of this host");
    p.cli("block add 192.0.2.53 --force").ends(0);
    assert!(!p.passes("192.0.2.53"));
}

#[test]
fn where_an_administrator_is_logged_in_is_not_blocked_and_the_session_survives_force() {
    let p = Protected::enforcing();
    let listener = p
        .sandbox
        .in_ns(Ns::Server, || TcpListener::bind(("0.0.0.0", 22)).unwrap())
        .unwrap();
    let connect = || TcpStream::connect(SocketAddr::from((hosts::SERVER.v4, 22))).unwrap();
    let mut administrator = p.sandbox.in_ns(Ns::Client, connect).unwrap();
    let (mut session, peer) = listener.accept().unwrap();
    p.cli("block add 198.51.100.0/24")
        .ends(5)
        .says("where an administrator is logged in");
    p.cli(&format!("block add {}", peer.ip())).ends(5);
    assert!(p.passes("198.51.100.66"));

    p.cli("block add 198.51.100.0/24 --force").ends(0);
    assert!(!p.passes(&peer.ip().to_string()), "not the session itself");
    session.set_read_timeout(Some(PATIENCE)).unwrap();
    administrator.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    session.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
}

#[test]
fn an_entry_that_another_covers_is_refused_and_the_other_named() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.0/24").ends(0);
    p.cli("block add 198.51.100.66")
        .ends(5)
        .says("covered by 198.51.100.0/24")
        .says("would do nothing");
    p.cli("block add 192.0.2.0/24 192.0.2.7")
        .ends(5)
        .says("covered by 192.0.2.0/24 in the same command");
    assert_eq!(p.listed("block"), ["198.51.100.0/24"]);
    p.cli("allow add 192.0.2.0/24").ends(0);
    p.cli("allow add 192.0.2.7")
        .ends(5)
        .says("covered by 192.0.2.0/24");
    p.cli("block add 192.0.2.7")
        .ends(5)
        .says("covered by 192.0.2.0/24 on the allowlist");
    // One that outlives the other is of use.
    p.cli("block add 3fff::/48 --for 1h").ends(0);
    p.cli("block add 3fff::1").ends(0);
    p.cli("block add 3fff::2 --for 1m")
        .ends(5)
        .says("3fff::/48");
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.0/24").ends(0);
    p.cli_fed("block import - --list feed", b"192.0.2.0/24\n")
        .ends(0);
    p.cli("block del 198.51.101.0/24")
        .ends(1)
        .says("198.51.101.0/24 is not on the blocklist");
    p.cli("block del 198.51.100.66")
        .ends(1)
        .says("it is covered by 198.51.100.0/24");
    p.cli("block del 192.0.2.0/24")
        .ends(1)
        .says("a member of the imported list feed");
    // All, or none.
    p.cli("block del 198.51.100.0/24 198.51.101.0/24").ends(1);
    assert_eq!(p.listed("block"), ["198.51.100.0/24", "192.0.2.0/24"]);
    assert!(!p.passes("198.51.100.66"));
    p.cli("allow del 192.0.2.1")
        .ends(1)
        .says("is not on the allowlist");
}

#[test]
fn a_full_table_refuses_and_keeps_what_it_has() {
    let p = Protected::with(&Config::new("enforce").table("[tables]\nblock = 3\nallow = 1"));
    p.cli("block add 198.51.100.1 198.51.100.2 --reason kept")
        .ends(0);
    p.cli("block add 198.51.100.3 198.51.100.4")
        .ends(5)
        .says("would hold 4 entries and has room for 3")
        .says("`block` under [tables]");
    assert_eq!(p.listed("block"), ["198.51.100.1/32", "198.51.100.2/32"]);
    assert!(p.passes("198.51.100.3"));
    p.cli("block add 198.51.100.3").ends(0);
    p.cli("block add 198.51.100.4").ends(5);
    // What is there already takes no room.
    p.cli("block add 198.51.100.3 --reason again")
        .ends(0)
        .says("1 updated");
    assert!(!p.passes("198.51.100.3") && p.passes("198.51.100.4"));
    let table = &p.status()["tables"]["block"];
    assert_eq!(
        (&table["entries"], &table["capacity"]),
        (&3.into(), &3.into())
    );
    p.cli("allow add 198.51.100.1 198.51.100.2")
        .ends(5)
        .says("`allow` under [tables]");
}

#[test]
fn a_flush_asks_and_then_takes_everything() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 2001:db8:c1::66").ends(0);
    p.cli_fed("block import - --list feed", b"192.0.2.0/24\n")
        .ends(0);
    p.cli("allow add 198.51.100.10").ends(0);
    p.cli("block flush")
        .ends(2)
        .says("floodwall block flush --yes");
    assert!(!p.passes("198.51.100.66"));
    p.cli("block flush --yes").ends(0).says("3 removed");
    assert_eq!(p.listed("block"), [""; 0]);
    for source in ["198.51.100.66", "2001:db8:c1::66", "192.0.2.1"] {
        assert!(p.passes(source));
    }
    assert_eq!(p.listed("allow"), ["198.51.100.10/32"]);
}
