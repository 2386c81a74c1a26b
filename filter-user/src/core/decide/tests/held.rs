//! What the controller does, and whose word counts.

use filter_common::abi::defence::Defence;

use super::*;
use crate::{
    config::defence::DefenceMode,
    core::{defences::CookieWish, held::RESPECT, rules::RuleId, settings},
};

const MINUTE: Duration = Duration::from_secs(60);

fn hold(defence: Defence, ports: &[u16]) -> Command {
    Command::Hold {
        defence,
        ports: ports.to_vec(),
        duration: MINUTE,
        reason: "90,000 SYN/s".to_owned(),
    }
}

fn lower(name: &str, rate: &str) -> Command {
    let name: LimitName = name.parse().expect("a limit");
    let rate = name.measure().parse(rate).expect("a rate");
    Command::Lower {
        name,
        rate: rate.expect("not off"),
        duration: MINUTE,
        reason: "a test".to_owned(),
    }
}

fn ban(texts: &[&str]) -> Command {
    Command::Add {
        list: ListKind::Ban,
        prefixes: prefixes(texts),
        duration: Some(MINUTE),
        reason: "a test".to_owned(),
        force: true,
    }
}

fn rule(text: &str, duration: Option<Duration>) -> Command {
    Command::AddRule {
        rule: Box::new(text.parse().expect("a rule")),
        before: None,
        duration,
        reason: "a test".to_owned(),
        force: true,
    }
}

fn set(defence: Defence, mode: DefenceMode) -> Command {
    Command::SetDefence {
        defence,
        mode,
        ports: Vec::new(),
        services: Vec::new(),
        duration: None,
        reason: String::new(),
    }
}

impl Host {
    fn controller(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.run_by(&Actor::Controller, command)
    }

    fn refuses(&mut self, command: Command, says: &str) {
        let before = self.state.clone();
        let refusal = self.controller(command).expect_err(says);
        assert!(refusal.message.contains(says), "{refusal}");
        assert_eq!(self.state, before);
    }

    fn forget_what_ended(&mut self) {
        for change in self.state.expired(self.now) {
            let _ = self.state.apply(change);
        }
    }

    fn mode(&self, defence: Defence) -> DefenceMode {
        let effective = self.state.effective(&self.config);
        crate::core::defences::mode(&self.config, &effective, defence)
    }

    fn rate(&self, name: &str) -> String {
        let effective = self.state.effective(&self.config);
        let name = name.parse().expect("a limit");
        let limit = settings::limit(&self.config, &effective, &name);
        crate::config::limit::format_limit(limit.rate)
    }
}

#[test]
fn a_defence_is_held_until_it_is_let_go_or_ends() {
    let mut host = Host::new();
    let outcome = host.controller(hold(Defence::Cookies, &[])).expect("held");
    assert_eq!(
        outcome.notes,
        ["defence cookies is held until 2025-11-28T09:01:00Z: 90,000 SYN/s"]
    );
    assert_eq!(host.mode(Defence::Cookies), DefenceMode::On);
    assert_eq!(
        crate::core::defences::mode(&host.config, &host.state, Defence::Cookies),
        DefenceMode::Auto,
        "what operators say is as it was"
    );
    let release = Command::Release {
        defence: Defence::Cookies,
    };
    host.controller(release.clone()).expect("let go");
    assert_eq!(host.state, State::default());
    host.controller(release).expect("nothing to do");

    host.controller(hold(Defence::Sockets, &[])).expect("held");
    host.now += 30.seconds();
    host.controller(hold(Defence::Sockets, &[])).expect("on");
    host.now += 45.seconds();
    host.forget_what_ended();
    assert_eq!(host.mode(Defence::Sockets), DefenceMode::On);
    host.now += 15.seconds();
    host.forget_what_ended();
    assert_eq!(host.state, State::default());
}

#[test]
fn what_is_held_on_is_told_once() {
    let host = Host::new();
    let mut state = State::default();
    let mut told = |command: &Command| {
        let situation = Situation {
            state: &state,
            ..host.situation()
        };
        let decision = decide(situation, &Actor::Controller, command).expect("decided");
        for change in decision.changes {
            let _ = state.apply(change);
        }
        decision.event.1
    };
    let command = hold(Defence::Cookies, &[443]);
    assert!(told(&command).starts_with("defence cookies is held at TCP 443"));
    assert_eq!(told(&command), "");
    assert!(told(&hold(Defence::Cookies, &[80, 443])).contains("80, 443"));
    assert!(told(&lower("source.syn", "50/s")).contains("lowered to 50/s"));
    assert_eq!(told(&lower("source.syn", "50/s")), "");
    assert!(told(&lower("source.syn", "20/s")).contains("lowered to 20/s"));
}

