//! Commands on rules.

use ErrorKind::{NotFound, Refused};

use super::*;
use crate::core::{
    facts::Part,
    rules::{self, RuleId},
};

impl Host {
    fn rule(&mut self, text: &str) -> Result<Outcome, Refusal> {
        self.rule_before(text, None, None)
    }

    fn rule_before(
        &mut self,
        text: &str,
        before: Option<RuleId>,
        seconds: Option<u64>,
    ) -> Result<Outcome, Refusal> {
        self.run(Command::AddRule {
            rule: Box::new(text.parse().expect("a rule")),
            before,
            duration: seconds.map(Duration::from_secs),
            reason: "a test".to_owned(),
            force: false,
        })
    }

    fn remove_rules(&mut self, ids: &[RuleId]) -> Result<Outcome, Refusal> {
        self.run(Command::RemoveRules { ids: ids.to_vec() })
    }

    /// Ids and texts, in order.
    fn rules(&self) -> Vec<String> {
        rules::all(&self.config, &self.state)
            .iter()
            .map(|listed| format!("{} {}", listed.id, listed.rule))
            .collect()
    }
}

#[test]
fn rules_stand_in_the_order_that_was_asked_for_behind_those_of_the_file() {
    let mut host = Host::new();
    host.config.rules = vec!["pass icmp".parse().expect("a rule")];
    host.rule("drop udp dport 1").expect("added");
    let outcome = host.rule("drop udp dport 2").expect("added");
    assert_eq!(outcome.rules, ["2"]);
    assert_eq!(outcome.notes, ["rule 2: drop udp dport 2"]);
    let first = Some(RuleId::Added(1));
    host.rule_before("drop udp dport 3", first, None)
        .expect("added");
    host.rule_before("drop udp dport 4", first, None)
        .expect("added");
    assert_eq!(
        host.rules(),
        [
            "file:1 pass icmp",
            "3 drop udp dport 3",
            "4 drop udp dport 4",
            "1 drop udp dport 1",
            "2 drop udp dport 2",
        ]
    );
}

#[test]
fn a_number_is_given_once() {
    let mut host = Host::new();
    host.rule("drop udp dport 1").expect("added");
    host.rule("drop udp dport 2").expect("added");
    let outcome = host
        .remove_rules(&[RuleId::Added(2), RuleId::Added(1), RuleId::Added(2)])
        .expect("removed");
    assert_eq!(outcome.rules, ["1", "2"]);
    assert_eq!(
        outcome.notes,
        [
            "rule 1 is gone: drop udp dport 1",
            "rule 2 is gone: drop udp dport 2"
        ]
    );
    assert_eq!(host.rule("drop udp dport 1").expect("added").rules, ["3"]);
}

#[test]
fn there_is_always_room_between_two_rules() {
    let mut host = Host::new();
    host.rule("drop udp dport 1").expect("added");
    let mut wanted = Vec::new();
    for port in 1000..1200_u32 {
        let before = Some(RuleId::Added(1));
        host.rule_before(&format!("drop udp dport {port}"), before, None)
            .expect("added");
        wanted.push(format!("{} drop udp dport {port}", port - 998));
    }
    wanted.push("1 drop udp dport 1".to_owned());
    assert_eq!(host.rules(), wanted);
}

#[test]
fn what_is_not_there_or_stands_in_the_file_cannot_be_changed() {
    let mut host = Host::new();
    host.config.rules = vec!["drop icmp".parse().expect("a rule")];
    for (id, kind, says) in [
        (RuleId::Added(5), NotFound, "rule list"),
        (RuleId::File(1), Refused, "floodwall reload"),
        (RuleId::File(2), NotFound, "no file:2"),
    ] {
        refused(host.remove_rules(&[id]), kind, &[says]);
        let before = host.rule_before("drop udp", Some(id), None);
        refused(before, kind, &[says]);
    }
    assert_eq!(host.rules(), ["file:1 drop icmp"]);
}

#[test]
fn a_rule_that_would_do_nothing_is_refused_with_the_name_of_the_other() {
    let mut host = Host::new();
    host.config.rules = vec!["drop udp dport 100-200".parse().expect("a rule")];
    refused(
        host.rule("pass udp dport 150"),
        Refused,
        &["rule file:1", "comes first"],
    );
    host.rule("shadow drop tcp").expect("decides nothing");
    refused(
        host.rule("shadow drop tcp"),
        Refused,
        &["rule 1 is the same"],
    );
    host.rule("limit 500/s per source tcp")
        .expect("decides nothing either");
    host.rule("drop tcp dport 22").expect("added");
    refused(
        host.rule("pass tcp dport 22 from 192.0.2.1"),
        Refused,
        &["rule 3", "`--before 3`"],
    );
    host.rule_before(
        "pass tcp dport 22 from 192.0.2.1",
        Some(RuleId::Added(3)),
        None,
    )
    .expect("before it, it does something");
}

