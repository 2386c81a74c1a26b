//! The daemon stops, dies and comes back, and packets notice nothing.

use std::{fmt::Write as _, thread, time::Duration};

use nix::sys::signal::Signal;
use xtask::lab::sandbox::hosts;

use crate::common::{Config, Protected, Stream, wait_until};

/// By hand, by hand in a short IPv6 prefix, in IPv6, and on an imported list.
const LISTED: [&str; 4] = ["198.51.100.66", "3fff::66", "2001:db8:c1::66", "198.18.7.7"];
/// Known to nobody, in both families, and allowed amid a blocked prefix.
const CLEAN: [&str; 3] = ["192.0.2.7", "2001:db8:a7::7", "198.51.100.10"];

/// Lists as they are after some weeks: many entries, so that restoring them takes a while.
fn protected() -> Protected {
    let p = Protected::enforcing();
    let mut feed = String::new();
    for number in 0..10_000_u32 {
        let (high, low) = (number / 250, number % 250);
        writeln!(feed, "198.18.{high}.{low}").unwrap();
        writeln!(feed, "2001:db8:f00d:{high:x}::{low:x}").unwrap();
    }
    p.cli_fed("block import - --list feed", feed.as_bytes())
        .ends(0)
        .says("20,000 added");
    p.cli("block add 198.51.100.0/24 3fff::/20 2001:db8:c1::66")
        .ends(0);
    p.cli("allow add 198.51.100.10").ends(0);
    p
}

fn assert_no_leak(stream: Stream) {
    thread::sleep(Duration::from_millis(300));
    let report = stream.finish();
    assert!(report.sent > 200, "{report:?}");
    assert!(
        report.leaked.is_empty() && report.lost.is_empty(),
        "{report:?}"
    );
}

#[track_caller]
fn assert_all_there(p: &Protected) {
    let tables = &p.status()["tables"];
    assert_eq!(tables["block"]["entries"], 3);
    assert_eq!(tables["lists_v4"]["entries"], 10_000);
    assert_eq!(tables["lists_v6"]["entries"], 10_000);
}

/// Does something while packets flow, and finds that none noticed.
fn while_streaming(p: &mut Protected, work: impl FnOnce(&mut Protected)) {
    let stream = p.stream(&LISTED, &CLEAN, 500);
    thread::sleep(Duration::from_millis(300));
    work(p);
    assert_no_leak(stream);
}

#[test]
fn a_restart_leaks_nothing_and_loses_nothing() {
    let mut p = protected();
    while_streaming(&mut p, |p| {
        p.terminate();
        assert!(p.log().contains("the filter stays attached to srv0"));
        assert!(p.log().contains("`floodwall detach` takes it away"));
        assert!(p.program_on(hosts::SERVER.interface).is_some());
        p.start();
    });
    assert_all_there(&p);
}

#[test]
fn a_daemon_that_is_killed_and_started_leaks_nothing_and_loses_nothing() {
    let mut p = protected();
    while_streaming(&mut p, |p| {
        p.kill();
        p.start();
        p.kill();
        p.start();
    });
    assert_all_there(&p);
}

#[test]
fn tables_of_another_size_are_moved_into_without_a_leak() {
    let mut p = protected();
    let larger = Config::new("enforce").table("[tables]\nblock = 300000");
    while_streaming(&mut p, |p| {
        p.write_config(&larger);
        // Sizes cannot change while the daemon runs.
        p.cli("reload").ends(5).says("`tables` changed");
        p.terminate();
        p.start();
    });
    assert_eq!(p.status()["tables"]["block"]["capacity"], 300_000);
}

#[test]
fn a_reload_leaks_nothing_and_loses_nothing() {
    let mut p = protected();
    while_streaming(&mut p, |p| {
        p.write_config(&Config::new("enforce").table("[limits.source]\nsyn = \"100/s\""));
        for _ in 0..5 {
            p.cli("reload").ends(0);
        }
    });
}

