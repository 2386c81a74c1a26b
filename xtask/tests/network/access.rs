//! Who may: by the credentials of whoever connects.

use std::os::unix::net::UnixListener;

use crate::common::{Config, Protected};

#[test]
fn who_is_in_no_group_may_do_nothing_and_is_told_which_it_takes() {
    let p = Protected::with(
        &Config::new("enforce").table("[access]\nread_group = \"daemon\"\nadmin_group = \"adm\""),
    );
    for line in ["status", "block list", "block add 198.51.100.66", "reload"] {
        p.cli_as_nobody("--clear-groups", line)
            .ends(4)
            .says("group `");
    }
    assert_eq!(p.listed("block"), [""; 0]);
}

#[test]
fn readers_look_and_administrators_change() {
    let p = Protected::with(
        &Config::new("enforce").table("[access]\nread_group = \"daemon\"\nadmin_group = \"adm\""),
    );
    p.cli_as_nobody("--groups=daemon", "status")
        .ends(0)
        .says("ENFORCE");
    p.cli_as_nobody("--groups=daemon", "block list").ends(0);
    for line in [
        "block add 198.51.100.66",
        "allow add 198.51.100.66",
        "mode monitor",
        "limit set source.udp 1/s",
        "detach srv0",
        "reload",
    ] {
        p.cli_as_nobody("--groups=daemon", line)
            .ends(4)
            .says("uid 65534 may not change anything: it takes root or the group `adm`");
    }
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.status()["overrides"].as_array().unwrap().len(), 0);

    // The socket's file is the readers'; whoever changes is in both.
    p.cli_as_nobody("--groups=daemon,adm", "block add 198.51.100.66")
        .ends(0);
    assert!(!p.passes("198.51.100.66"));
    assert_eq!(
        p.json("block list")["entries"][0]["by"],
        "uid 65534 (nobody)"
    );
    p.cli("events").ends(0).says("[uid 65534 (nobody)");
}

#[test]
fn an_administrator_who_is_no_reader_is_told_which_group_is_missing() {
    let p = Protected::with(
        &Config::new("enforce").table("[access]\nread_group = \"daemon\"\nadmin_group = \"adm\""),
    );
    p.cli_as_nobody("--groups=adm", "block add 198.51.100.66")
        .ends(4)
        .says("group `");
    assert!(p.passes("198.51.100.66"));
}

#[test]
fn a_socket_that_nobody_serves_is_told() {
    let p = Protected::unstarted(&Config::new("enforce"));
    for line in [
        "block list",
        "block add 198.51.100.66",
        "reload",
        "why 192.0.2.1",
    ] {
        p.cli(line)
            .ends(3)
            .says("no daemon listens on")
            .says("floodwall run");
    }
    // One that a dead daemon left behind is no better.
    drop(UnixListener::bind(p.socket()).unwrap());
    p.cli("block list").ends(3).says("no daemon listens on");
    p.cli("status").ends(3);
}

#[test]
fn a_socket_left_behind_is_replaced_and_any_other_file_is_not() {
    let mut p = Protected::unstarted(&Config::new("enforce"));
    drop(UnixListener::bind(p.socket()).unwrap());
    p.start();
    p.cli("status").ends(0);
    p.terminate();
    assert!(!p.socket().exists());
    std::fs::write(p.socket(), "precious").unwrap();
    p.start_that_fails(&p.config_file())
        .ends(1)
        .says("is no socket");
    assert_eq!(std::fs::read(p.socket()).unwrap(), b"precious");
}