#[test]
fn what_file_or_operators_switched_is_not_the_controllers() {
    let mut host = Host::new();
    host.config = Config::parse(
        "defences = { sockets = \"off\", icmp = \"on\", cookie_ports = [443] }",
        std::path::Path::new("f.toml"),
    )
    .expect("a file");
    host.refuses(hold(Defence::Sockets, &[]), "sockets is off, by the file");
    host.refuses(hold(Defence::Icmp, &[]), "holds always, by the file");
    host.refuses(hold(Defence::Cookies, &[80]), "their own word");
    host.refuses(hold(Defence::Solicited, &[53]), "whole host");
    host.run(set(Defence::Cookies, DefenceMode::Off))
        .expect("off");
    host.refuses(hold(Defence::Cookies, &[]), "off, by uid 1000");
    host.unable
        .insert(Defence::ClosedPorts, "an old kernel".to_owned());
    host.refuses(hold(Defence::ClosedPorts, &[]), "an old kernel");
    let endless = Command::Hold {
        defence: Defence::Solicited,
        ports: Vec::new(),
        duration: Duration::ZERO,
        reason: String::new(),
    };
    host.refuses(endless, "has an end");
    let Err(refusal) = host.run(hold(Defence::Solicited, &[])) else {
        panic!("an operator has other words for it");
    };
    assert!(refusal.message.contains("the controller's alone"));
}

#[test]
fn cookies_are_held_at_ports_that_nobody_else_speaks_of() {
    let mut host = Host::new();
    let port = |mode, port| Command::SetDefence {
        ports: vec![port],
        defence: Defence::Cookies,
        mode,
        services: Vec::new(),
        duration: None,
        reason: String::new(),
    };
    host.run(port(DefenceMode::Off, 25)).expect("off there");
    host.controller(hold(Defence::Cookies, &[25, 443]))
        .expect("held");
    let contains = |host: &Host, port| {
        let effective = host.state.effective(&host.config);
        CookieWish::of(&host.config, &effective).contains(port)
    };
    assert!(contains(&host, 443) && !contains(&host, 25) && !contains(&host, 80));
    // An operator's word that comes later wins too.
    host.run(port(DefenceMode::Off, 443)).expect("off there");
    assert!(!contains(&host, 443));
    host.run(port(DefenceMode::Auto, 443)).expect("given back");
    assert!(contains(&host, 443));
}

#[test]
fn an_operator_ends_what_is_held_and_is_respected_for_an_hour() {
    let mut host = Host::new();
    host.controller(hold(Defence::Cookies, &[])).expect("held");
    let auto = Command::AutoDefence {
        defence: Defence::Cookies,
    };
    let outcome = host.run(auto.clone()).expect("ended");
    assert_eq!(
        outcome.notes,
        [
            "defence cookies is back to auto; the controller held it, and leaves it alone until \
             2025-11-28T10:00:00Z"
        ]
    );
    assert_eq!(host.mode(Defence::Cookies), DefenceMode::Auto);
    host.refuses(hold(Defence::Cookies, &[443]), "an operator ended");
    // Once more, and the controller may again.
    let outcome = host.run(auto).expect("given back");
    assert!(outcome.notes[0].ends_with("the controller may hold it again"));
    host.controller(hold(Defence::Cookies, &[])).expect("held");
    host.run(set(Defence::Cookies, DefenceMode::Off))
        .expect("off");
    assert!(host.state.held.defences.is_empty());

    host.controller(lower("source.syn", "50/s"))
        .expect("lowered");
    let name: LimitName = "source.syn".parse().expect("a limit");
    let outcome = host.run(Command::AutoLimit { name }).expect("ended");
    assert!(outcome.notes[0].contains("leaves it alone"), "{outcome:?}");
    host.refuses(lower("source.syn", "40/s"), "an operator ended");
    host.now = clock::end(host.now, RESPECT).expect("a time");
    host.forget_what_ended();
    host.controller(lower("source.syn", "40/s"))
        .expect("an hour is over");
}

