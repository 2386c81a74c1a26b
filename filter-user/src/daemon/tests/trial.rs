//! Changes that wait for confirmation.

use filter_common::abi::settings::Settings;

use super::*;
use crate::{core::rules::RuleId, rules::Rule};

/// Ticks in the ten seconds that these tests give.
const TICKS: u64 = 2500;

fn tried(command: Command) -> Command {
    Command::Try {
        command: Box::new(command),
        within: Duration::from_secs(10),
    }
}

fn block(texts: &[&str]) -> Command {
    Command::Add {
        list: Block,
        prefixes: prefixes(texts),
        duration: None,
        reason: "a test".to_owned(),
        force: false,
    }
}

fn unblock(texts: &[&str]) -> Command {
    Command::Remove {
        list: Block,
        prefixes: prefixes(texts),
    }
}

fn rule(text: &str) -> Command {
    Command::AddRule {
        rule: Box::new(text.parse::<Rule>().expect("a rule")),
        before: None,
        duration: None,
        reason: String::new(),
        force: false,
    }
}

fn limit(packets: u64) -> Command {
    Command::SetLimit {
        name: LimitName::Source(Class::Syn),
        rate: Some(LimitRate::Packets(Rate::per_second(packets))),
        duration: None,
    }
}

impl Daemon<Fake> {
    /// The settings that a packet meets.
    fn policy_met(&self) -> Settings {
        let fake = &self.plane;
        let before = || fake.before.as_ref().expect("a policy before");
        match fake.settings.row_at(fake.tick) {
            0 => fake.settings,
            1 => fake.held.expect("held"),
            2 => before().settings,
            _ => before().held,
        }
    }

    /// How many rules a packet could meet.
    fn rules_met(&self) -> usize {
        let settings = self.policy_met();
        if settings.has_no_rules() {
            return 0;
        }
        self.plane.rules[settings.bank() as usize].entries.len()
    }

    fn syn_limit(&self) -> logic::bucket::Limit {
        self.policy_met().source.limits[Class::Syn as usize]
    }

    /// The kernel's time comes, and the daemon is not there.
    fn pass_the_deadline(&mut self) {
        self.plane.tick = self.plane.settings.confirm_by;
    }

    /// Everything that is there once a change is over, whichever way.
    fn outcome(&mut self) -> impl PartialEq + std::fmt::Debug + use<> {
        let mut entries = self.plane.entries(ListId::Block).expect("a list");
        entries.sort_by_key(|(key, _)| format!("{key:?}"));
        let state = self.state.clone();
        let met = Settings {
            rule_bank: 0,
            ..self.policy_met()
        };
        let rules = self.rules_met();
        (entries, state, met, rules, self.plane.settings.confirm_by)
    }
}

#[test]
fn the_kernel_takes_everything_back_by_itself() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon.run(rule("drop udp dport 1")).expect("added");
    daemon.run(limit(100)).expect("set");
    let before = daemon.syn_limit();
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    daemon
        .run(tried(unblock(&["192.0.2.1/32"])))
        .expect("tried");
    daemon.run(tried(rule("drop udp dport 2"))).expect("tried");
    daemon.run(tried(rule("drop udp dport 3"))).expect("tried");
    daemon.run(tried(limit(7))).expect("tried");
    let left = daemon.plane.settings.confirm_by - daemon.plane.tick;
    assert!((TICKS..=TICKS + 1).contains(&left), "{left}");
    for _ in 0..2 {
        assert!(daemon.meets(Block, "192.0.2.2") && !daemon.meets(Block, "192.0.2.1"));
        assert_eq!(daemon.rules_met(), 3);
        assert_ne!(daemon.syn_limit(), before);
        // The same after a restart.
        daemon = host.again(daemon);
    }
    daemon.pass_the_deadline();
    assert!(!daemon.meets(Block, "192.0.2.2") && daemon.meets(Block, "192.0.2.1"));
    assert_eq!(daemon.rules_met(), 1);
    assert_eq!(daemon.syn_limit(), before);
    // The daemon follows, and packets meet what they met.
    daemon.work();
    assert_eq!(daemon.plane.settings.confirm_by, 0);
    assert!(!daemon.meets(Block, "192.0.2.2") && daemon.meets(Block, "192.0.2.1"));
    assert_eq!((daemon.rules_met(), daemon.syn_limit()), (1, before));
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.1/32"]));
    let told = daemon.status().expect("a status");
    assert!(told.pending.is_none());
    assert!(
        told.warnings
            .iter()
            .any(|it| it.starts_with("not confirmed until")),
        "{:?}",
        told.warnings
    );
    let events = daemon.events(None, 100).expect("events").events;
    assert!(events.iter().any(|event| event.kind == "trial.expired"));
}

