//! A disk that takes nothing, a calendar that is set, and deeds that somebody else did.

use filter_common::abi::defence::Defence;
use jiff::SignedDuration;

use super::{defences::serving, *};
use crate::{
    api::types::Mode,
    core::{cookies::WATCH, state::Set},
    detect::{
        Output,
        output::{self, Deed, News, Report},
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

fn hold() -> Command {
    Command::Hold {
        defence: Defence::Sockets,
        ports: Vec::new(),
        duration: HOUR,
        reason: "a test".to_owned(),
    }
}

fn by_controller(daemon: &mut Daemon<Fake>, command: Command) {
    daemon
        .execute(&Actor::Controller, command, false)
        .expect("done");
}

#[test]
fn what_the_disk_does_not_take_is_in_force_and_written_as_soon_as_it_does() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.store.refuse_writes();
    let said = daemon.add(Block, &["192.0.2.0/24"]).expect("in force");
    let waits = |note: &String| note.contains("one change is in force and not on the disk");
    assert!(said.notes.iter().any(waits), "{said:?}");
    let monitor = Command::SetMode {
        mode: Mode::Monitor,
        reasons: Vec::new(),
        duration: None,
    };
    daemon.run(monitor).expect("in force");
    daemon.remove(Block, &["192.0.2.0/24"]).expect("in force");
    daemon.add(Block, &["192.0.2.0/25"]).expect("in force");
    assert!(daemon.meets(Block, "192.0.2.7") && !daemon.meets(Block, "192.0.2.200"));
    assert_eq!(daemon.plane.settings.enforced, 0);
    let refusal = daemon.import("feed", &["198.51.100.0/24"]);
    let refusal = refusal.expect_err("a list is a file").message;
    assert!(refusal.ends_with("nothing was changed"), "{refusal}");
    daemon.work();
    let status = daemon.status().expect("a status");
    let waits = |text: &String| text.contains("4 changes are in force and not on the disk");
    assert!(status.warnings.iter().any(waits), "{:?}", status.warnings);

    daemon.store.accept_writes();
    daemon.add(Block, &["203.0.113.0/24"]).expect("added");
    assert!(daemon.word_of_unwritten().is_none());
    let (events, _) = daemon.store.events(None, 100).expect("events");
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert!(kinds.contains(&"state.written"), "{kinds:?}");
    let mut daemon = host.again(daemon);
    assert_eq!(
        daemon.entries_of(Block),
        prefixes(&["192.0.2.0/25", "203.0.113.0/24"])
    );
    assert_eq!(daemon.plane.settings.enforced, 0, "the mode was kept, too");
}

#[test]
fn what_was_never_written_is_gone_with_the_daemon() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["203.0.113.0/24"]).expect("added");
    daemon.store.refuse_writes();
    daemon.add(Block, &["192.0.2.0/24"]).expect("in force");
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.entries_of(Block), prefixes(&["203.0.113.0/24"]));
}

#[test]
fn a_calendar_that_is_set_ends_what_operators_gave_an_end_and_nothing_that_is_held() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    by_controller(&mut daemon, hold());
    let ban = Command::Add {
        list: Ban,
        prefixes: prefixes(&["203.0.113.7/32"]),
        duration: Some(HOUR),
        reason: "a test".to_owned(),
        force: false,
    };
    by_controller(&mut daemon, ban);
    daemon
        .add_for(Block, &["203.0.113.99/32"], Some(HOUR))
        .expect("added");
    let rule = Command::AddRule {
        rule: Box::new("drop udp dport 1".parse().expect("a rule")),
        before: None,
        duration: Some(HOUR),
        reason: String::new(),
        force: false,
    };
    daemon.run(rule).expect("added");
    let years = SignedDuration::from_hours(24 * 3_650);
    let then = clock::now() + years;
    daemon.heed_calendar_at(then, clock::monotonic());
    let ended = Change::Manual(Block, prefix("203.0.113.99/32"), None);
    assert_eq!(daemon.state.expired(then), [ended, Change::Rule(1, None)]);
    let block = |daemon: &Daemon<Fake>| daemon.value(ListId::Block, "203.0.113.99/32").until;
    let ban = daemon.value(ListId::Ban, "203.0.113.7/32").until;
    let rule =
        |daemon: &Daemon<Fake>| daemon.plane.rules[daemon.rulebook.bank as usize].entries[0].until;
    let tick = daemon.plane.tick;
    assert!(block(&daemon) <= tick + 1 && rule(&daemon) <= tick + 1);
    let (events, _) = daemon.store.events(None, 100).expect("events");
    assert!(events.iter().any(|event| event.kind == "clock.set"));

    // And back: nothing is held for ten years.
    daemon.heed_calendar_at(clock::now(), clock::monotonic());
    let hours = clock::now() + SignedDuration::from_hours(2);
    assert_eq!(daemon.state.expired(hours).len(), 4);
    assert!(block(&daemon) > tick + 3_000 * 250 && rule(&daemon) > tick + 3_000 * 250);
    assert_eq!(daemon.value(ListId::Ban, "203.0.113.7/32").until, ban);
}

