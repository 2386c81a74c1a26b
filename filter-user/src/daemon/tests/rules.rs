//! Rules on their way to the kernel and back.

use filter_common::{
    abi::{
        counter::Counter,
        rules::{RuleAction, RuleEntry},
    },
    logic::classify::{Candidates, Classes, Numbers, Step},
};

use super::*;
use crate::{
    api::types::{RuleState, Rules},
    core::rules::RuleId,
    rules::strategy::plain_packet,
};

impl Daemon<Fake> {
    fn rule(&mut self, text: &str) -> Result<Outcome, Refusal> {
        self.rule_for(text, None)
    }

    fn rule_for(&mut self, text: &str, duration: Option<Duration>) -> Result<Outcome, Refusal> {
        self.run(Command::AddRule {
            rule: Box::new(text.parse().expect("a rule")),
            before: None,
            duration,
            reason: "a test".to_owned(),
            force: false,
        })
    }

    fn remove_rule(&mut self, number: u32) -> Result<Outcome, Refusal> {
        let ids = vec![RuleId::Added(number)];
        self.run(Command::RemoveRules { ids })
    }

    /// The rules of the bank in force.
    fn in_force(&self) -> &[RuleEntry] {
        &self.plane.rules[self.plane.settings.bank() as usize].entries
    }

    /// The rules in force that a UDP packet to port 53 meets.
    fn met(&self) -> Vec<u32> {
        let table = &self.plane.rules[self.plane.settings.bank() as usize].table;
        let mut classes = Classes::default();
        classes
            .find(table.as_slice(), 0, &Numbers::of(&plain_packet()))
            .expect("a whole table");
        let mut candidates = Candidates::new(table.as_slice(), &classes);
        let mut met = Vec::new();
        while let Some(step) = candidates.step(table.as_slice(), &classes) {
            if let Step::Rule(rule) = step {
                met.push(rule);
            }
        }
        met
    }

    /// Counts a packet for the rule at a place of the bank in force.
    fn hit(&mut self, place: usize) {
        let slot = self.in_force()[place].slot;
        let count = self.plane.rule_hits.entry(slot).or_default();
        *count = Counter {
            packets: count.packets + 1,
            bytes: count.bytes + 60,
        };
    }

    /// Id, text and packets of every rule.
    fn listed(&mut self) -> Vec<(String, String, u64)> {
        let Rules { rules, .. } = self.rules().expect("rules");
        rules
            .into_iter()
            .map(|rule| (rule.id, rule.expression, rule.packets))
            .collect()
    }
}

fn row(id: &str, text: &str, packets: u64) -> (String, String, u64) {
    (id.to_owned(), text.to_owned(), packets)
}

#[test]
fn a_rule_is_in_force_in_the_other_bank_and_gone_again() {
    let host = Host::new("rules = [\"pass udp dport 53 length > 1000\"]");
    let mut daemon = host.first();
    assert_eq!(daemon.in_force().len(), 1);
    let bank = daemon.plane.settings.bank();
    daemon
        .rule("limit 5/s burst 7 per source udp dport 53 payload 0x00ff/0x00ff at 3")
        .expect("added");
    assert_eq!(daemon.plane.settings.bank(), bank ^ 1);
    let entry = daemon.in_force()[1];
    assert_eq!(entry.action, RuleAction::LimitSource as u8);
    assert_eq!((entry.offset, entry.compared, entry.shadow), (3, 2, 0));
    assert_eq!(
        (entry.pattern[..3].to_vec(), entry.mask[..3].to_vec()),
        (vec![0, 0xff, 0], vec![0, 0xff, 0])
    );
    assert_eq!(entry.until, EntryValue::NEVER);
    assert!(entry.limit.interval > 0);
    assert_eq!(daemon.met(), [1]);

    daemon.remove_rule(1).expect("removed");
    assert_eq!((daemon.in_force().len(), daemon.met()), (1, vec![]));
}