#[test]
fn a_daemon_that_starts_too_late_takes_back_what_the_kernel_did() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon.run(rule("drop udp dport 1")).expect("added");
    let outcome = daemon.outcome();
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    daemon
        .run(tried(unblock(&["192.0.2.1/32"])))
        .expect("tried");
    daemon.run(tried(rule("drop udp dport 2"))).expect("tried");
    daemon.pass_the_deadline();
    let mut daemon = host.again(daemon);
    let after = daemon.outcome();
    // Numbers of rules are not given twice.
    assert_eq!(daemon.state.next_rule, 3);
    daemon.state.next_rule = 2;
    assert_eq!(format!("{:?}", daemon.outcome()), format!("{outcome:?}"));
    drop(after);
    let told = daemon.status().expect("a status");
    assert!(
        told.warnings
            .iter()
            .any(|it| it.starts_with("not confirmed until"))
    );
    // And so does one that has to make new maps.
    daemon.run(tried(block(&["192.0.2.3/32"]))).expect("tried");
    drop(stop(daemon));
    let mut daemon = host.start(fake(), false);
    assert!(daemon.meets(Block, "192.0.2.3") && daemon.plane.settings.is_on_trial());
    daemon.pass_the_deadline();
    assert!(!daemon.meets(Block, "192.0.2.3"));
}

#[test]
fn new_maps_hold_both_policies() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon.run(rule("drop udp dport 1")).expect("added");
    daemon.run(tried(rule("drop udp dport 2"))).expect("tried");
    daemon
        .run(tried(unblock(&["192.0.2.1/32"])))
        .expect("tried");
    drop(stop(daemon));
    let mut daemon = host.start(fake(), false);
    assert!(!daemon.meets(Block, "192.0.2.1"));
    assert_eq!(daemon.rules_met(), 2);
    daemon.pass_the_deadline();
    assert!(daemon.meets(Block, "192.0.2.1"));
    assert_eq!(daemon.rules_met(), 1);
}

#[test]
fn what_is_confirmed_or_undone_leaves_nothing_of_the_trial() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    let before = format!("{:?}", daemon.outcome());
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    daemon
        .run(tried(unblock(&["192.0.2.1/32"])))
        .expect("tried");
    daemon.run(tried(limit(7))).expect("tried");
    daemon.run(Command::Undo).expect("undone");
    assert_eq!(format!("{:?}", daemon.outcome()), before);
    assert!(daemon.value(ListId::Block, "192.0.2.1/32").absent == 0);

    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    daemon
        .run(tried(unblock(&["192.0.2.1/32"])))
        .expect("tried");
    daemon.run(Command::Confirm).expect("confirmed");
    assert_eq!(daemon.plane.settings.confirm_by, 0);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.2/32"]));
    assert!(daemon.value(ListId::Block, "192.0.2.2/32").absent == 0);
    // What was confirmed is still what was done last.
    daemon.run(Command::Undo).expect("undone");
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.1/32"]));
    daemon.run(Command::Undo).expect("done again");
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.2/32"]));
}

#[test]
fn whoever_confirms_too_late_is_told() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    let pending = daemon.status().expect("a status").pending.expect("pending");
    assert!((10..=11).contains(&pending.seconds_left), "{pending:?}");
    assert_eq!(pending.by, "uid 1000");
    daemon.pass_the_deadline();
    let refusal = daemon.run(Command::Confirm).unwrap_err();
    assert!(refusal.message.contains("taken back"), "{refusal}");
    assert!(daemon.entries_of(Block).is_empty());
}