#[test]
fn imports_with_an_end_and_pauses_are_told_of_a_calendar_that_is_set() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    for (list, member) in [(Allow, "203.0.113.0/24"), (Block, "198.51.100.0/24")] {
        let import = Command::Import {
            list,
            name: "feed".to_owned(),
            prefixes: prefixes(&[member]).into(),
            duration: Some(HOUR),
            reason: String::new(),
            force: false,
        };
        daemon.run(import).expect("imported");
    }
    let pause = SignedDuration::from_secs(60);
    let paused = Set {
        value: false,
        by: WATCH.to_owned(),
        since: clock::now(),
        until: Some(clock::now() + pause),
    };
    daemon.state.cookie_ports.insert(443, paused);
    let allowed = |daemon: &Daemon<Fake>| daemon.value(ListId::Allow, "203.0.113.0/24").until;
    let tick = daemon.plane.tick;
    assert!(allowed(&daemon) > tick + 3_000 * 250);

    let then = clock::now() + SignedDuration::from_hours(24 * 3_650);
    daemon.heed_calendar_at(then, clock::monotonic());
    assert!(allowed(&daemon) <= tick + 1);
    // The sets of the blocklist have no ends: the daemon takes a list off. A pause lasts as long as ever.
    let ended = [Allow, Block].map(|list| Change::Import(list, "feed".to_owned(), None));
    let expired = daemon.state.expired(then);
    assert!(
        expired.len() == 2 && ended.iter().all(|it| expired.contains(it)),
        "{expired:?}"
    );
    let over = Change::CookiePort(443, None);
    let expired = daemon.state.expired(then + pause + pause);
    assert!(expired.contains(&over), "{expired:?}");

    daemon.heed_calendar_at(clock::now(), clock::monotonic());
    assert!(allowed(&daemon) > tick + 3_000 * 250);
    let expired = daemon.state.expired(clock::now() + pause + pause);
    assert_eq!(expired, [over], "and not for ten years");
}

#[test]
fn a_kernel_that_was_not_told_of_a_calendar_that_was_set_is_told_later() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add_for(Block, &["203.0.113.99/32"], Some(HOUR))
        .expect("added");
    let tick = daemon.plane.tick;
    let until = |daemon: &Daemon<Fake>| daemon.value(ListId::Block, "203.0.113.99/32").until;
    let then = clock::now() + SignedDuration::from_hours(24);
    daemon.plane.fails_in = Some(0);
    daemon.heed_calendar_at(then, clock::monotonic());
    assert!(until(&daemon) > tick + 3_000 * 250);
    assert!(daemon.troubles["clock"].contains("refused a write"));
    daemon.heed_calendar_at(then, clock::monotonic());
    assert!(until(&daemon) <= tick + 1);
    assert!(!daemon.troubles.contains_key("clock"));
    let (events, _) = daemon.store.events(None, 100).expect("events");
    let told = events.iter().filter(|event| event.kind == "clock.set");
    assert_eq!(told.count(), 1);
}

/// A rule of an operator waits for the disk, and one of the controller's, which no restart finds, comes
/// after it.
#[test]
fn a_number_of_a_rule_is_not_given_twice_after_a_disk_that_took_nothing() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    let rule = |port: u16, duration| Command::AddRule {
        rule: Box::new(format!("drop udp dport {port}").parse().expect("a rule")),
        before: None,
        duration,
        reason: String::new(),
        force: false,
    };
    daemon.store.refuse_writes();
    daemon.run(rule(1, None)).expect("in force");
    daemon.store.accept_writes();
    by_controller(&mut daemon, rule(2, Some(HOUR)));
    assert_eq!(daemon.state.next_rule, 3);
    daemon.write_down().expect("written");
    let daemon = host.again(daemon);
    assert_eq!(daemon.state.next_rule, 3);
    assert_eq!(daemon.state.rules.keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn a_small_correction_of_the_clock_is_no_event() {
    let host = Host::new("");
    let mut daemon = host.first();
    let soon = clock::now() + SignedDuration::from_millis(1_500);
    daemon.heed_calendar_at(soon, clock::monotonic());
    let (events, _) = daemon.store.events(None, 100).expect("events");
    assert!(events.iter().all(|event| event.kind != "clock.set"));
}

#[test]
fn what_an_operator_ended_is_nobody_elses_deed() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    by_controller(&mut daemon, hold());
    let auto = Command::AutoDefence {
        defence: Defence::Sockets,
    };
    daemon.run(auto).expect("ended");
    let action = output::Action {
        at: clock::now(),
        what: "let go of sockets".to_owned(),
        why: "not needed for 60 s".to_owned(),
        until: None,
        refused: None,
    };
    let release = Command::Release {
        defence: Defence::Sockets,
    };
    daemon.act(Output {
        deeds: vec![Deed {
            action: action.clone(),
            command: release.clone(),
        }],
        commands: vec![release],
        news: vec![News::Opened(Box::new(Report {
            id: 7,
            actions: vec![action],
            ..Report::default()
        }))],
        ..Output::default()
    });
    let told = daemon.incident(7).expect("it is there").incident.actions;
    assert_eq!(told[0].refused.as_deref(), Some("it was not held any more"));
}

#[test]
fn an_incident_that_no_disk_took_is_told_by_what_the_kernel_holds() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    let is_told = |daemon: &Daemon<Fake>| {
        let mut losses = daemon.losses.iter();
        losses.any(|loss| loss.contains("amid an incident that it could not write"))
    };
    by_controller(&mut daemon, hold());
    let daemon = host.again(daemon);
    assert!(is_told(&daemon), "{:?}", daemon.losses);
    let daemon = host.again(daemon);
    assert!(!is_told(&daemon), "once");
}

#[test]
fn an_incident_of_which_the_disk_knows_is_no_lost_one() {
    let host = serving("mode = \"enforce\"");
    let mut daemon = host.protecting();
    by_controller(&mut daemon, hold());
    let report = Report {
        id: 7,
        detected: clock::now(),
        ..Report::default()
    };
    daemon.news(News::Opened(Box::new(report)));
    let fake = stop(daemon);
    let daemon = host.start(fake, true);
    let lost = "amid an incident that it could not write";
    let told = daemon.losses.iter().any(|loss| loss.contains(lost));
    assert!(!told, "{:?}", daemon.losses);
}
