//! What the controller does, over maps in memory, on a host that is made up.

mod sight;

use std::{net::IpAddr, time::Duration};

use filter_common::{
    abi::{
        counter::{COUNTERS, Counter},
        defence::{CookiePort, Defence, PortSet},
        sample::{CAPTURE, Sample},
        settings::Settings,
        traffic::{TrafficClass, place},
    },
    logic::{known, packet::TcpFlags},
};

use super::{defences::serving as host, *};
use crate::{
    api::types::DefenceState,
    config::defence::DefenceMode,
    core::{ports::Ports, rules::RuleId},
    daemon::controller::Driver,
    detect::{
        Fate, Memory, Output,
        input::{Handshakes, Stack},
        output::{self, Deed, News, Report},
    },
    host::stack::Card,
    rules::rule::Action,
};

const MINUTE: Duration = Duration::from_secs(60);
/// Ticks for which what is held stays without a word of the daemon.
const ALIVE: u64 = 5 * 250;

fn hold(defence: Defence, ports: &[u16]) -> Command {
    Command::Hold {
        defence,
        ports: ports.to_vec(),
        duration: MINUTE,
        reason: "90,000 SYN/s".to_owned(),
    }
}

fn lower(name: &str, rate: u64) -> Command {
    Command::Lower {
        name: name.parse().expect("a limit"),
        rate: LimitRate::Packets(Rate::per_second(rate)),
        duration: MINUTE,
        reason: "a test".to_owned(),
    }
}

fn ban(texts: &[&str]) -> Command {
    Command::Add {
        list: Ban,
        prefixes: prefixes(texts),
        duration: Some(MINUTE),
        reason: "a test".to_owned(),
        force: false,
    }
}

fn rule(text: &str) -> Command {
    Command::AddRule {
        rule: Box::new(text.parse().expect("a rule")),
        before: None,
        duration: Some(MINUTE),
        reason: "a test".to_owned(),
        force: false,
    }
}

fn auto(defence: Defence) -> Command {
    Command::AutoDefence { defence }
}

impl Daemon<Fake> {
    fn controller(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.execute(&Actor::Controller, command, false)
    }

    /// The settings that packets meet at this tick.
    fn met_settings(&self) -> Settings {
        let fake = &self.plane;
        let is_held = fake.tick < fake.settings.held_until;
        let held = fake.held.filter(|_| is_held);
        held.unwrap_or(fake.settings)
    }

    fn has_always(&self, defence: Defence) -> bool {
        self.met_settings().defences_always & defence.bit() != 0
    }

    fn events(&mut self, kind: &str) -> Vec<String> {
        let (events, _) = self.store.events(None, 100).expect("events");
        let events = events.into_iter().filter(|event| event.kind == kind);
        events.map(|event| event.text).collect()
    }

    fn read_moment(&mut self) -> crate::detect::Snapshot {
        let counters = self.plane.counters().expect("counters");
        self.observe_all(clock::monotonic(), counters)
            .expect("a snapshot")
    }
}

#[test]
fn what_is_held_fades_unless_the_daemon_says_that_it_lives() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon
        .controller(hold(Defence::Sockets, &[]))
        .expect("held");
    daemon.controller(lower("source.syn", 50)).expect("lowered");
    assert!(daemon.has_always(Defence::Sockets));
    let limit = |daemon: &Daemon<Fake>| daemon.met_settings().source.limits[Class::Syn as usize];
    let lowered = limit(&daemon);
    assert_ne!(
        lowered,
        daemon.plane.settings.source.limits[Class::Syn as usize]
    );
    assert_eq!(
        daemon.met_settings().source.always,
        Class::Syn.bit(),
        "it holds in calm too, and others as before"
    );
    // What operators say is as it was.
    let operators = daemon.plane.settings;
    assert_eq!(operators.defences_always & Defence::Sockets.bit(), 0);
    assert_eq!(operators.held_until, daemon.plane.tick + ALIVE);

    daemon.plane.tick += ALIVE - 1;
    assert!(daemon.has_always(Defence::Sockets));
    daemon.renew_held();
    daemon.plane.tick += ALIVE - 1;
    assert!(daemon.has_always(Defence::Sockets), "it was renewed");
    daemon.plane.tick += 1;
    assert!(!daemon.has_always(Defence::Sockets));

    daemon.renew_held();
    daemon
        .controller(Command::Release {
            defence: Defence::Sockets,
        })
        .expect("let go");
    assert!(!daemon.has_always(Defence::Sockets));
    assert_eq!(limit(&daemon), lowered, "the other is still held");
    daemon
        .controller(Command::Raise {
            name: "source.syn".parse().expect("a limit"),
        })
        .expect("raised");
    assert_eq!(daemon.plane.settings.held_until, 0);
}