#[test]
fn a_rule_that_ends_hides_none_that_lasts() {
    let mut host = Host::new();
    host.rule_before("drop udp dport 53", None, Some(60))
        .expect("added");
    refused(
        host.rule_before("drop udp dport 53 length > 400", None, Some(59)),
        Refused,
        &["rule 1", "until 2025-11-28T09:01:00Z"],
    );
    host.rule("drop udp dport 53 length > 400")
        .expect("it lasts longer");
    host.now = "2025-11-28T09:01:00Z".parse().expect("a time");
    for change in host.state.expired(host.now) {
        let _ = host.state.apply(change);
    }
    assert_eq!(host.rules(), ["2 drop udp dport 53 length > 400"]);
}

#[test]
fn a_crowd_is_refused_by_name() {
    let mut host = Host::new();
    for port in 0..16 {
        host.rule(&format!("limit 5/s udp dport {port}-99"))
            .expect("added");
    }
    refused(
        host.rule("limit 5/s udp dport 99"),
        Refused,
        &["more than 16", "rules 1, 2, 3", "16, 17"],
    );
    host.rule("drop udp dport 99").expect("it decides");
}

#[test]
fn what_would_cut_this_host_off_is_refused_unless_forced() {
    let mut host = Host::new();
    host.facts.addresses = vec!["10.1.2.3".parse().expect("an address")];
    host.facts.gateways = vec!["10.1.2.1".parse().expect("an address")];
    host.facts.resolvers = vec!["9.9.9.9".parse().expect("an address")];
    for (text, says) in [
        ("drop any", "this host"),
        ("drop ip", "this host"),
        ("drop ip6", "eighth"),
        ("drop from 10.1.2.0/24", "this host"),
        ("drop udp", "resolver"),
        ("drop udp sport 53", "resolver"),
        ("drop udp from 9.9.9.0/24 sport < 1024", "resolver"),
        ("drop udp dport > 1023 length > 28", "resolver"),
        ("drop ip length > 0", "this host"),
        ("drop ip ttl > 0", "this host"),
        ("drop ttl < 100", "this host"),
        ("drop ip fragment whole", "this host"),
        ("drop to 10.1.2.3", "this host"),
        ("drop from 10.1.2.1 to 10.0.0.0/8 length > 20", "gateway"),
        ("drop tcp dport > 0", "this host"),
        ("drop tcp sport > 1023 flags ACK", "this host"),
        ("drop tcp from 10.1.2.1 flags SYN/SYN,ACK", "gateway"),
        ("limit 1/s any", "this host"),
        ("limit 5k/s udp", "resolver"),
        ("limit 5/s per source tcp from 10.1.2.1", "gateway"),
        ("pass any", "mode monitor"),
        ("pass ip ttl > 0", "mode monitor"),
        ("pass to 10.1.2.3 fragment whole", "mode monitor"),
    ] {
        refused(host.rule(text), Refused, &[says, "--force"]);
        let forced = host.run(Command::AddRule {
            rule: Box::new(text.parse().expect("a rule")),
            before: None,
            duration: None,
            reason: String::new(),
            force: true,
        });
        let number = forced.expect("forced").rules[0].parse().expect("an id");
        host.remove_rules(&[number]).expect("removed");
    }
    for text in [
        "shadow drop any",
        "shadow pass any",
        "limit 5k/s per source udp",
        "limit 5k/s udp dport 53",
        "drop udp sport 53 length > 1000",
        "drop to 192.0.2.7",
        "drop ip ttl < 5",
        "drop tcp length 40 flags SYN",
        "drop ip payload 0x00 at 0",
        "drop fragment any",
        "drop udp sport 123",
        "drop tcp dport 80 from 10.1.2.1",
        "drop from 192.0.2.0/24",
        "pass from 198.18.0.0/24",
        "pass tcp dport 443",
        "pass udp",
    ] {
        host.rule(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn nobody_is_dropped_at_an_address_that_may_be_this_hosts() {
    let mut host = Host::new();
    host.facts.unknown = [Part::Addresses].into();
    refused(
        host.rule("drop to 192.0.2.7"),
        Refused,
        &["unknown", "--force"],
    );
    host.rule("drop udp to 192.0.2.7").expect("not everything");
}