#[test]
fn limits_are_lowered_and_no_others_word_is_touched() {
    let mut host = Host::new();
    host.controller(lower("source.syn", "50/s"))
        .expect("lowered");
    assert_eq!(host.rate("source.syn"), "50/s");
    host.controller(lower("source.syn", "1/s"))
        .expect("to the floor");
    assert_eq!(host.rate("source.syn"), "10/s");
    host.refuses(lower("source.syn", "300/s"), "not above 300/s");
    host.refuses(lower("source.bytes", "1MB/s"), "would have to be verified");
    host.controller(lower("prefix.syn", "1k/s"))
        .expect("where there was none");
    assert_eq!(host.rate("prefix.syn"), "1k/s");
    let rate = |rate| LimitRate::Packets(Rate::per_second(rate));
    host.run(Command::SetLimit {
        name: LimitName::Source(Class::Syn),
        rate: Some(rate(100)),
        duration: None,
    })
    .expect("set");
    assert_eq!(host.rate("source.syn"), "100/s");
    host.refuses(lower("source.syn", "50/s"), "set by uid 1000");
    host.controller(lower("source.udp", "1k/s"))
        .expect("lowered");
    host.controller(Command::Raise {
        name: LimitName::Source(Class::Udp),
    })
    .expect("raised");
    assert_eq!(host.rate("source.udp"), "20k/s");
    // What the file says from now on counts, whatever is held.
    host.controller(lower("source.udp", "1k/s"))
        .expect("lowered");
    host.config = Config::parse(
        "limits.source.udp = \"5k/s\"",
        std::path::Path::new("f.toml"),
    )
    .expect("a file");
    assert_eq!(host.rate("source.udp"), "5k/s");
    host.refuses(lower("source.udp", "1k/s"), "is the file's");
}

#[test]
fn bans_end_and_spare_whom_they_must() {
    let mut host = Host::new();
    host.facts.gateways = vec!["192.0.2.1".parse().expect("an address")];
    host.add(ListKind::Allow, &["198.51.100.0/24"])
        .expect("allowed");
    host.refuses(ban(&["192.0.2.0/24"]), "a gateway of this host");
    host.refuses(ban(&["198.51.100.7/32"]), "goes first");
    host.refuses(ban(&["203.0.0.0/15"]), "as wide as");
    host.config.tables.bans = 1;
    host.refuses(ban(&["203.0.113.1/32", "203.0.113.2/32"]), "has room for 1");
    host.controller(ban(&["203.0.113.1/32"])).expect("banned");
    let own = |host: &Host| host.state.list(ListKind::Ban).manual.clone();
    let until = own(&host).values().next().and_then(|note| note.until);
    assert_eq!(until, clock::end(host.now, MINUTE));

    // Never longer than the file says.
    let long = Command::Add {
        list: ListKind::Ban,
        prefixes: prefixes(&["203.0.113.1/32"]),
        duration: Some(Duration::from_secs(1_000_000)),
        reason: String::new(),
        force: false,
    };
    host.controller(long).expect("banned");
    let until = own(&host).values().next().and_then(|note| note.until);
    assert_eq!(until, clock::end(host.now, host.config.detection.ban_most));

    // An operator's ban is not the controller's to change.
    host.add(ListKind::Ban, &["203.0.113.1/32"])
        .expect("by hand");
    host.refuses(ban(&["203.0.113.1/32"]), "was banned by uid 1000");
    let remove = Command::Remove {
        list: ListKind::Ban,
        prefixes: prefixes(&["203.0.113.1/32"]),
    };
    host.refuses(remove, "whose word counts");
    host.refuses(
        Command::Flush {
            list: ListKind::Ban,
        },
        "no say",
    );
}

#[test]
fn who_was_let_go_by_an_operator_is_not_banned_again_at_once() {
    let mut host = Host::new();
    host.controller(ban(&["203.0.113.1/32", "2001:db8::/64"]))
        .expect("banned");
    let outcome = host
        .run(Command::Remove {
            list: ListKind::Ban,
            prefixes: prefixes(&["203.0.113.1/32"]),
        })
        .expect("let go");
    assert!(outcome.notes[1].contains("until 2025-11-28T10:00:00Z"));
    host.refuses(ban(&["203.0.113.1/32"]), "an operator ended");
    host.refuses(ban(&["203.0.113.0/24"]), "an operator ended");
    host.controller(ban(&["203.0.113.2/32"])).expect("another");
    host.run(Command::Flush {
        list: ListKind::Ban,
    })
    .expect("flushed");
    host.refuses(ban(&["2001:db8::1/128"]), "an operator ended");
    host.now = clock::end(host.now, RESPECT).expect("a time");
    host.controller(ban(&["203.0.113.0/24"]))
        .expect("an hour is over");
}

