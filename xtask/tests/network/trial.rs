//! Changes that are taken back unless somebody confirms them.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use xtask::lab::sandbox::{Ns, hosts};

use crate::common::{Config, Protected, wait_until};

/// How long after the deadline the old policy is back, at most.
const LATE: SignedDuration = SignedDuration::from_secs(1);

/// Somebody on the client's side who works on the server.
struct Operator<'a> {
    p: &'a Protected,
    server: SocketAddr,
    _listener: TcpListener,
}

impl<'a> Operator<'a> {
    fn of(p: &'a Protected) -> Self {
        let listen = || TcpListener::bind(("0.0.0.0", 8080)).unwrap();
        Self {
            p,
            server: SocketAddr::from((hosts::SERVER.v4, 8080)),
            _listener: p.sandbox.in_ns(Ns::Server, listen).unwrap(),
        }
    }

    fn connects(&self) -> bool {
        let patience = Duration::from_millis(200);
        let server = self.server;
        let connect = move || TcpStream::connect_timeout(&server, patience).is_ok();
        self.p.sandbox.in_ns(Ns::Client, connect).unwrap()
    }

    /// When the attempt began that reached the server again.
    fn is_back_at(&self) -> Timestamp {
        let mut began = Timestamp::now();
        wait_until("the operator is back", || {
            began = Timestamp::now();
            self.connects()
        });
        began
    }
}

fn deadline(p: &Protected) -> Timestamp {
    let pending = &p.status()["pending"];
    pending["until"].as_str().unwrap().parse().unwrap()
}

#[test]
fn who_cut_himself_off_is_back_though_the_daemon_is_dead() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    let before = p.json("block list")["entries"].clone();
    let operator = Operator::of(&p);
    assert!(operator.connects());
    p.cli(&format!(
        "block add {} --force --confirm 3s",
        hosts::CLIENT.v4
    ))
    .ends(0)
    .says("unless you say `floodwall confirm`");
    p.cli("block del 198.51.100.66 --confirm 3s").ends(0);
    p.cli("status").ends(0).says("NOT CONFIRMED: taken back in");
    let until = deadline(&p);
    assert!(!operator.connects());
    assert!(p.passes("198.51.100.66"));
    drop(operator);
    p.kill();

    let operator = Operator::of(&p);
    assert!(!operator.connects() || Timestamp::now() >= until);
    let back = operator.is_back_at();
    assert!(back >= until - LATE, "{back} is long before {until}");
    assert!(back <= until + LATE, "{back} is long after {until}");
    assert!(!p.passes("198.51.100.66"), "what was removed is back too");
    drop(operator);

    p.start();
    assert!(!p.passes("198.51.100.66"));
    let after = p.json("block list")["entries"].clone();
    assert_eq!(after[0]["prefix"], before[0]["prefix"]);
    assert_eq!(after.as_array().unwrap().len(), 1);
    assert!(p.status()["pending"].is_null());
    p.cli("status")
        .ends(0)
        .says("not confirmed until")
        .says("and taken back: ")
        .says(&format!("{}/32 on the blocklist", hosts::CLIENT.v4));
    p.cli("events").ends(0).says("trial.expired");
    p.cli("confirm")
        .ends(1)
        .says("nothing waits for confirmation");
}

#[test]
fn a_daemon_that_lives_takes_rules_modes_and_limits_back() {
    let p = Protected::enforcing();
    let operator = Operator::of(&p);
    p.cli("rule add drop tcp dport 8080 --force --confirm 2s")
        .ends(0);
    assert!(!operator.connects());
    let until = deadline(&p);
    let back = operator.is_back_at();
    assert!(back <= until + LATE, "{back} is long after {until}");
    wait_until("the daemon follows", || p.status()["pending"].is_null());
    assert!(p.json("rule list")["rules"].as_array().unwrap().is_empty());

    p.cli("limit set source.syn 1/s --confirm 2s").ends(0);
    assert_eq!(p.override_of("limit.source.syn")["value"], "1/s");
    p.cli("mode enforce blocked --confirm 2s").ends(0);
    wait_until("the daemon follows", || p.status()["pending"].is_null());
    assert!(p.status()["overrides"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_confirmed_stays_and_what_is_undone_goes() {
    let p = Protected::enforcing();
    p.cli("confirm").ends(1);
    p.cli("undo").ends(1).says("nothing to take back");
    p.cli("block add 198.51.100.66 --confirm 600s").ends(0);
    assert!(!p.passes("198.51.100.66"));
    let left = p.status()["pending"]["seconds_left"].as_u64().unwrap();
    assert!((1..=601).contains(&left), "{left}");
    p.cli("block add 198.51.100.67")
        .ends(5)
        .says("a change waits for confirmation until")
        .says("`floodwall undo` takes it back");
    p.cli("reload").ends(5).says("a change waits");
    p.cli("block add 198.51.100.67 --confirm 600s").ends(0);
    p.cli("confirm").ends(0).says("confirmed: 198.51.100.66/32");
    assert_eq!(p.listed("block"), ["198.51.100.66/32", "198.51.100.67/32"]);
    assert!(!p.passes("198.51.100.66"));

    p.cli("block flush --yes --confirm 600s").ends(0);
    assert!(p.passes("198.51.100.66"));
    p.cli("undo --dry-run").ends(0);
    assert!(p.passes("198.51.100.66"));
    p.cli("undo").ends(0).says("taken back");
    assert!(!p.passes("198.51.100.66"));
    // Without anything that waits, the last change.
    p.cli("block del 198.51.100.67").ends(0);
    p.cli("undo").ends(0);
    assert_eq!(p.listed("block"), ["198.51.100.66/32", "198.51.100.67/32"]);
    for (line, says) in [
        ("detach --confirm 60s", "cuts nobody off"),
        ("attach srv0 --confirm 60s", "in monitor mode"),
        (
            "block add 198.51.100.9 --for 10s --confirm 60s",
            "by itself",
        ),
    ] {
        p.cli(line).ends(5).says(says);
    }
    p.cli("block add 198.51.100.9 --confirm 2h")
        .ends(2)
        .says("--confirm takes 1s to 1h");
}

#[test]
fn a_reload_that_cut_the_operator_off_is_taken_back_and_the_next_daemon_knows() {
    let mut p = Protected::enforcing();
    let operator = Operator::of(&p);
    let good = Config::new("enforce");
    p.write_config(&good.key("rules = [\"drop tcp dport 8080\"]"));
    p.cli("config diff")
        .ends(0)
        .says("rules")
        .says("drop tcp dport 8080");
    p.cli("reload --confirm 3s")
        .ends(0)
        .says("was read again")
        .says("unless you say `floodwall confirm`");
    assert!(!operator.connects());
    let until = deadline(&p);
    drop(operator);
    p.kill();

    let operator = Operator::of(&p);
    let back = operator.is_back_at();
    assert!(back <= until + LATE, "{back} is long after {until}");
    drop(operator);
    p.start();
    let operator = Operator::of(&p);
    assert!(operator.connects());
    p.cli("status")
        .ends(0)
        .says("the file's last reload was not confirmed");
    // Now it is meant.
    p.cli("reload --confirm 600s").ends(0);
    p.cli("confirm").ends(0);
    assert!(!operator.connects());
    drop(operator);
    p.kill();
    p.start();
    assert_eq!(p.json("rule list")["rules"].as_array().unwrap().len(), 1);
    p.write_config(&Config::new("enforce").interfaces(&[]));
    p.cli("reload --confirm 60s")
        .ends(5)
        .says("`interfaces` changed");
}