#[test]
fn what_is_held_ends_by_itself_and_in_the_kernel_no_later() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    let mut soon = hold(Defence::Sockets, &[]);
    if let Command::Hold { duration, .. } = &mut soon {
        *duration = Duration::from_secs(2);
    }
    daemon.controller(soon).expect("held");
    let left = daemon.plane.settings.held_until - daemon.plane.tick;
    assert!(left <= 2 * 250 + 1, "{left} ticks");
    for held in daemon.state.held.defences.values_mut() {
        held.until = Timestamp::UNIX_EPOCH;
    }
    daemon.work();
    assert!(daemon.state.held.defences.is_empty());
    assert_eq!(daemon.plane.settings.held_until, 0);
    assert_eq!(
        daemon.events("ended"),
        ["the defence sockets is not held any more"]
    );
}

#[test]
fn cookies_that_are_held_go_by_the_switch_and_end_with_it() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    let features = daemon.plane.features.clone();
    daemon
        .controller(hold(Defence::Cookies, &[443]))
        .expect("held");
    assert!(daemon.has_always(Defence::Cookies));
    assert_eq!(host.surroundings.scene().syncookies, [1, 2]);
    let ports = Ports::from(&**daemon.plane.ports.get(&PortSet::Cookies).expect("ports"));
    assert_eq!(ports, [443].into_iter().collect());
    let operators = daemon.plane.settings.defences_always;
    assert_eq!(
        operators & Defence::Cookies.bit(),
        0,
        "a dead daemon's fade"
    );

    daemon
        .controller(Command::Release {
            defence: Defence::Cookies,
        })
        .expect("let go");
    assert!(!daemon.has_always(Defence::Cookies), "at once");
    assert_eq!(host.surroundings.scene().syncookies, [1, 2]);
    daemon.tend_at(Duration::from_secs(121));
    assert_eq!(host.surroundings.scene().syncookies, [1, 2, 1]);
    assert_eq!(
        daemon.plane.features, features,
        "no program had to be verified for it"
    );
}

#[test]
fn cookies_of_an_operator_stay_when_the_controller_lets_go() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect("on");
    assert!(daemon.state.held.defences.is_empty());
    let operators = daemon.plane.settings.defences_always;
    assert_ne!(operators & Defence::Cookies.bit(), 0);
    let refusal = daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect_err("it holds anyway");
    assert!(refusal.message.contains("holds always"), "{refusal}");
}

#[test]
fn in_monitor_mode_all_is_held_and_nothing_answered() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .controller(hold(Defence::Sockets, &[]))
        .expect("held");
    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon.controller(ban(&["203.0.113.7/32"])).expect("banned");
    assert!(daemon.has_always(Defence::Sockets));
    assert_eq!(daemon.met_settings().enforced, 0);
    assert!(daemon.has_always(Defence::Cookies), "to be counted");
    assert!(!daemon.terrain.switch.answers());
    assert_eq!(host.surroundings.scene().syncookies, [1]);
    // An operator who enforces has them at once, and who watches again has none.
    let mode = |mode| Command::SetMode {
        mode,
        reasons: Vec::new(),
        duration: None,
    };
    daemon.run(mode(Mode::Enforce)).expect("set");
    daemon.tend();
    assert!(daemon.has_always(Defence::Cookies) && daemon.terrain.switch.answers());
    assert_eq!(daemon.met_settings().enforced, Reason::all_drops());
    daemon.run(mode(Mode::Monitor)).expect("set");
    daemon.tend();
    assert!(!daemon.terrain.switch.answers());
}