#[test]
fn a_rule_that_fails_at_any_write_leaves_everything_as_it_was() {
    let host = Host::new("rules = [\"pass icmp\"]");
    let mut daemon = host.first();
    daemon.rule("drop tcp dport 80").expect("added");
    type Try = fn(&mut Daemon<Fake>) -> Result<Outcome, Refusal>;
    let commands: [Try; 2] = [
        |daemon| daemon.rule("drop udp dport 53"),
        |daemon| daemon.remove_rule(1),
    ];
    for command in commands {
        let before = (
            daemon.snapshot(),
            daemon.in_force().to_vec(),
            daemon.rulebook.clone(),
        );
        let mut failures = 0;
        loop {
            daemon.plane.fails_in = Some(failures);
            if command(&mut daemon).is_ok() {
                break;
            }
            let after = (
                daemon.snapshot(),
                daemon.in_force().to_vec(),
                daemon.rulebook.clone(),
            );
            assert_eq!(after, before, "write {failures} failed");
            failures += 1;
        }
        daemon.plane.fails_in = None;
        assert!(failures >= 2, "rules and settings are written");
    }
    assert_eq!(daemon.met(), [1]);
}

#[test]
fn the_kernel_ends_a_rule_and_the_daemon_forgets_it() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .rule_for("drop udp dport 53", Some(Duration::from_secs(1)))
        .expect("added");
    let entry = daemon.in_force()[0];
    let tick = daemon.plane.tick;
    assert!((tick + 1..=tick + 251).contains(&entry.until));
    let note = &mut daemon.state.rules.get_mut(&1).expect("the rule").note;
    note.until = Some(clock::now());
    daemon.work();
    assert!(daemon.in_force().is_empty() && daemon.state.rules.is_empty());
    let events = daemon.store.events(None, 1).expect("events").0;
    assert_eq!(
        (events[0].kind.as_str(), events[0].text.as_str()),
        ("ended", "rule 1 ended")
    );
}

#[test]
fn rules_and_their_counts_outlive_a_restart() {
    let host = Host::new("rules = [\"pass tcp\", \"drop icmp\"]");
    let mut daemon = host.first();
    daemon.rule("drop udp dport 53").expect("added");
    daemon.rule("shadow drop udp dport 54").expect("added");
    daemon.remove_rule(1).expect("removed");
    daemon.rule("drop udp dport 55").expect("added");
    for place in [1, 2, 2, 3, 3, 3] {
        daemon.hit(place);
    }
    let expected = [
        row("file:1", "pass tcp", 0),
        row("file:2", "drop icmp", 1),
        row("2", "shadow drop udp dport 54", 2),
        row("3", "drop udp dport 55", 3),
    ];
    assert_eq!(daemon.listed(), expected);
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.listed(), expected);
    assert_eq!(
        daemon.rule("drop udp dport 56").expect("added").rules,
        ["4"]
    );
}

#[test]
fn a_reload_keeps_the_counts_of_rules_that_stay() {
    let host = Host::new("rules = [\"pass tcp\", \"drop icmp\"]");
    let mut daemon = host.first();
    daemon.rule("drop udp dport 53").expect("added");
    for place in [0, 1, 1, 2] {
        daemon.hit(place);
    }
    host.configure("rules = [\"drop proto 47\", \"drop proto 1\"]");
    daemon.run(Command::Reload).expect("read again");
    let expected = [
        row("file:1", "drop proto 47", 0),
        row("file:2", "drop icmp", 2),
        row("1", "drop udp dport 53", 1),
    ];
    assert_eq!(daemon.listed(), expected);
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.listed(), expected);
}

#[test]
fn a_new_rule_does_not_count_what_an_old_one_met() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.rule("drop udp dport 53").expect("added");
    daemon.hit(0);
    daemon.remove_rule(1).expect("removed");
    for port in 60..64 {
        daemon
            .rule(&format!("drop udp dport {port}"))
            .expect("added");
    }
    assert!(daemon.listed().iter().all(|(_, _, packets)| *packets == 0));
}

#[test]
fn the_list_says_which_rules_only_count() {
    let host = Host::new("mode = \"enforce\"\nrules = [\"pass tcp\"]");
    let mut daemon = host.first();
    daemon.rule("drop udp dport 53").expect("added");
    daemon.rule("shadow drop icmp").expect("added");
    let states = |daemon: &mut Daemon<Fake>| -> Vec<RuleState> {
        let rules = daemon.rules().expect("rules").rules;
        rules.iter().map(|rule| rule.state).collect()
    };
    use RuleState::{Enforced, Shadow, Watched};
    assert_eq!(states(&mut daemon), [Enforced, Enforced, Shadow]);
    let monitor = Command::SetMode {
        mode: Mode::Monitor,
        reasons: Vec::new(),
        duration: None,
    };
    daemon.run(monitor).expect("set");
    assert_eq!(states(&mut daemon), [Enforced, Watched, Shadow]);
}

