//! Defences, switched by hand.

use filter_common::abi::defence::Defence;

use super::*;
use crate::{config::defence::DefenceMode, core::defences::CookieWish};

fn set(defence: Defence, mode: DefenceMode) -> Command {
    at(defence, mode, &[], &[])
}

fn at(defence: Defence, mode: DefenceMode, ports: &[u16], services: &[&str]) -> Command {
    Command::SetDefence {
        defence,
        mode,
        ports: ports.to_vec(),
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        duration: Some(Duration::from_secs(60)),
        reason: "a test".to_owned(),
    }
}

fn service(name: &str, protocol: u8, port: Option<u16>) -> crate::config::Service {
    crate::config::Service {
        name: name.to_owned(),
        matches: crate::rules::ServiceMatch {
            to: prefixes(&["203.0.113.10"]),
            protocol,
            port,
        },
        packets: None,
        bytes: None,
    }
}

#[test]
fn a_defence_by_hand_is_an_override_until_it_is_given_back() {
    let mut host = Host::new();
    let outcome = host
        .run(set(Defence::Sockets, DefenceMode::On))
        .expect("set");
    assert_eq!(
        outcome.notes,
        ["defence sockets is on until 2025-11-28T09:01:00Z (a test)"]
    );
    let mode =
        |host: &Host| crate::core::defences::mode(&host.config, &host.state, Defence::Sockets);
    assert_eq!(mode(&host), DefenceMode::On);
    let outcome = host
        .run(Command::AutoDefence {
            defence: Defence::Sockets,
        })
        .expect("given back");
    assert_eq!(outcome.notes, ["defence sockets is back to pressure"]);
    assert_eq!(mode(&host), DefenceMode::Pressure);
    assert!(host.state.defences.is_empty());
}

#[test]
fn cookies_can_be_switched_at_single_ports_and_services() {
    let mut host = Host::new();
    host.config.services = vec![service("web", 6, Some(443)), service("dns", 17, Some(53))];
    let outcome = host
        .run(at(Defence::Cookies, DefenceMode::On, &[80], &["web"]))
        .expect("set");
    assert!(
        outcome.notes[0].starts_with("defence cookies at ports 80, 443 is on"),
        "{outcome:?}"
    );
    let wish = CookieWish::of(&host.config, &host.state);
    assert!(wish.base.is_none() && wish.contains(80) && wish.contains(443) && !wish.contains(22));
    host.run(at(Defence::Cookies, DefenceMode::Off, &[80], &[]))
        .expect("off there");
    host.run(set(Defence::Cookies, DefenceMode::On))
        .expect("on everywhere");
    assert!(
        host.state.cookie_ports.is_empty(),
        "the word about all ports is the last"
    );
    host.run(at(Defence::Cookies, DefenceMode::Off, &[80], &[]))
        .expect("off there");
    let wish = CookieWish::of(&host.config, &host.state);
    assert!(wish.contains(443) && !wish.contains(80));
    host.run(Command::AutoDefence {
        defence: Defence::Cookies,
    })
    .expect("given back");
    assert_eq!(host.state, State::default());
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let mut host = Host::new();
    host.config.services = vec![service("dns", 17, Some(53)), service("all", 6, None)];
    for (command, kind, says) in [
        (
            set(Defence::Cookies, DefenceMode::Pressure),
            Invalid,
            "`off`, `auto` or `on`",
        ),
        (
            at(Defence::Sockets, DefenceMode::On, &[80], &[]),
            Invalid,
            "only `cookies`",
        ),
        (
            at(Defence::Cookies, DefenceMode::On, &[0], &[]),
            Invalid,
            "port 0",
        ),
        (
            at(Defence::Cookies, DefenceMode::On, &[], &["dns"]),
            Invalid,
            "--port",
        ),
        (
            at(Defence::Cookies, DefenceMode::On, &[], &["all"]),
            Invalid,
            "--port",
        ),
        (
            at(Defence::Cookies, DefenceMode::On, &[], &["nosuch"]),
            NotFound,
            "\"nosuch\" is no service",
        ),
    ] {
        refused(host.run(command), kind, &[says]);
    }
    assert_eq!(host.state, State::default());
}

#[test]
fn what_cannot_work_here_can_be_switched_off_but_not_on() {
    let mut host = Host::new();
    let why = "/proc/sys is read-only: mend it so".to_owned();
    host.unable.insert(Defence::Cookies, why);
    refused(
        host.run(set(Defence::Cookies, DefenceMode::On)),
        Refused,
        &["cookies cannot hold here", "mend it so"],
    );
    host.run(set(Defence::Cookies, DefenceMode::Off))
        .expect("off");
    host.run(set(Defence::Sockets, DefenceMode::On))
        .expect("another");
}