#[test]
fn an_operators_word_wins_whoever_speaks_first() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon
        .set_defence(Defence::Sockets, DefenceMode::Off)
        .expect("off");
    daemon
        .controller(hold(Defence::Sockets, &[]))
        .expect_err("an operator's word");
    assert!(!daemon.has_always(Defence::Sockets));

    daemon.controller(hold(Defence::Icmp, &[])).expect("held");
    daemon
        .set_defence(Defence::Icmp, DefenceMode::Off)
        .expect("off");
    let bits = daemon.met_settings();
    assert_eq!(
        (bits.defences_always | bits.defences_pressed) & Defence::Icmp.bit(),
        0
    );

    daemon
        .controller(hold(Defence::Solicited, &[]))
        .expect("held");
    let outcome = daemon.run(auto(Defence::Solicited)).expect("ended");
    assert!(outcome.notes[0].contains("leaves it alone"), "{outcome:?}");
    assert!(!daemon.has_always(Defence::Solicited));
    daemon
        .controller(hold(Defence::Solicited, &[]))
        .expect_err("for an hour");

    daemon.controller(ban(&["203.0.113.7/32"])).expect("banned");
    assert!(daemon.meets(Ban, "203.0.113.7"));
    daemon.remove(Ban, &["203.0.113.7/32"]).expect("lifted");
    assert!(!daemon.meets(Ban, "203.0.113.7"));
    daemon
        .controller(ban(&["203.0.113.7/32"]))
        .expect_err("for an hour");
    daemon
        .controller(ban(&["203.0.113.8/32"]))
        .expect("another");
}

#[test]
fn a_full_disk_stops_neither_the_controller_nor_who_ends_what_it_did() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon.store.refuse_writes();
    daemon
        .import("feed", &["192.0.2.0/24"])
        .expect_err("no room");

    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon.controller(lower("source.syn", 50)).expect("lowered");
    daemon.controller(ban(&["203.0.113.7/32"])).expect("banned");
    daemon
        .controller(rule("drop udp sport 1900"))
        .expect("added");
    assert!(daemon.has_always(Defence::Cookies) && daemon.meets(Ban, "203.0.113.7"));
    assert_eq!(
        daemon.plane.rules[daemon.plane.settings.bank() as usize]
            .entries
            .len(),
        1
    );
    assert!(daemon.troubles.contains_key("journal"));

    daemon.run(auto(Defence::Cookies)).expect("ended");
    daemon.remove(Ban, &["203.0.113.7/32"]).expect("lifted");
    daemon
        .run(Command::RemoveRules {
            ids: vec![RuleId::Added(1)],
        })
        .expect("removed");
    assert!(!daemon.has_always(Defence::Cookies) && !daemon.meets(Ban, "203.0.113.7"));
    daemon
        .controller(ban(&["203.0.113.9/32"]))
        .expect("another");
    for (prefix, note) in daemon.state.list(Ban).manual.clone() {
        let past = lists::Note {
            until: Some(Timestamp::UNIX_EPOCH),
            ..note
        };
        let _ = daemon.state.apply(Change::Manual(Ban, prefix, Some(past)));
    }
    daemon.work();
    assert!(!daemon.meets(Ban, "203.0.113.9"));
}

