//! Interfaces: attaching, detaching, and devices that go and come back.

use std::fs;

use xtask::lab::{
    programs::{Lab, Tables},
    sandbox::{Ns, UPLINK, hosts},
};

use crate::common::{Config, Protected, wait_until};

const SRV0: &str = hosts::SERVER.interface;

#[test]
fn detaching_lets_everything_pass_and_is_remembered_until_attach() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    assert_eq!(p.attachment(SRV0), "native");
    p.cli("detach srv0")
        .ends(0)
        .says("until `floodwall attach`");
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.program_on(SRV0), None);
    assert!(p.attachment(SRV0).is_null());
    p.cli("status").ends(0).says("NOT PROTECTED: srv0");
    assert_eq!(p.override_of("interface.srv0")["value"], "detached");

    p.terminate();
    p.start();
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.program_on(SRV0), None);
    p.cli("reload").ends(0);
    assert_eq!(p.program_on(SRV0), None, "a reload does not attach either");

    p.cli("attach srv0").ends(0);
    assert!(!p.passes("198.51.100.66"));
    assert_eq!(p.attachment(SRV0), "native");
    assert!(p.override_of("interface.srv0").is_null());
}

#[test]
fn detaching_without_a_daemon_works_and_is_remembered() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.kill();
    let status = p.cli_configured("status --json").ends(0).json();
    assert_eq!(status["daemon"], false);
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["interfaces"][0]["name"], SRV0);
    assert_eq!(status["interfaces"][0]["attach"], "native");
    p.cli_configured("status").ends(0).says("no daemon answers");
    assert!(!p.passes("198.51.100.66"));

    p.cli_configured("detach nonsense0")
        .ends(3)
        .says("it is attached to: srv0");
    p.cli_configured("detach")
        .ends(0)
        .says("srv0 is not protected any more");
    assert!(p.passes("198.51.100.66"));
    assert_eq!(p.program_on(SRV0), None);

    p.start();
    assert!(p.passes("198.51.100.66"));
    let change = p.override_of("interface.srv0");
    assert!(
        change["by"].as_str().unwrap().contains("without a daemon"),
        "{change}"
    );
    p.cli("attach srv0").ends(0);
    assert!(!p.passes("198.51.100.66"));
}

#[test]
fn detached_once_the_next_daemon_attaches_again() {
    let mut p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.cli_configured("detach --once")
        .ends(1)
        .says("another floodwall holds");
    assert!(!p.passes("198.51.100.66"));
    p.terminate();
    p.cli_configured("detach --once")
        .ends(0)
        .says("srv0 is not protected any more");
    assert_eq!(p.program_on(SRV0), None);
    p.start();
    assert!(!p.passes("198.51.100.66"));
}

#[test]
fn an_interface_that_is_not_configured_cannot_be_attached_or_detached() {
    let p = Protected::enforcing();
    for verb in ["attach", "detach"] {
        p.cli(&format!("{verb} lo"))
            .ends(1)
            .says("lo is not among `interfaces`");
    }
    assert_eq!(p.attachment(SRV0), "native");
}

#[test]
fn a_device_that_goes_and_comes_back_is_protected_again() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    assert!(!p.passes("198.51.100.66"));
    let mac = p.ip(Ns::Server, "-br link show dev srv0");
    let mac = mac.split_whitespace().nth(2).unwrap();
    for _ in 0..2 {
        p.ip(Ns::Server, "link del srv0");
        wait_until("the loss is shown", || p.attachment(SRV0).is_null());
        p.cli("status").ends(0).says("NOT PROTECTED: srv0");
        let server = p.sandbox.server().name();
        p.ip(
            Ns::Wire,
            &format!("link add {UPLINK} type veth peer name srv0 address {mac} netns {server}"),
        );
        p.ip(Ns::Wire, &format!("link set {UPLINK} master br0 up"));
        p.ip(Ns::Server, "link set srv0 up");
        p.ip(Ns::Server, "addr add 203.0.113.10/24 dev srv0");
        wait_until("it is protected again", || p.program_on(SRV0).is_some());
        wait_until("that is shown", || p.attachment(SRV0) == "native");
        assert!(!p.passes("198.51.100.66") && p.passes("198.51.100.67"));
    }
    p.cli("events").ends(0).says("srv0 is NOT protected");
}

