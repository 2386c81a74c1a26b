//! Watching and enforcing.

use crate::common::{Config, Protected, wait_until};

#[test]
fn monitor_mode_drops_nothing_and_counts_what_it_would() {
    let p = Protected::with(&Config::new("monitor"));
    p.cli("block add 198.51.100.66").ends(0);
    assert!(p.passes("198.51.100.66"));
    let status = p.status();
    assert_eq!(status["mode"], "monitor");
    assert_eq!(status["totals"]["dropped"]["packets"], 0);
    assert_eq!(status["totals"]["would_drop"]["packets"], 4);
    assert_eq!(status["reasons"]["blocked"]["would_drop"]["packets"], 4);
    assert_eq!(status["reasons"]["blocked"]["packets"], 0);
    assert_eq!(status["reasons"]["blocked"]["enforced"], false);
    p.cli("status").ends(0).says("MONITOR: nothing is dropped");
    p.cli("why 198.51.100.66")
        .ends(0)
        .says("PASSES, would be dropped if enforced");

    p.cli("mode enforce").ends(0);
    assert!(!p.passes("198.51.100.66"));
    assert_eq!(p.count("blocked"), 4);
    let change = p.override_of("mode");
    assert_eq!(change["value"], "enforce");
    assert_eq!(change["file"], "monitor");
    assert_eq!(change["by"], "uid 0 (root)");
    p.cli("mode monitor").ends(0);
    assert!(p.passes("198.51.100.66"));
    assert!(p.override_of("mode").is_null());
}

#[test]
fn single_reasons_can_be_enforced_while_others_are_watched() {
    let p = Protected::with(&Config::new("monitor"));
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("mode enforce blocked")
        .ends(0)
        .says("enforce blocked");
    assert!(!p.passes("198.51.100.66"));
    // 127/8 is a martian source, which is only watched.
    let before = p.status()["reasons"]["martian_source"]["would_drop"]["packets"]
        .as_u64()
        .unwrap();
    let martian = crate::common::frame("127.0.0.9".parse().unwrap(), 0, 0);
    p.send(&martian);
    wait_until("the martian is watched", || {
        p.status()["reasons"]["martian_source"]["would_drop"]["packets"] == before + 1
    });
    assert_eq!(p.count("martian_source"), 0);
    let status = p.status();
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["reasons"]["blocked"]["enforced"], true);
    assert_eq!(status["reasons"]["martian_source"]["enforced"], false);
    p.cli("status").ends(0).says("ENFORCE in part: 1 of");

    p.cli("mode enforce martian_source").ends(0);
    assert!(p.passes("198.51.100.66"));
    p.send(&martian);
    wait_until("the martian is dropped", || p.count("martian_source") == 1);
}

#[test]
fn a_mode_for_some_time_falls_back() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("mode monitor --for 5s").ends(0).says("until");
    assert!(p.passes("198.51.100.66"));
    assert!(p.override_of("mode")["until"].is_string());
    wait_until("the mode falls back", || !p.passes("198.51.100.66"));
    assert!(p.override_of("mode").is_null());
    assert_eq!(p.status()["mode"], "enforce");
}

#[test]
fn a_mode_that_makes_no_sense_changes_nothing() {
    let p = Protected::enforcing();
    p.cli("mode enforce blokced").ends(2).says("blokced");
    p.cli("mode monitor blocked").ends(2);
    p.cli("mode off").ends(2);
    p.cli("mode monitor --for 0s").ends(2).says("ends at once");
    assert!(p.override_of("mode").is_null());
}

#[test]
fn without_a_daemon_the_emergency_exit_works_and_is_shown_afterwards() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    assert!(!p.passes("198.51.100.66"));
    p.kill();
    p.cli_configured("mode monitor")
        .ends(0)
        .says("set without a daemon: nothing is dropped");
    assert!(p.passes("198.51.100.66"));
    let status = p.cli_configured("status --json").ends(0).json();
    assert_eq!(status["mode"], "monitor");
    assert_eq!(status["daemon"], false);
    p.cli_configured("mode enforce").ends(3);

    p.start();
    assert!(p.passes("198.51.100.66"));
    let change = p.override_of("mode");
    assert_eq!(change["value"], "monitor");
    assert_eq!(change["file"], "enforce");
    assert!(
        change["by"].as_str().unwrap().contains("without a daemon"),
        "{change}"
    );
    p.cli("mode enforce").ends(0);
    assert!(!p.passes("198.51.100.66"));
}