#[test]
fn a_restart_finds_bans_with_their_ends_and_nothing_else() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon.controller(hold(Defence::Icmp, &[])).expect("held");
    daemon
        .controller(ban(&["203.0.113.7/32", "2001:db8:7::/64"]))
        .expect("banned");
    daemon
        .controller(rule("drop udp sport 1900"))
        .expect("added");
    daemon.add(Ban, &["203.0.113.9/32"]).expect("by hand");
    let end = daemon.value(ListId::Ban, "203.0.113.7/32").until;

    // One is allowed meanwhile, as far as the next daemon knows, and one has no end.
    let mut fake = stop(daemon);
    let bans = fake.lists.get_mut(&ListId::Ban).expect("bans");
    let endless = EntryValue {
        until: EntryValue::NEVER,
        ..EntryValue::default()
    };
    bans.insert(key(&prefix("203.0.113.99/32")), endless);
    let gateway: IpAddr = "2001:db8:7::1".parse().expect("an address");
    host.surroundings.scene().facts.gateways = vec![gateway];
    let mut daemon = host.start(fake, true);
    daemon.protect().expect("protected");
    daemon.tend();

    assert!(daemon.meets(Ban, "203.0.113.7") && daemon.meets(Ban, "203.0.113.9"));
    assert!(!daemon.meets(Ban, "2001:db8:7::1") && !daemon.meets(Ban, "203.0.113.99"));
    let left = daemon.value(ListId::Ban, "203.0.113.7/32").until;
    assert!(left.abs_diff(end) <= 1, "{left} {end}");
    let note = &daemon.state.list(Ban).manual[&prefix("203.0.113.7/32")];
    assert_eq!(note.by, "controller");
    let bans = daemon.state.list(Ban).manual.values();
    assert!(bans.into_iter().all(|note| note.until.is_some()));
    assert!(!daemon.has_always(Defence::Icmp) && daemon.plane.settings.held_until == 0);
    assert!(daemon.state.rules.is_empty());
    // Numbers of rules are not given twice.
    let outcome = daemon.run(rule("drop udp sport 19")).expect("added");
    assert_eq!(outcome.rules, ["2"]);
}

#[test]
fn cookies_that_a_dead_daemon_held_are_still_accepted_for_their_time() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon.plane.tick += 60 * 250;
    let mut daemon = host.again(daemon);
    daemon.protect().expect("protected");
    daemon.tend();
    assert!(!daemon.has_always(Defence::Cookies));
    assert_eq!(host.surroundings.scene().syncookies, [1, 2]);
    daemon.tend_at(Duration::from_secs(121));
    assert_eq!(host.surroundings.scene().syncookies, [1, 2, 1]);

    // Long after, they go back at once; and so they do where the daemon ends in order.
    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon.plane.tick += 200 * 250;
    let mut daemon = host.again(daemon);
    assert_eq!(host.surroundings.scene().syncookies, [1, 2, 1, 2, 1]);
    daemon.protect().expect("protected");
    daemon.tend();
    daemon
        .controller(hold(Defence::Cookies, &[]))
        .expect("held");
    daemon.end_draining();
    assert!(!daemon.has_always(Defence::Cookies));
    assert_eq!(host.surroundings.scene().syncookies.last(), Some(&1));
}

#[test]
fn a_failed_write_leaves_nothing_held() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    for (command, writes) in [
        (hold(Defence::Sockets, &[]), 2),
        (ban(&["203.0.113.7/32"]), 3),
        (rule("drop udp sport 1900"), 4),
    ] {
        for fails_in in 0..writes {
            let (before, settings) = (daemon.state.clone(), daemon.met_settings());
            let is_banned = daemon.meets(Ban, "203.0.113.7");
            daemon.plane.fails_in = Some(fails_in);
            let refusal = daemon.controller(command.clone());
            daemon.plane.fails_in = None;
            assert!(refusal.is_err(), "{command:?}: {fails_in}");
            assert_eq!(daemon.state, before);
            assert_eq!(daemon.met_settings(), settings);
            assert_eq!(daemon.meets(Ban, "203.0.113.7"), is_banned);
        }
        daemon.controller(command).expect("now");
    }
    assert!(daemon.has_always(Defence::Sockets) && daemon.meets(Ban, "203.0.113.7"));
}