#[test]
fn rules_of_the_controller_come_last_and_end() {
    let mut host = Host::new();
    host.refuses(rule("drop udp sport 1900", None), "has an end");
    host.refuses(rule("pass udp sport 1900", Some(MINUTE)), "lets nothing in");
    host.refuses(rule("drop tcp", Some(MINUTE)), "covers");
    host.controller(rule("drop udp sport 1900", Some(MINUTE)))
        .expect("added");
    host.run(rule("drop udp sport 11211", None)).expect("added");
    let mut before = rule("drop udp sport 389", None);
    if let Command::AddRule { before, .. } = &mut before {
        *before = Some(RuleId::Added(1));
    }
    host.run(before).expect("added");
    let order: Vec<u32> = crate::core::rules::in_order(&host.state)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(order, [2, 3, 1]);
    let remove = |number| Command::RemoveRules {
        ids: vec![RuleId::Added(number)],
    };
    host.refuses(remove(2), "whose word counts");
    let outcome = host.run(remove(1)).expect("removed");
    assert!(
        outcome.notes[0].contains("adds it not again"),
        "{outcome:?}"
    );
    host.refuses(
        rule("shadow drop udp sport 1900", Some(MINUTE)),
        "an operator ended",
    );
    host.controller(rule("drop udp sport 161", Some(MINUTE)))
        .expect("another");
    host.controller(remove(4)).expect("its own");
}

#[test]
fn what_an_operator_ends_of_the_controllers_needs_no_store() {
    let mut host = Host::new();
    host.controller(hold(Defence::Icmp, &[])).expect("held");
    host.controller(lower("icmp.echo", "100/s"))
        .expect("lowered");
    host.controller(ban(&["203.0.113.1/32"])).expect("banned");
    host.controller(rule("drop udp sport 1900", Some(MINUTE)))
        .expect("added");
    for command in [
        Command::AutoDefence {
            defence: Defence::Icmp,
        },
        Command::AutoLimit {
            name: LimitName::IcmpEcho,
        },
        Command::Remove {
            list: ListKind::Ban,
            prefixes: prefixes(&["203.0.113.1/32"]),
        },
        Command::RemoveRules {
            ids: vec![RuleId::Added(1)],
        },
    ] {
        let decision = decide(host.situation(), &OPERATOR, &command).expect("decided");
        let fleeting = |change: &Change| change.is_fleeting(&host.state);
        assert!(decision.changes.iter().all(fleeting), "{command:?}");
        assert!(!decision.changes.is_empty());
    }
}

#[test]
fn a_rule_that_the_controller_asks_for_again_goes_on_under_its_number() {
    let mut host = Host::new();
    let minute = Some(Duration::from_secs(60));
    let flood = || rule("drop udp dport 27015 length 540", minute);
    // The shadow rule of its trial is another.
    host.controller(rule("shadow drop udp dport 27015 length 540", minute))
        .expect("added");
    assert_eq!(host.controller(flood()).expect("added").rules, ["2"]);
    let since = host.now;
    host.now += 40.seconds();
    let decision = decide(host.situation(), &Actor::Controller, &flood()).expect("decided");
    assert_eq!(decision.event, Default::default());
    let outcome = host.controller(flood()).expect("renewed");
    assert_eq!(outcome.rules, ["2"]);
    host.now += 40.seconds();
    host.forget_what_ended();
    let left: Vec<_> = host.state.rules.iter().collect();
    let [(2, added)] = left[..] else {
        panic!("{left:?}");
    };
    assert_eq!(added.note.since, since);
    assert_eq!(added.note.until, Some(since + 100.seconds()));
    // An operator's is not the controller's to renew.
    host.run(rule("drop udp dport 1", minute)).expect("added");
    host.refuses(rule("drop udp dport 1", minute), "is the same");
}
