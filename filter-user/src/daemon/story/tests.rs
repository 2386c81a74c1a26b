use std::fs;

use filter_common::abi::reason::Reason;

use super::*;
use crate::{
    daemon::{
        handle::Service as _,
        tests::{Host, fake},
    },
    dataplane::fake::Fake,
    detect::{
        Target, Vector,
        output::{Spoofed, VectorReport},
        vector::Phase,
    },
};

fn report(id: u64, now: Timestamp) -> Report {
    Report {
        id,
        first: now,
        detected: now,
        peak: now,
        vectors: vec![VectorReport {
            vector: Vector::Syn,
            target: Target::Host,
            phase: Phase::Attack,
            spoofed: Spoofed::Forged,
            usual: 1.0,
            peak_packets: 1_000.0,
            peak_bits: 1.0,
            mean_packets: 1.0,
            mean_bits: 1.0,
            evidence: "a lot of it".to_owned(),
        }],
        ..Report::default()
    }
}

fn opened(id: u64) -> News {
    News::Opened(Box::new(report(id, clock::now())))
}

fn closed(id: u64) -> News {
    let now = clock::now();
    News::Closed(Box::new(Report {
        end: Some(now),
        stopped: 77,
        ..report(id, now)
    }))
}

/// Kinds and texts of all events by the controller.
fn told(daemon: &mut Daemon<Fake>) -> Vec<(String, String)> {
    let page = daemon.events(None, 1_000).expect("events");
    let events = page.events.into_iter();
    events
        .filter(|event| event.by == "controller")
        .map(|event| (event.kind, event.text))
        .collect()
}

#[test]
fn an_incident_is_journalled_and_shown_before_it_is_written() {
    let host = Host::new("");
    let mut daemon = host.first();
    assert_eq!(daemon.story.memory().next_incident, 1);
    daemon.news(opened(1));
    daemon.news(News::Notice("a baseline was unfrozen".to_owned()));
    let status = daemon.status().expect("a status");
    let open = status.incident.expect("an incident is open");
    assert_eq!(
        (open.id, &*open.vectors),
        (1, &["SYN flood at this host".to_owned()][..])
    );
    let page = daemon.incidents(None, 10).expect("a page");
    assert_eq!((page.incidents.len(), page.incidents[0].id), (1, 1));
    assert_eq!((page.total, page.next), (1, None));
    let detail = daemon.incident(1).expect("it is there");
    assert_eq!(detail.incident.end, None);
    let mut update = report(1, clock::now());
    update.stopped = 5;
    daemon.news(News::Updated(Box::new(update)));
    assert_eq!(daemon.incident(1).expect("it is there").incident.stopped, 5);
    daemon.news(closed(1));
    assert_eq!(daemon.status().expect("a status").incident, None);
    let detail = daemon.incident(1).expect("it is there");
    assert!(detail.incident.end.is_some() && detail.incident.stopped == 77);
    let told = told(&mut daemon);
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["incident.open", "controller.notice", "incident.close"]
    );
    assert!(
        told[0]
            .1
            .starts_with("incident 1 began: SYN flood at this host"),
        "{told:?}"
    );
    assert_eq!(told[1].1, "a baseline was unfrozen");
    assert!(told[2].1.contains("77 packets were stopped"), "{told:?}");
    let error = daemon.incident(2).expect_err("there is none");
    assert!(error.message.contains("incident list"), "{error}");
}

#[test]
fn incidents_outlive_a_restart_and_numbers_go_on() {
    let host = Host::new("");
    let mut daemon = host.first();
    for id in 1..=3 {
        daemon.news(opened(id));
        daemon.news(closed(id));
    }
    daemon.rest();
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.story.memory().next_incident, 4);
    let page = daemon.incidents(Some(3), 1).expect("a page");
    assert_eq!(
        (page.incidents[0].id, page.next, page.total),
        (2, Some(2), 3)
    );
    assert_eq!(
        daemon.incident(3).expect("it is there").incident.stopped,
        77
    );
}

#[test]
fn an_incident_whose_end_nobody_saw_is_closed_and_says_so() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.news(opened(1));
    daemon.rest();
    let mut daemon = host.again(daemon);
    let detail = daemon.incident(1).expect("it is there");
    assert!(detail.incident.end.is_some());
    let unmeasured = &detail.incident.unmeasured;
    assert!(unmeasured[0].contains("was not running"), "{unmeasured:?}");
    let told = told(&mut daemon);
    assert_eq!(told.last().expect("an event").0, "incident.close");
    daemon.rest();
    let mut daemon = host.again(daemon);
    let closings = self::told(&mut daemon);
    let closings = closings.iter().filter(|(kind, _)| kind == "incident.close");
    assert_eq!(closings.count(), 1, "told once");
}