#[test]
fn the_controller_goes_on_while_something_waits() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.run(rule("drop udp dport 1")).expect("added");
    daemon.run(tried(rule("drop udp dport 2"))).expect("tried");
    for port in 3..6 {
        let wish = Command::AddRule {
            rule: Box::new(format!("drop udp dport {port}").parse().expect("a rule")),
            before: None,
            duration: Some(Duration::from_secs(600)),
            reason: "a flood".to_owned(),
            force: false,
        };
        daemon
            .execute(&Actor::Controller, wish, false)
            .expect("added");
    }
    assert_eq!(daemon.rules_met(), 5);
    daemon.pass_the_deadline();
    assert_eq!(daemon.rules_met(), 1);
    daemon.work();
    // Its own stay.
    assert_eq!(daemon.rules_met(), 4);
}

#[test]
fn the_emergency_outlasts_what_waits() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    // As `floodwall mode monitor` does while the daemon hangs.
    daemon.plane.settings.enforced = 0;
    daemon.plane.settings.held_until = 0;
    daemon.plane.settings.confirm_by = 0;
    daemon.plane.settings.emergency = 1_700_000_000;
    daemon.heed_emergency();
    assert!(daemon.plane.settings.is_on_trial());
    assert_eq!(daemon.policy_met().enforced, 0);
    daemon.pass_the_deadline();
    assert_eq!(daemon.policy_met().enforced, 0);
    daemon.work();
    assert_eq!(daemon.policy_met().enforced, 0);
    assert!(daemon.entries_of(Block).is_empty());
}

#[test]
fn a_trial_that_fails_changes_nothing() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon.run(rule("drop udp dport 1")).expect("added");
    let before = format!("{:?}", daemon.outcome());
    let mut failures = 0;
    for command in [
        block(&["192.0.2.2/32"]),
        unblock(&["192.0.2.1/32"]),
        rule("drop udp dport 2"),
        limit(7),
    ] {
        for writes in 0..40 {
            daemon.plane.fails_in = Some(writes);
            let done = daemon.run(tried(command.clone()));
            daemon.plane.fails_in = None;
            if done.is_ok() {
                daemon.run(Command::Undo).expect("undone");
                daemon.state.next_rule = 2;
                break;
            }
            failures += 1;
            assert_eq!(
                format!("{:?}", daemon.outcome()),
                before,
                "{command:?} {writes}"
            );
        }
    }
    assert!(failures > 8, "{failures}");
    assert_eq!(format!("{:?}", daemon.outcome()), before);
}

/// Two files that differ in all that the kernel has twice.
const OLD: &str = "mode = \"enforce\"\nrules = [\"drop udp dport 1\"]\n[protocols]\ngre = \"drop\"";
const NEW: &str = "mode = \"monitor\"\nrules = [\"drop udp dport 1\", \"drop udp dport 2\"]\n\
                   [limits.source]\nsyn = \"7/s\"";

#[test]
fn a_reload_that_nobody_confirms_is_taken_back_and_stays_so() {
    let host = Host::new(OLD);
    let mut daemon = host.first();
    let (before, limit) = (daemon.policy_met(), daemon.syn_limit());
    let policies = daemon.plane.protocols;
    host.configure(NEW);
    let outcome = daemon.run(tried(Command::Reload)).expect("reloaded");
    assert!(outcome.notes[1].contains("unless you say `floodwall confirm`"));
    for _ in 0..2 {
        assert_eq!((daemon.policy_met().enforced, daemon.rules_met()), (0, 2));
        assert_ne!(daemon.syn_limit(), limit);
        let kept = daemon.plane.before.as_ref().expect("a policy before");
        assert_eq!(Some(kept.protocols), policies);
        daemon = host.again(daemon);
    }
    daemon.pass_the_deadline();
    assert_eq!(daemon.policy_met().enforced, before.enforced);
    assert_eq!((daemon.rules_met(), daemon.syn_limit()), (1, limit));
    for _ in 0..2 {
        daemon.work();
        assert!(!daemon.plane.settings.is_on_trial() && daemon.config_before.is_none());
        assert_eq!(daemon.policy_met().enforced, before.enforced);
        assert_eq!((daemon.rules_met(), daemon.syn_limit()), (1, limit));
        assert_eq!(daemon.plane.protocols, policies);
        let warnings = daemon.status().expect("a status").warnings;
        let told = warnings
            .iter()
            .find(|it| it.contains("was not confirmed, and"));
        assert!(told.is_some(), "{warnings:?}");
        // And whatever starts next.
        daemon = host.again(daemon);
    }
    // The same file once more, and this time it is meant.
    daemon.run(tried(Command::Reload)).expect("reloaded");
    assert!(daemon.state.unconfirmed.is_none());
    daemon.run(Command::Confirm).expect("confirmed");
    let mut daemon = host.again(daemon);
    assert_eq!((daemon.policy_met().enforced, daemon.rules_met()), (0, 2));
    let undo = daemon.run(Command::Undo).unwrap_err();
    assert_eq!(undo.kind, crate::api::types::ErrorKind::NotFound);
}