#[test]
fn a_link_that_goes_down_and_up_stays_protected() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    let program = p.program_on(SRV0);
    p.ip(Ns::Server, "link set srv0 down");
    p.ip(Ns::Server, "link set srv0 up");
    wait_until("packets flow again", || {
        p.ip(Ns::Wire, &format!("link show dev {UPLINK}"))
            .contains("state UP")
    });
    assert!(!p.passes("198.51.100.66") && p.passes("198.51.100.67"));
    assert_eq!(p.program_on(SRV0), program);
}

#[test]
fn somebody_elses_program_is_named_and_left_alone() {
    let p = Protected::unstarted(&Config::new("enforce"));
    let _link = Lab::load(Tables::Tiny)
        .unwrap()
        .attach("pass", p.sandbox.server(), SRV0)
        .unwrap();
    let program = p.program_on(SRV0).unwrap();
    p.start_that_fails(&p.config_file())
        .ends(1)
        .says("srv0 already has an XDP program: pass")
        .says(&format!("bpftool prog show id {program}"));
    assert_eq!(p.program_on(SRV0), Some(program));
    assert!(p.passes("198.51.100.66"));
    // Nothing is left pinned that would take memory.
    assert!(!p.pins().join("maps").exists() && !p.pins().join("maps-new").exists());
    assert_eq!(fs::read_dir(p.pins().join("links")).unwrap().count(), 0);
}

#[test]
fn with_one_of_two_interfaces_taken_neither_is_touched() {
    let p = Protected::unstarted(&Config::new("enforce").interfaces(&[SRV0, "ext0"]));
    p.ip(Ns::Server, "link add ext0 type veth peer name ext1");
    let _link = Lab::load(Tables::Tiny)
        .unwrap()
        .attach("pass", p.sandbox.server(), "ext0")
        .unwrap();
    p.start_that_fails(&p.config_file())
        .ends(1)
        .says("ext0 already has an XDP program: pass");
    assert_eq!(p.program_on(SRV0), None);
}

#[test]
fn a_reload_adds_and_removes_interfaces() {
    let p = Protected::enforcing();
    p.ip(Ns::Server, "link add ext0 type veth peer name ext1");
    p.write_config(&Config::new("enforce").interfaces(&[SRV0, "ext0"]));
    p.cli("reload").ends(0);
    assert_eq!(p.attachment("ext0"), "native");
    assert!(p.program_on("ext0").is_some() && p.program_on(SRV0).is_some());

    p.write_config(&Config::new("enforce").interfaces(&[SRV0]));
    p.cli("reload").ends(0);
    assert_eq!(p.program_on("ext0"), None);
    assert!(p.program_on(SRV0).is_some());
    assert_eq!(p.status()["interfaces"].as_array().unwrap().len(), 1);

    // One that cannot be had changes nothing.
    let more = ["ext0", "nonsense0", SRV0];
    p.write_config(&Config::new("monitor").interfaces(&more));
    p.cli("reload")
        .ends(1)
        .says("there is no interface nonsense0")
        .says("Nothing was changed");
    assert_eq!(p.program_on("ext0"), None);
    let status = p.status();
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["interfaces"].as_array().unwrap().len(), 1);
}

#[test]
fn generic_mode_works_and_is_told() {
    let p = Protected::with(&Config::new("enforce").key("attach = \"generic\""));
    p.cli("block add 198.51.100.66").ends(0);
    assert_eq!(p.attachment(SRV0), "generic");
    assert!(!p.passes("198.51.100.66") && p.passes("198.51.100.67"));
    p.cli("status")
        .ends(0)
        .says("generic (slower)")
        .says("generic mode");
    assert!(p.log().contains("generic mode"));
}

#[test]
fn detached_for_some_time_it_comes_back_by_itself() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("detach srv0 --for 5s").ends(0).says("until");
    assert!(p.override_of("interface.srv0")["until"].is_string());
    wait_until("it is protected again", || p.program_on(SRV0).is_some());
    assert!(!p.passes("198.51.100.66"));
    wait_until("that is shown", || {
        p.override_of("interface.srv0").is_null()
    });
}
