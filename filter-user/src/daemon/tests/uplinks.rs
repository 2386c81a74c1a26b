//! Interfaces that are not there yet, and those that nobody named.

use std::collections::BTreeSet;

use super::*;
use crate::host::links::Link;

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        ethernet: name != "ppp0",
        ..Link::default()
    }
}

fn routed(host: &Host, uplinks: &[u32]) {
    host.surroundings.scene().facts.uplinks = uplinks.iter().copied().collect();
}

fn attached(daemon: &Daemon<Fake>) -> Vec<&str> {
    daemon.plane.attached.iter().map(String::as_str).collect()
}

/// A host with two cards and a modem, whose interfaces nobody named.
fn unnamed() -> Host {
    let host = Host::new("interfaces = \"default-route\"");
    host.surroundings.scene().links = vec![link(2, "eth0"), link(3, "eth1"), link(4, "ppp0")];
    host
}

#[test]
fn one_that_is_missing_at_the_start_is_waited_for_in_words() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    host.surroundings.scene().links = vec![link(2, "eth0")];
    let mut daemon = host.first();
    daemon.plane.missing = BTreeSet::from(["eth1".to_owned()]);
    daemon.protect_first().expect("it waits");
    assert_eq!(attached(&daemon), ["eth0"]);
    let status = daemon.status().expect("a status");
    let problem = status.interfaces[1].problem.clone().expect("a problem");
    assert!(problem.contains("there is no interface eth1") && problem.contains("as soon as"));

    host.surroundings.scene().links.push(link(3, "eth1"));
    daemon.plane.missing.clear();
    daemon.keep_protected();
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
    assert_eq!(
        daemon.status().expect("a status").interfaces[1].problem,
        None
    );
}

#[test]
fn a_reload_refuses_a_name_that_no_interface_has() {
    let host = Host::new("interfaces = [\"eth0\"]");
    host.surroundings.scene().links = vec![link(2, "eth0")];
    let mut daemon = host.first();
    daemon.protect_first().expect("attached");
    daemon.plane.missing = BTreeSet::from(["eth1".to_owned()]);
    host.configure("interfaces = [\"eth0\", \"eth1\"]");
    let refusal = daemon.run(Command::Reload).expect_err("it is not there");
    assert!(refusal.message.contains("there is no interface eth1"));
    assert_eq!(attached(&daemon), ["eth0"]);
}

#[test]
fn default_routes_say_what_is_protected_and_ethernet_alone_is() {
    let host = unnamed();
    routed(&host, &[2, 4]);
    let mut daemon = host.first();
    daemon.protect_first().expect("attached");
    assert_eq!(attached(&daemon), ["eth0"]);

    // Another way out is protected, and the old one stays so.
    routed(&host, &[3]);
    daemon.refresh_facts();
    daemon.keep_protected();
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
    routed(&host, &[]);
    daemon.refresh_facts();
    daemon.keep_protected();
    daemon.run(Command::Reload).expect("read again");
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
}

#[test]
fn before_there_is_a_default_route_nothing_is_protected_and_that_is_said() {
    let host = unnamed();
    let mut daemon = host.first();
    daemon.protect_first().expect("it waits");
    assert!(attached(&daemon).is_empty());
    let warned = daemon.status().expect("a status").warnings;
    assert!(
        warned.iter().any(|text| text.contains("no default route")),
        "{warned:?}"
    );
    routed(&host, &[2]);
    daemon.refresh_facts();
    daemon.keep_protected();
    assert_eq!(attached(&daemon), ["eth0"]);
}

#[test]
fn a_boot_protects_what_was_found_before_there_is_a_route() {
    let host = unnamed();
    routed(&host, &[2]);
    let mut daemon = host.first();
    daemon.protect_first().expect("attached");
    drop(daemon);

    routed(&host, &[]);
    let mut daemon = host.first();
    daemon.protect_first().expect("attached");
    assert_eq!(attached(&daemon), ["eth0"]);
}

#[test]
fn one_that_was_found_is_waited_for_only_until_there_is_another_way_out() {
    let host = unnamed();
    routed(&host, &[2]);
    let mut daemon = host.first();
    daemon.protect_first().expect("attached");
    drop(daemon);

    // The card is another after this boot.
    routed(&host, &[]);
    host.surroundings.scene().links = vec![link(3, "eth1")];
    let mut daemon = host.first();
    daemon.plane.missing = BTreeSet::from(["eth0".to_owned()]);
    daemon.protect_first().expect("it waits");
    let names = |daemon: &mut Daemon<Fake>| -> Vec<String> {
        let status = daemon.status().expect("a status");
        status.interfaces.into_iter().map(|it| it.name).collect()
    };
    assert_eq!(names(&mut daemon), ["eth0"]);
    routed(&host, &[3]);
    daemon.refresh_facts();
    daemon.keep_protected();
    assert_eq!(names(&mut daemon), ["eth1"]);
    assert_eq!(attached(&daemon), ["eth1"]);
}

#[test]
fn what_is_damaged_of_the_memory_is_told_and_pins_say_it() {
    let host = unnamed();
    let mut daemon = host.first();
    daemon.plane.attached = BTreeSet::from(["eth1".to_owned()]);
    let fake = stop(daemon);
    fs::write(host.state().join("uplinks.json"), "[\"eth").expect("written");
    let mut daemon = host.start(fake, true);
    daemon.protect_first().expect("attached");
    assert_eq!(attached(&daemon), ["eth1"]);
    let warned = daemon.status().expect("a status").warnings;
    assert!(
        warned.iter().any(|text| text.contains("default routes")),
        "{warned:?}"
    );
}