#[test]
fn a_daemon_that_starts_after_an_unconfirmed_reload_runs_the_old_file() {
    let host = Host::new(OLD);
    let mut daemon = host.first();
    let before = daemon.policy_met().enforced;
    host.configure(NEW);
    daemon.run(tried(Command::Reload)).expect("reloaded");
    daemon.pass_the_deadline();
    let daemon = host.again(daemon);
    assert_eq!(
        (daemon.policy_met().enforced, daemon.rules_met()),
        (before, 1)
    );
    assert!(daemon.state.unconfirmed.is_some());
    // Until the file says something else.
    host.configure("mode = \"monitor\"");
    let daemon = host.again(daemon);
    assert_eq!((daemon.policy_met().enforced, daemon.rules_met()), (0, 0));
    assert!(daemon.state.unconfirmed.is_none());
}

#[test]
fn a_reload_on_trial_is_undone_with_all_else() {
    let host = Host::new(OLD);
    let mut daemon = host.first();
    let before = format!("{:?}", daemon.outcome());
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    host.configure(NEW);
    daemon.run(tried(Command::Reload)).expect("reloaded");
    host.configure("mode = \"enforce\"");
    daemon.run(tried(Command::Reload)).expect("reloaded");
    assert_eq!(daemon.rules_met(), 0);
    daemon.run(Command::Undo).expect("undone");
    let texts = daemon.state.unconfirmed.take().expect("texts");
    assert!(texts.before.contains("gre") && texts.after.starts_with("mode = \"enforce\"\n[paths]"));
    assert_eq!(format!("{:?}", daemon.outcome()), before);
    // What the kernel cannot do by itself is refused.
    host.configure("interfaces = [\"eth7\"]");
    let refusal = daemon.run(tried(Command::Reload)).unwrap_err();
    assert!(
        refusal.message.contains("`interfaces` changed"),
        "{refusal}"
    );
    assert_eq!(
        format!("{:?}", daemon.outcome()),
        before.replace("unconfirmed: Some", "unconfirmed: None")
    );
}

#[test]
fn a_reload_on_trial_that_fails_changes_nothing() {
    let host = Host::new(OLD);
    let mut daemon = host.first();
    let before = format!("{:?}", daemon.outcome());
    host.configure(NEW);
    let mut failures = 0;
    for writes in 0..40 {
        daemon.plane.fails_in = Some(writes);
        let done = daemon.run(tried(Command::Reload));
        daemon.plane.fails_in = None;
        if done.is_ok() {
            break;
        }
        failures += 1;
        assert_eq!(format!("{:?}", daemon.outcome()), before, "{writes}");
        assert!(daemon.state.trial.is_none() && daemon.config_before.is_none());
    }
    assert!(failures > 4, "{failures}");
    assert_eq!(daemon.rules_met(), 2);
}