#[test]
fn why_names_the_rule_that_decides_as_far_as_the_question_tells() {
    let host = Host::new("mode = \"enforce\"\nrules = [\"drop udp sport 123 dport 53\"]");
    let mut daemon = host.first();
    daemon.rule("limit 5/s udp").expect("added");
    daemon.rule("drop udp dport 53").expect("added");
    let ask = |daemon: &mut Daemon<Fake>, protocol: &str, port| {
        let query = WhyQuery {
            address: "192.0.2.1".parse().expect("an address"),
            protocol: Some(protocol.to_owned()),
            port,
        };
        daemon.why(&query).expect("an answer")
    };
    let why = ask(&mut daemon, "udp", Some(53));
    assert_eq!(why.reason, "rule_drop");
    assert!(
        why.sentence
            .contains("is dropped: rule 2 (drop udp dport 53)"),
        "{}",
        why.sentence
    );
    assert_eq!(
        why.rules,
        [
            "rule file:1 (drop udp sport 123 dport 53) drops it, if it matches `udp sport 123` too",
            "rule 1 (limit 5/s udp) drops it above its rate",
        ]
    );
    let why = ask(&mut daemon, "tcp", Some(53));
    assert_eq!((why.reason.as_str(), why.rules.len()), ("clean", 0));
    daemon.add(Block, &["192.0.2.0/24"]).expect("blocked");
    let why = ask(&mut daemon, "udp", Some(53));
    assert_eq!((why.reason.as_str(), why.rules.len()), ("blocked", 0));
}

#[test]
fn rules_that_the_file_leaves_no_room_for_are_set_aside_and_come_back() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.rule("limit 5/s udp dport 99").expect("added");
    daemon.rule("drop udp dport 53").expect("added");
    daemon.rule("limit 6/s udp dport 99").expect("added");
    let limits: Vec<String> = (0..15)
        .map(|port| format!("\"limit 5/s udp dport {port}-99\""))
        .collect();
    host.configure(&format!("rules = [{}]", limits.join(", ")));
    let daemon = host.again(daemon);
    assert_eq!(daemon.in_force().len(), 17);
    assert_eq!(daemon.state.rules.keys().collect::<Vec<_>>(), [&1, &2]);
    let [loss] = &daemon.losses[..] else {
        panic!("one loss: {:?}", daemon.losses);
    };
    assert!(loss.contains("3 (limit 6/s udp dport 99)"), "{loss}");
    assert!(loss.contains("more than 16 rules"), "{loss}");
    let events = daemon.store.events(None, 1).expect("events").0;
    assert_eq!(events[0].kind, "state.set_aside");

    host.configure("");
    let daemon = host.again(daemon);
    assert_eq!((daemon.in_force().len(), daemon.losses.len()), (3, 0));
}

#[test]
fn entries_that_a_smaller_table_has_no_room_for_are_set_aside_and_come_back() {
    let host = Host::new("");
    let mut daemon = host.first();
    for last in 1..=5 {
        daemon
            .add(Ban, &[&format!("192.0.2.{last}/32")])
            .expect("banned");
    }
    host.configure("[tables]\nbans = 4");
    let mut small = fake();
    small.capacity = Some(4);
    drop(daemon);
    let daemon = host.start(small, false);
    assert!(!daemon.meets(Ban, "192.0.2.1"));
    assert!((2..=5).all(|last| daemon.meets(Ban, &format!("192.0.2.{last}"))));
    let [loss] = &daemon.losses[..] else {
        panic!("one loss: {:?}", daemon.losses);
    };
    assert!(loss.contains("[tables] bans = 4"), "{loss}");
    assert!(loss.contains("192.0.2.1"), "{loss}");

    host.configure("");
    drop(daemon);
    let daemon = host.start(fake(), false);
    assert!((1..=5).all(|last| daemon.meets(Ban, &format!("192.0.2.{last}"))));
    assert!(daemon.losses.is_empty());
}