#[test]
fn seconds_are_the_differences_of_counters() {
    let host = Host::new("");
    let mut daemon = host.first();
    let mut counters: Counters = [Counter::default(); _];
    let mut traffic = Traffic::default();
    let now = clock::now();
    let second = |daemon: &mut Daemon<Fake>, age: i64, counters: &Counters| {
        let at = now
            .checked_add(SignedDuration::from_secs(age))
            .expect("a time");
        daemon.story.second(at, counters);
    };
    for (age, packets) in [(0, 1_000), (1, 1_010), (2, 1_500)] {
        counters[meter_place(Reason::Clean)] = Counter {
            packets,
            bytes: packets * 100,
        };
        counters[meter_place(Reason::Blocked)] = Counter {
            packets: 2 * packets,
            bytes: 0,
        };
        traffic[4].packets = packets;
        daemon.seen(&traffic, &View::default(), Duration::from_millis(1));
        second(&mut daemon, age, &counters);
    }
    daemon.rest();
    let page = daemon
        .history(now, now + SignedDuration::from_secs(10), 100)
        .expect("seconds");
    let shown: Vec<_> = page
        .seconds
        .iter()
        .map(|it| (it.passed.packets, it.stopped.packets, it.received.packets))
        .collect();
    assert_eq!(shown, [(10, 20, 30), (490, 980, 1_470)]);
    assert_eq!(page.seconds[1].classes["udp"].packets, 490);
    assert_eq!(page.seconds[1].passed.bytes, 49_000);
}

fn meter_place(reason: Reason) -> usize {
    filter_common::abi::counter::happened(reason) as usize
}

#[test]
fn what_operators_did_meanwhile_belongs_to_the_story() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.news(opened(1));
    daemon.tell(&Actor::Daemon, "block.add", "blocked 192.0.2.1/32");
    daemon.tell(&Actor::Controller, "ban.add", "banned 192.0.2.2/32");
    let detail = daemon.incident(1).expect("it is there");
    let texts: Vec<&str> = detail
        .events
        .iter()
        .map(|event| event.text.as_str())
        .collect();
    assert!(texts.contains(&"blocked 192.0.2.1/32"), "{texts:?}");
    assert!(
        !texts.iter().any(|text| text.contains("192.0.2.2")),
        "{texts:?}"
    );
}

#[test]
fn damage_to_history_costs_history_alone() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.news(opened(1));
    daemon.rest();
    let fake = crate::daemon::tests::stop(daemon);
    fs::write(host.state().join("history.db"), "what is this").expect("damage");
    let mut daemon = host.start(fake, true);
    let warnings = daemon.status().expect("a status").warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("history.db.corrupt-")),
        "{warnings:?}"
    );
    assert!(!warnings.iter().any(|warning| warning.contains("recovered")));
    assert_eq!(daemon.incidents(None, 10).expect("a page").incidents, []);
    // Who was told of incident 1 would take another one for it.
    assert!(daemon.story.memory().next_incident > 1_000_000);
}

#[test]
fn a_history_that_cannot_be_written_stops_nothing() {
    let host = Host::new("");
    fs::create_dir_all(host.state()).expect("a folder");
    let newer = rusqlite::Connection::open(host.state().join("history.db")).expect("a database");
    newer
        .pragma_update(None, "user_version", 7)
        .expect("a version");
    drop(newer);
    let mut daemon = host.start(fake(), false);
    assert!(
        daemon.story.memory().next_incident > 1_000_000,
        "numbers that cannot be seen are not given again"
    );
    daemon.news(opened(9));
    for _ in 0..1_000 {
        daemon.keep_second();
        if daemon.troubles.contains_key("history") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let warnings = daemon.status().expect("a status").warnings;
    assert!(
        warnings.iter().any(|it| it.contains("history.db")),
        "{warnings:?}"
    );
    assert_eq!(told(&mut daemon)[0].0, "incident.open");
}

#[test]
fn what_is_measured_follows_what_is_seen() {
    let host = Host::new("");
    let mut daemon = host.first();
    let view = View {
        incident: Some(3),
        good_dropped: 50.0,
        ..View::default()
    };
    for _ in 0..3 {
        daemon.seen(&Traffic::default(), &view, Duration::from_millis(2));
    }
    assert_eq!(daemon.view().expect("a view"), view);
    let metrics = daemon.metrics().expect("metrics");
    assert!(metrics.traffic.is_some());
    assert!((0.0..=100.0).contains(&metrics.good_dropped));
    let text = crate::metrics::expose(metrics, crate::metrics::Format::Text).expect("text");
    assert!(
        text.contains("floodwall_controller_step_seconds_count 3\n"),
        "{text}"
    );
    assert!(text.contains("floodwall_incident_open 1"), "{text}");
}
