//! The daemon as its service runs it: no root, and the unit's capabilities alone.

use std::fs;

use crate::common::{Config, Protected, wait_until};
use xtask::lab::sandbox::{Ns, hosts};

const UNIT: &str = include_str!("../../../packaging/floodwall.service");

/// The value of a key of the unit.
fn unit(key: &str) -> &'static str {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.strip_prefix('=')).unwrap()
}

/// As setpriv spells them.
fn capabilities() -> String {
    unit("AmbientCapabilities").to_lowercase().replace(' ', ",")
}

fn serviced() -> Protected {
    let access = "[access]\nread_group = \"nogroup\"\nadmin_group = \"adm\"";
    let mut p = Protected::unstarted(&Config::new("enforce").table(access));
    p.set_service(&capabilities());
    p.start();
    p
}

#[test]
fn the_units_capabilities_are_the_four_that_the_readme_names() {
    let expected = "CAP_BPF CAP_NET_ADMIN CAP_PERFMON CAP_SYS_PTRACE";
    assert_eq!(unit("AmbientCapabilities"), expected);
    assert_eq!(unit("CapabilityBoundingSet"), expected);
}

#[test]
fn with_the_units_capabilities_alone_it_protects_and_is_taken_over() {
    let mut p = serviced();
    // CAP_NET_ADMIN 12, CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39.
    let four = 1_u64 << 12 | 1 << 19 | 1 << 38 | 1 << 39;
    let status = fs::read_to_string(format!("/proc/{}/status", p.pid())).unwrap();
    for line in [
        "Uid:\t65534\t65534",
        &format!("CapEff:\t{four:016x}"),
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line} is missing: {status}");
    }

    p.cli("block add 198.51.100.66").ends(0);
    assert!(!p.passes("198.51.100.66"));
    assert!(p.passes("198.51.100.67"));

    let program = p.program_on(hosts::SERVER.interface);
    p.kill();
    assert_eq!(p.program_on(hosts::SERVER.interface), program);
    assert!(!p.passes("198.51.100.66"));
    p.start();
    assert!(!p.passes("198.51.100.66"));
    p.cli("block del 198.51.100.66").ends(0);
    assert!(p.passes("198.51.100.66"));
    p.cli("reload").ends(0);

    // What is left behind is root's to take off.
    p.terminate();
    p.cli_configured("detach").ends(0);
    assert_eq!(p.program_on(hosts::SERVER.interface), None);
}

#[test]
fn at_rest_it_takes_less_memory_than_promised() {
    let p = serviced();
    p.cli("status").ends(0);
    let status = fs::read_to_string(format!("/proc/{}/status", p.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let mut words = line.unwrap().split_whitespace().skip(1);
    let kilobytes: u64 = words.next().unwrap().parse().unwrap();
    assert!(kilobytes < 60 << 10, "{kilobytes} KiB of anonymous memory");
}

#[test]
fn with_the_units_capabilities_alone_it_sees_what_defences_ask_for() {
    let p = serviced();
    wait_until("it has looked at what is translated", || {
        let said = p.cli("defence list").ends(0).stdout;
        !said.contains("left out") && !said.contains("cannot be")
    });
    let log = p.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn with_the_units_capabilities_alone_it_answers_with_cookies() {
    let p = serviced();
    let syncookies = || {
        let mut command = p.sandbox.command(Ns::Server, "cat");
        let output = command.arg("/proc/sys/net/ipv4/tcp_syncookies").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(syncookies(), "1\n");
    p.cli("defence set cookies on").ends(0);
    wait_until("the kernel's setting is changed", || syncookies() == "2\n");
}