#[test]
fn entries_overrides_counters_and_the_journal_outlive_a_restart() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66 --reason flood --for 1h")
        .ends(0);
    p.cli("allow add 198.51.100.10 --reason partner").ends(0);
    p.cli_fed("block import - --list feed", b"198.18.0.0/24\n")
        .ends(0);
    p.cli("limit set source.udp 500/s burst 700").ends(0);
    p.cli("mode enforce blocked listed malformed").ends(0);
    assert!(!p.passes("198.51.100.66"));
    let before = p.status();
    let (block, allow) = (p.json("block list"), p.json("allow list"));
    let last = p.json("events")["last"].as_i64().unwrap();

    for kill in [false, true] {
        if kill {
            p.kill()
        } else {
            p.terminate()
        }
        p.start();
        let after = p.status();
        assert_eq!(after["overrides"], before["overrides"]);
        assert_eq!(after["overrides"].as_array().unwrap().len(), 2);
        assert_eq!(after["mode"], before["mode"]);
        assert_eq!(p.json("block list"), block, "packets that met it, too");
        assert_eq!(p.json("allow list"), allow);
        for reason in ["blocked", "clean"] {
            let packets =
                |status: &serde_json::Value| status["reasons"][reason]["packets"].as_u64().unwrap();
            assert!(packets(&after) >= packets(&before), "{reason}");
        }
        assert!(p.json("events")["last"].as_i64().unwrap() >= last);
        p.cli("events")
            .ends(0)
            .says("198.51.100.66/32 on the blocklist");
    }
    assert!(!p.passes("198.51.100.66") && !p.passes("198.18.0.1"));
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    let program = p.program_on(hosts::SERVER.interface);
    let text = std::fs::read_to_string(p.config_file()).unwrap();
    let other = |name: &str| {
        let path = p.file(&format!("other.{name}"));
        path.to_string_lossy().into_owned()
    };
    let at = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let socket = text.replace(&at(p.socket()), &other("sock"));
    let state = socket.replace(&at(p.state()), &other("state"));
    let pins = socket.replace(&at(p.pins()), &at(p.sandbox.bpf().join("other")));
    for (config, says) in [
        (&text, "is in use by a running floodwall"),
        (&socket, "another floodwall holds"),
        (&state, "another floodwall holds"),
        (&pins, "another floodwall holds"),
    ] {
        let file = p.file("second.toml");
        std::fs::write(&file, config).unwrap();
        p.start_that_fails(&file).ends(1).says(says);
        assert!(p.runs());
        assert_eq!(p.status()["daemon"], true);
        assert_eq!(p.program_on(hosts::SERVER.interface), program);
        assert!(!p.passes("198.51.100.66"));
    }
    // One with everything of its own is refused by the interface.
    let all = state.replace(&at(p.pins()), &at(p.sandbox.bpf().join("other")));
    let file = p.file("second.toml");
    std::fs::write(&file, all).unwrap();
    p.start_that_fails(&file)
        .ends(1)
        .says("srv0 already has an XDP program: floodwall");
    assert_eq!(p.program_on(hosts::SERVER.interface), program);
    p.terminate();
}

#[test]
fn hanging_up_reloads() {
    let mut p = Protected::with(&Config::new("monitor"));
    p.cli("block add 198.51.100.66").ends(0);
    assert!(p.passes("198.51.100.66"));
    p.write_config(&Config::new("enforce"));
    p.signal(Signal::SIGHUP);
    wait_until("the file takes effect", || p.status()["mode"] == "enforce");
    assert!(!p.passes("198.51.100.66"));

    p.write_config(&Config::new("monitor").key("intrefaces = []"));
    p.signal(Signal::SIGHUP);
    wait_until("the bad file is told", || {
        p.log().contains("the reload failed")
    });
    assert!(p.log().contains("did you mean `interfaces`?"));
    assert!(p.runs());
    assert_eq!(p.status()["mode"], "enforce");
}