#[test]
fn what_is_held_is_shown_with_its_end_and_who_can_end_it() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    assert_eq!(daemon.shown(Defence::Cookies).mode, "auto");
    assert_eq!(daemon.shown(Defence::Cookies).state, DefenceState::Waiting);
    daemon
        .controller(hold(Defence::Cookies, &[443]))
        .expect("held");
    daemon.controller(lower("source.syn", 50)).expect("lowered");
    let status = daemon.status().expect("a status");
    let held: Vec<_> = status
        .held
        .iter()
        .map(|it| (&*it.name, &*it.value, &*it.otherwise, &*it.ends))
        .collect();
    assert_eq!(
        held,
        [
            (
                "defence.cookies",
                "on at TCP 443",
                "auto",
                "floodwall defence auto cookies"
            ),
            (
                "limit.source.syn",
                "50/s",
                "200/s",
                "floodwall limit auto source.syn"
            ),
        ]
    );
    assert_eq!(status.held[0].held.reason, "90,000 SYN/s");
    let shown = daemon.shown(Defence::Cookies);
    assert_eq!(shown.state, DefenceState::Holding);
    assert_eq!(shown.held.as_ref(), Some(&status.held[0].held));
    let limits = daemon.limits().expect("limits").limits;
    let syn = limits.iter().find(|limit| limit.name == "source.syn");
    let syn = syn.expect("the limit");
    assert_eq!((&*syn.rate, &*syn.holds), ("50/s", "always"));
    assert_eq!(syn.held.as_ref(), Some(&status.held[1].held));
}

#[test]
fn refusals_are_told_once_and_stop_nothing() {
    let host = host("mode = \"enforce\"\ndefences.sockets = \"off\"");
    let mut daemon = host.protecting();
    let output = || Output {
        commands: vec![hold(Defence::Sockets, &[]), hold(Defence::Icmp, &[])],
        news: vec![
            News::Notice("a word".to_owned()),
            News::Opened(Box::new(Report {
                id: 7,
                ..Report::default()
            })),
        ],
        ..Output::default()
    };
    daemon.act(output());
    daemon.act(output());
    assert!(daemon.has_always(Defence::Icmp));
    let refused = daemon.events("controller.refused");
    assert_eq!(
        refused,
        ["the controller wanted to hold sockets, which was not done: sockets is off, by the file"]
    );
    assert_eq!(daemon.events("controller.notice").len(), 2);
    assert_eq!(daemon.events("incident.open").len(), 2);
    assert_eq!(daemon.events("defence.hold").len(), 1, "held on in silence");
}

#[test]
fn rules_of_the_controller_drop_behind_those_of_operators() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    daemon
        .controller(rule("drop udp sport 1900"))
        .expect("added");
    daemon.run(rule("drop udp sport 19")).expect("added");
    let list = daemon.rules().expect("rules").rules;
    let rules: Vec<_> = list.iter().map(|it| (&*it.id, &*it.by)).collect();
    assert_eq!(rules, [("2", "uid 1000"), ("1", "controller")]);
    assert!(list[1].until.is_some());
    let first = daemon.state.rules.values().next().expect("a rule");
    assert_eq!(first.rule.action, Action::Drop);
}

#[test]
fn a_fingerprint_that_somebody_takes_away_does_not_come_back_with_the_next_daemon() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.first();
    let earlier = serde_json::json!({
        "next_incident": 1,
        "fingerprints": [{
            "vector": "udp",
            "target": { "kind": "service", "protocol": 17, "port": 53 },
            "rule": "drop udp dport 53 length 60",
            "caught": 1.0,
            "samples": 100,
            "calm": { "measured": 0.0, "most": 0.001, "samples": 3_000 },
            "connections": null,
            "until": clock::now() + Duration::from_secs(30),
        }],
    });
    let memory: Memory = serde_json::from_value(earlier).expect("a memory");
    let step = |daemon: &mut Daemon<Fake>| {
        let counters = daemon.plane.counters().expect("counters");
        daemon.step(clock::monotonic(), counters);
        let rules: Vec<u32> = daemon.state.rules.keys().copied().collect();
        (rules, daemon.story.memory().fingerprints.len())
    };
    let config = daemon.config.detection.clone();
    daemon.driver = Driver::new(&config, memory, clock::monotonic());
    let (rules, kept) = step(&mut daemon);
    assert_eq!((rules.len(), kept), (1, 1), "it is in force again");
    let ids = rules.into_iter().map(RuleId::Added).collect();
    daemon
        .run(Command::RemoveRules { ids })
        .expect("an operator may");
    assert_eq!(step(&mut daemon), (Vec::new(), 0));
    daemon.remember();
    assert_eq!(daemon.story.memory().fingerprints, []);
}
