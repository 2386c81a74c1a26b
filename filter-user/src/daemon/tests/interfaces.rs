//! Interfaces that come and go, and looks at the host that fail.

use super::*;

#[test]
fn a_look_at_the_host_that_fails_takes_no_session_away() {
    use crate::core::facts::{Part, Session};

    fn seen() -> Facts {
        Facts {
            sessions: vec![Session {
                peer: "198.51.100.7:50000".parse().expect("an address"),
                local_port: 2222,
            }],
            ssh_ports: vec![22, 2222],
            ..Facts::default()
        }
    }
    fn failed() -> Facts {
        Facts {
            ssh_ports: vec![22],
            unknown: [Part::Sessions].into(),
            warnings: vec!["SSH sessions cannot be read (no luck)".to_owned()],
            ..Facts::default()
        }
    }
    let host = Host::new("");
    let mut daemon = host.first();
    host.surroundings.scene().facts = seen();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    host.surroundings.scene().facts = failed();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    assert_eq!(daemon.facts.ssh_ports, [22, 2222]);
    assert!(daemon.troubles["facts"].contains("no luck"));
    daemon
        .add(Block, &["192.0.2.1/32"])
        .expect("what was known before is enough");

    // Nor do those go that an earlier daemon found, if this one never saw any; but nothing more is
    // blocked.
    daemon.facts = Facts::default();
    daemon.facts.unknown = [Part::Sessions].into();
    daemon.refresh_facts();
    assert_eq!(daemon.plane.sessions.len(), 1);
    let refusal = daemon.add(Block, &["192.0.2.2/32"]).expect_err("refused");
    assert!(refusal.message.contains("no luck"), "{refusal:?}");

    host.surroundings.scene().facts = Facts::default();
    daemon.refresh_facts();
    assert!(daemon.plane.sessions.is_empty());
    assert!(!daemon.troubles.contains_key("facts"));
}

#[test]
fn a_detached_interface_stays_detached_until_it_is_attached() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    let attached =
        |daemon: &Daemon<Fake>| daemon.plane.attached.iter().cloned().collect::<Vec<_>>();
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
    let detach = Command::Detach {
        interface: Some("eth0".to_owned()),
        duration: None,
    };
    daemon.run(detach).expect("detached");
    daemon.work();
    assert_eq!(attached(&daemon), ["eth1"]);
    let mut daemon = host.again(daemon);
    daemon.protect().expect("attached");
    assert_eq!(attached(&daemon), ["eth1"], "over a restart too");
    let attach = Command::Attach {
        interface: "eth0".to_owned(),
    };
    daemon.run(attach).expect("attached");
    assert_eq!(attached(&daemon), ["eth0", "eth1"]);
}

#[test]
fn an_interface_that_comes_back_is_protected_again() {
    let host = Host::new("interfaces = [\"eth0\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    daemon.plane.attached.clear();
    daemon.work();
    assert!(daemon.plane.attached.contains("eth0"));
}

#[test]
fn pins_that_end_with_this_daemon_are_told_and_interfaces_are_kept_all_the_same() {
    let host = Host::new("interfaces = [\"eth0\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    daemon.plane.lone_pins = Some("unmounted: restart floodwall".to_owned());
    daemon.plane.attached.clear();
    daemon.keep_protected();
    assert!(daemon.troubles["pins"].contains("restart floodwall"));
    assert!(daemon.plane.attached.contains("eth0"));
    daemon.plane.lone_pins = None;
    daemon.keep_protected();
    assert!(!daemon.troubles.contains_key("pins"));
}

#[test]
fn an_interface_that_is_no_longer_configured_is_released() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    host.configure("interfaces = [\"eth1\"]");
    daemon.run(Command::Reload).expect("read again");
    assert_eq!(daemon.plane.attached.iter().collect::<Vec<_>>(), ["eth1"]);
}

#[test]
fn only_interfaces_that_are_protected_are_said_to_be() {
    let host = Host::new("interfaces = [\"eth0\", \"eth1\"]");
    let mut daemon = host.first();
    daemon.protect().expect("attached");
    assert!(daemon.greeting().ends_with("protects eth0, eth1"));
    daemon
        .run(Command::Detach {
            interface: Some("eth0".to_owned()),
            duration: None,
        })
        .expect("detached");
    let mut daemon = host.again(daemon);
    daemon.protect().expect("attached");
    assert!(daemon.greeting().ends_with("protects eth1"));
    daemon
        .run(Command::Detach {
            interface: None,
            duration: None,
        })
        .expect("detached");
    assert!(daemon.greeting().ends_with("no interface is protected yet"));
}
