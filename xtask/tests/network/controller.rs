//! The controller, as an operator meets it who does nothing.

use std::{net::UdpSocket, thread, time::Duration};

use serde_json::Value;
use xtask::lab::{
    attack,
    flood::{Flood, Options, Pace},
    http::{self, Visitors},
};

use crate::common::{Config, Protected, wait_until};

/// How long a new daemon looks at calm traffic before what begins can be told from what was there.
const CALM: Duration = Duration::from_secs(3);

/// A day in fast motion: what is held goes a second after an attack.
fn fast() -> Protected {
    let config = Config::new("enforce").table("[detection]\nrecover = \"1s\"");
    Protected::with(&config)
}

fn flood(p: &Protected, name: &str) -> Flood {
    let options = Options {
        pace: Pace::PerSecond(100_000),
        cpu: None,
        first: false,
    };
    Flood::start(&p.sandbox, &attack::named(name).unwrap(), options).unwrap()
}

/// Incidents, the newest first.
fn incidents(p: &Protected) -> Vec<Value> {
    let list = p.json("incident list");
    list["incidents"].as_array().unwrap().clone()
}

fn is_under_attack(p: &Protected) -> bool {
    let (code, view) = p.http("GET", "/v1/view");
    assert_eq!(code, 200);
    view["incident"].is_number()
}

fn is_held(p: &Protected, what: &str) -> bool {
    let status = p.status();
    let held = status["held"].as_array().unwrap();
    held.iter().any(|it| it["name"] == what)
}

/// Nothing that the controller did is in force any more.
fn nothing_is_left(p: &Protected) {
    wait_until("the attack is over", || !is_under_attack(p));
    wait_until("nothing is held any more", || {
        p.status()["held"].as_array().unwrap().is_empty()
    });
    assert_eq!(p.listed("ban"), [""; 0]);
    assert_eq!(p.json("rule list")["rules"], serde_json::json!([]));
    assert_eq!(p.status()["overrides"], serde_json::json!([]));
}

#[test]
fn a_day_with_two_attacks_and_a_daemon_killed_in_the_second_leaves_nothing_behind() {
    let mut p = fast();
    let _web = http::Server::start(p.sandbox.server(), None).unwrap();
    thread::sleep(CALM);
    assert_eq!(incidents(&p).len(), 0, "calm");

    let first = flood(&p, "syn-random");
    wait_until("SYNs are answered with cookies", || {
        is_held(&p, "defence.cookies") && p.count("cookie_answered") > 0
    });
    first.finish().unwrap();
    nothing_is_left(&p);
    let day = incidents(&p);
    assert_eq!(day.len(), 1, "{day:#?}");
    let shown = p.cli("incident show 1").ends(0);
    let shown = shown.says("SYN flood").says("cookies");
    drop(shown);

    let second = flood(&p, "ack");
    // At the listener they are judged by their cookies, for a while after the first attack.
    wait_until("ACKs of nobody are dropped", || {
        is_under_attack(&p) && p.count("no_socket") + p.count("cookie_refused") > 0
    });
    p.kill();
    p.start();
    wait_until("the next daemon finds out by itself", || {
        is_under_attack(&p)
    });
    second.finish().unwrap();
    nothing_is_left(&p);
    let day = incidents(&p);
    assert!(day.len() >= 2, "{day:#?}");
    for incident in &day {
        assert!(incident["end"].is_string(), "{incident:#?}");
    }
    let events = p.json("events");
    let events = events["events"].as_array().unwrap();
    let damaged = events.iter().find(|it| it["kind"] == "state.damaged");
    assert_eq!(damaged, None, "what was learned is intact");
}

#[test]
fn in_monitor_mode_all_is_decided_and_nothing_dropped() {
    let config = Config::new("monitor").table("[detection]\nrecover = \"1s\"");
    let p = Protected::with(&config);
    let _web = http::Server::start(p.sandbox.server(), None).unwrap();
    thread::sleep(CALM);
    let flood = flood(&p, "syn-random");
    wait_until("the controller decides", || is_held(&p, "defence.cookies"));
    flood.finish().unwrap();
    let status = p.status();
    assert_eq!(status["totals"]["dropped"]["packets"], 0);
    assert_eq!(p.count("cookie_answered"), 0);
    wait_until("it is over", || !is_under_attack(&p));
    p.cli("incident show 1").ends(0).says("SYN flood");
}

/// How long calm traffic is looked at until it says that it loses less than a twentieth: ten seconds
/// on probation, and some packets.
const KNOWN: Duration = Duration::from_secs(16);

/// A daemon that starts amid a flood has no calm traffic to find a fingerprint by.
#[test]
fn a_fingerprint_outlives_the_daemon_that_found_it() {
    let config = Config::new("enforce").table("[detection]\nmax_collateral = \"5%\"");
    let mut p = Protected::with(&config);
    let server = p.sandbox.server();
    let _web = http::Server::start(server, None).unwrap();
    let _game = server
        .run(|| UdpSocket::bind(("0.0.0.0", attack::GAME)))
        .unwrap()
        .unwrap();
    let mut usual = Visitors::usual();
    usual.rate = Some(400);
    let visitors = http::Client::with(p.sandbox.client(), usual, None).unwrap();
    thread::sleep(KNOWN);
    let flood = flood(&p, "udp-open");
    let drops = |p: &Protected, beyond: u64| {
        let rules = p.json("rule list");
        let is_listed = rules["rules"].as_array().is_some_and(|all| !all.is_empty());
        is_listed && p.count("rule_drop") > beyond
    };
    wait_until("a fingerprint is in force", || drops(&p, 10_000));
    // It is written at once, by another thread, to a disk that may be busy.
    thread::sleep(Duration::from_secs(1));
    p.kill();
    p.start();
    let before = p.count("rule_drop");
    wait_until("the next daemon goes on with it", || {
        drops(&p, before + 50_000)
    });
    flood.finish().unwrap();
    let heard = visitors.finish().unwrap();
    assert!(heard.success() > 0.9, "{heard:?}");
}

/// The kernel's counters are older than the daemon.
#[test]
fn a_restart_among_visitors_is_no_attack() {
    let mut p = Protected::enforcing();
    let _web = http::Server::start(p.sandbox.server(), None).unwrap();
    let mut usual = Visitors::usual();
    usual.rate = Some(400);
    let visitors = http::Client::with(p.sandbox.client(), usual, None).unwrap();
    thread::sleep(CALM);
    p.kill();
    p.start();
    thread::sleep(CALM);
    assert_eq!(incidents(&p).len(), 0, "{:#?}", incidents(&p));
    let heard = visitors.finish().unwrap();
    assert!(heard.success() > 0.9, "{heard:?}");
}
