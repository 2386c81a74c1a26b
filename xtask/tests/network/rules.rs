//! Rules: what an operator types, and what packets meet.

use crate::common::{Config, Protected, frame, wait_until};

/// The datagrams of these tests: from port 40000, 40 bytes with their IPv4 header, 64 hops; behind
/// four bytes they carry a small number in eight.
const MATCHING: &str = "udp sport 40000 length 40 ttl 64 payload 0x00000000000000 at 4";

fn packets(p: &Protected, id: &str) -> u64 {
    let list = p.json("rule list");
    let rules = list["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["id"] == id).unwrap();
    rule["packets"].as_u64().unwrap()
}

#[test]
fn a_rule_drops_what_matches_it_and_nothing_else() {
    let p = Protected::enforcing();
    p.cli(&format!(
        "rule add drop from 198.51.100.0/24 {MATCHING} --reason flood"
    ))
    .ends(0)
    .says("rule 1: drop udp from 198.51.100.0/24 sport 40000 length 40 ttl 64");
    assert!(!p.passes("198.51.100.66"));
    assert!(p.passes("198.51.101.66"));
    assert_eq!(packets(&p, "1"), 4);
    assert_eq!(p.count("rule_drop"), 4);
    p.cli("rule list").ends(0).says("enforced").says("flood");
    p.cli("why 198.51.100.66 --proto udp --dport 9")
        .ends(0)
        .says("rule 1 (drop udp");

    p.cli("rule add --before 1 pass udp from 198.51.100.66")
        .ends(0);
    assert!(p.passes("198.51.100.66") && !p.passes("198.51.100.67"));
    p.cli("rule del 1 2").ends(0).says("rule 1 is gone");
    assert!(p.passes("198.51.100.67"));
    p.cli("rule list").ends(0).says("No rule.");
    p.cli("events").ends(0).says("rule.add").says("rule.del");
}

#[test]
fn a_rule_in_shadow_only_counts() {
    let p = Protected::enforcing();
    p.cli("rule add shadow drop udp from 198.51.100.66").ends(0);
    assert!(p.passes("198.51.100.66"));
    assert_eq!((packets(&p, "1"), p.count("rule_drop")), (4, 0));
}

#[test]
fn a_limit_drops_what_a_source_sends_above_it() {
    let p = Protected::enforcing();
    p.cli("rule add limit 1/s burst 4 per source udp from 198.51.100.0/24")
        .ends(0);
    let source = "198.51.100.66".parse().unwrap();
    for number in 0..200 {
        p.send(&frame(source, 0, number));
    }
    // That says, too, that all before it have been decided.
    assert!(p.passes("198.51.100.67"), "another source has its own");
    let above = packets(&p, "1");
    assert!((1..=196).contains(&above), "{above} of 200");
    assert_eq!(p.count("rule_limit"), above);
}

#[test]
fn the_kernel_ends_a_rule_in_time() {
    let p = Protected::enforcing();
    p.cli("rule add drop from 198.51.100.66 --for 5s").ends(0);
    assert!(!p.passes("198.51.100.66"));
    wait_until("the rule ends", || p.passes("198.51.100.66"));
    wait_until("the rule is forgotten", || {
        p.json("rule list")["rules"].as_array().unwrap().is_empty()
    });
}

#[test]
fn rules_outlive_the_daemon_with_their_counts() {
    let config = Config::new("enforce").key("rules = [\"drop udp from 198.51.100.1 sport 40000\"]");
    let mut p = Protected::with(&config);
    p.cli("rule add drop udp from 198.51.100.2 sport 40000")
        .ends(0);
    assert!(!p.passes("198.51.100.1") && !p.passes("198.51.100.2"));
    p.terminate();
    assert!(!p.passes("198.51.100.1") && !p.passes("198.51.100.2"));
    p.start();
    assert_eq!((packets(&p, "file:1"), packets(&p, "1")), (8, 8));
    assert!(!p.passes("198.51.100.2"));
    p.write_config(&Config::new("enforce"));
    p.cli("reload").ends(0);
    assert!(p.passes("198.51.100.1") && !p.passes("198.51.100.2"));
    assert_eq!(packets(&p, "1"), 16);
}

#[test]
fn what_makes_no_sense_or_does_harm_is_refused() {
    let p = Protected::enforcing();
    p.cli("rule add drop udp sprot 5").ends(2).says("^^^^^");
    p.cli("rule add drop any").ends(5).says("--force");
    p.cli("rule del 3").ends(1).says("there is no rule 3");
    p.cli("rule add drop udp sport 5 --before file:1").ends(1);
    p.cli("rule add drop udp sport 5 --dry-run")
        .ends(0)
        .says("Only tried");
    p.cli("rule list").ends(0).says("No rule.");
}