/// A sample of a datagram from an address to a port, as the kernel would give it.
fn sample(
    source: [u8; 4],
    port: u16,
    tick: u64,
    reason: Reason,
) -> filter_common::abi::sample::Sample {
    let mut bytes = [0; filter_common::abi::sample::CAPTURE];
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend([203, 0, 113, 1]);
    frame.extend(5_000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    bytes[..frame.len()].copy_from_slice(&frame);
    filter_common::abi::sample::Sample {
        tick,
        length: frame.len() as u32,
        interface: 1,
        queue: 0,
        captured: frame.len() as u8,
        spared: Reason::Clean.code(),
        reason: reason.code(),
        dropped: 0,
        bytes,
    }
}

#[test]
fn a_comparison_tells_keys_and_whom_a_reload_would_hit() {
    let host = Host::new("mode = \"enforce\"\nrules = [\"drop udp dport 1\"]");
    let mut fake = fake();
    fake.tick = 10_000_000;
    let hour = 3_600 * 250;
    let now = fake.tick;
    fake.samples = vec![
        sample([192, 0, 2, 7], 53, now, Reason::Clean),
        sample([192, 0, 2, 7], 53, now - 10, Reason::Clean),
        sample([192, 0, 2, 8], 53, now, Reason::Allowed),
        sample([192, 0, 2, 9], 53, now - hour - 1, Reason::Clean),
        sample([192, 0, 2, 10], 80, now, Reason::Clean),
    ];
    let mut daemon = host.start(fake, false);
    daemon.work();
    let same = daemon.config_diff(None).expect("a comparison");
    assert!(same.changes.is_empty() && same.hits.is_empty());
    assert_eq!(same.samples, 3);
    let text = "mode = \"enforce\"\nrules = [\"drop udp dport 53\"]\n[tables]\nblock = 2048";
    let diff = daemon.config_diff(Some(text)).expect("a comparison");
    let [hit] = diff.hits.as_slice() else {
        panic!("one source, not {:?}", diff.hits)
    };
    assert_eq!(
        (hit.source.to_string().as_str(), hit.packets),
        ("192.0.2.7", 2)
    );
    assert_eq!(hit.cause, "drop udp dport 53");
    let names: Vec<&str> = diff.changes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["paths.state", "rules", "rules", "tables.block"]);
    assert_eq!(diff.restart.as_deref(), Some("paths.state"));
    // Where nothing drops, nobody is hit; and a file that is wrong is told.
    let monitor = daemon.config_diff(Some("rules = [\"drop udp dport 53\"]"));
    assert!(monitor.expect("a comparison").hits.is_empty());
    let wrong = daemon.config_diff(Some("moed = 1")).unwrap_err();
    assert!(wrong.message.contains("did you mean `mode`?"), "{wrong}");
}

#[test]
fn what_nobody_confirmed_ends_while_the_disk_is_full_and_locks_nobody_out() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.run(tried(block(&["192.0.2.2/32"]))).expect("tried");
    daemon.store.refuse_writes();
    daemon.run(Command::Confirm).expect_err("it has to last");
    daemon.pass_the_deadline();
    daemon.add(Block, &["192.0.2.3/32"]).expect("in force");
    assert!(!daemon.meets(Block, "192.0.2.2") && daemon.meets(Block, "192.0.2.3"));
    assert!(daemon.state.trial.is_none());
    daemon.store.accept_writes();
    daemon.write_down().expect("written");
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.3/32"]));
    assert!(daemon.state.trial.is_none());
}

#[test]
fn a_calendar_that_is_set_amid_a_trial_is_told_to_both_policies() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    let for_an_hour = Command::AddRule {
        rule: Box::new("drop udp dport 1".parse::<Rule>().expect("a rule")),
        before: None,
        duration: Some(Duration::from_secs(3_600)),
        reason: String::new(),
        force: false,
    };
    daemon.run(for_an_hour).expect("added");
    daemon.run(tried(rule("drop udp dport 2"))).expect("tried");
    let shelved = |daemon: &Daemon<Fake>| {
        let before = daemon.plane.before.as_ref().expect("a policy before");
        let bank = before.settings.bank();
        assert_ne!(bank, daemon.plane.settings.bank());
        daemon.plane.rules[bank as usize].entries[0].until
    };
    let in_force = |daemon: &Daemon<Fake>| {
        let bank = daemon.plane.settings.bank();
        daemon.plane.rules[bank as usize].entries[0].until
    };
    let tick = daemon.plane.tick;
    assert!(shelved(&daemon) > tick + 3_000 * 250);
    let then = clock::now() + jiff::SignedDuration::from_hours(2);
    daemon.heed_calendar_at(then, clock::monotonic());
    assert!(in_force(&daemon) <= tick + 1 && shelved(&daemon) <= tick + 1);

    // And where the trial took the rule away, it is in the policy before alone.
    daemon.heed_calendar_at(clock::now(), clock::monotonic());
    daemon
        .run(tried(Command::RemoveRules {
            ids: vec![RuleId::Added(1)],
        }))
        .expect("tried");
    assert!(shelved(&daemon) > tick + 3_000 * 250);
    daemon.heed_calendar_at(then, clock::monotonic());
    assert!(shelved(&daemon) <= tick + 1);
    daemon.pass_the_deadline();
    assert_eq!(daemon.rules_met(), 1, "of the policy before");
    daemon.work();
    assert!(daemon.state.trial.is_none() && !daemon.plane.settings.is_on_trial());
}
