mod defences;
mod held;
mod rules;
mod trial;

use filter_common::abi::settings::Class;
use ipnet::IpNet;
use jiff::ToSpan as _;

use super::*;
use crate::{
    api::types::{ErrorKind, ListKind},
    config::{
        bytes::ByteRate,
        limit::{LimitName, LimitRate, Measure},
        units::{Rate, parse_prefix},
    },
};

/// Everything that a decision depends on, and takes effect in.
struct Host {
    now: Timestamp,
    state: State,
    config: Config,
    facts: Facts,
    unable: Unable,
    last: Option<Last>,
}

const OPERATOR: Actor = Actor::Operator {
    uid: 1000,
    name: None,
};

impl Host {
    fn new() -> Self {
        Self {
            now: "2025-11-28T09:00:00Z".parse().expect("a time"),
            state: State::default(),
            config: Config {
                interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
                ..Config::default()
            },
            facts: Facts::default(),
            unable: Unable::new(),
            last: None,
        }
    }

    /// Decides, and applies what was decided; a refusal changes nothing.
    fn run(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.run_by(&OPERATOR, command)
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            state: &self.state,
            config: &self.config,
            facts: &self.facts,
            unable: &self.unable,
            last: self.last.as_ref(),
        }
    }

    fn run_by(&mut self, actor: &Actor, command: Command) -> Result<Outcome, Refusal> {
        let decision = decide(self.situation(), actor, &command)?;
        for change in decision.changes {
            let _ = self.state.apply(change);
        }
        Ok(decision.outcome)
    }

    fn add(&mut self, list: ListKind, prefixes: &[&str]) -> Result<Outcome, Refusal> {
        self.add_for(list, prefixes, None)
    }

    fn add_for(
        &mut self,
        list: ListKind,
        texts: &[&str],
        seconds: Option<u64>,
    ) -> Result<Outcome, Refusal> {
        self.run(Command::Add {
            list,
            prefixes: prefixes(texts),
            duration: seconds.map(Duration::from_secs),
            reason: "a test".to_owned(),
            force: false,
        })
    }

    fn remove(&mut self, texts: &[&str]) -> Result<Outcome, Refusal> {
        self.run(Command::Remove {
            list: ListKind::Block,
            prefixes: prefixes(texts),
        })
    }

    fn import(&mut self, name: &str, texts: &[&str]) -> Result<Outcome, Refusal> {
        self.import_to(Block, name, texts)
    }

    fn import_to(
        &mut self,
        list: ListKind,
        name: &str,
        texts: &[&str],
    ) -> Result<Outcome, Refusal> {
        let sorted: std::collections::BTreeSet<IpNet> = prefixes(texts).into_iter().collect();
        self.run(Command::Import {
            list,
            name: name.to_owned(),
            prefixes: sorted.into_iter().collect(),
            duration: None,
            reason: String::new(),
            force: false,
        })
    }
}

fn prefixes(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| parse_prefix(text).expect(text))
        .collect()
}

/// Asserts a refusal of a kind whose message has these parts.
#[track_caller]
fn refused(result: Result<Outcome, Refusal>, kind: ErrorKind, says: &[&str]) {
    let refusal = result.expect_err("a refusal");
    assert_eq!(refusal.kind, kind, "{refusal}");
    for part in says {
        assert!(
            refusal.message.contains(part),
            "{part:?} is missing in {:?}",
            refusal.message
        );
    }
}

use ErrorKind::{Invalid, NotFound, Refused};
use ListKind::{Allow, Block};

#[test]
fn an_entry_is_added_once_and_then_updated() {
    let mut host = Host::new();
    let first = host
        .add(Block, &["192.0.2.0/24", "192.0.2.9/24"])
        .expect("added");
    assert_eq!((first.added, first.updated), (1, 0), "host bits are masked");
    let second = host
        .add_for(Block, &["192.0.2.0/24"], Some(60))
        .expect("updated");
    assert_eq!((second.added, second.updated), (0, 1));
    let note = &host.state.list(Block).manual[&prefixes(&["192.0.2.0/24"])[0]];
    assert_eq!(note.until, Some(host.now + 60.seconds()));
    assert_eq!(
        (note.by.as_str(), note.reason.as_str()),
        ("uid 1000", "a test")
    );
}

#[test]
fn an_entry_that_a_wider_one_makes_useless_is_refused_with_its_name() {
    let mut host = Host::new();
    host.add_for(Block, &["192.0.2.0/24"], Some(3600))
        .expect("added");
    refused(
        host.add_for(Block, &["192.0.2.7"], Some(60)),
        Refused,
        &[
            "192.0.2.7/32",
            "192.0.2.0/24",
            "blocklist",
            "manual",
            "uid 1000",
            "until",
        ],
    );
    host.add(Block, &["192.0.2.8"])
        .expect("it outlives the wider one");
    host.now += 2.hours();
    host.add_for(Block, &["192.0.2.7"], Some(60))
        .expect("the wider one ended");
}

#[test]
fn an_entry_that_the_allowlist_makes_useless_is_refused_with_its_name() {
    let mut host = Host::new();
    host.add_for(Allow, &["198.51.100.0/24"], Some(3600))
        .expect("added");
    refused(
        host.add_for(Block, &["198.51.100.7"], Some(60)),
        Refused,
        &[
            "198.51.100.0/24",
            "allowlist",
            "floodwall allow del 198.51.100.0/24",
        ],
    );
    host.add(Block, &["198.51.100.7"])
        .expect("it outlives the allowance");
    host.add(Block, &["198.51.0.0/16"])
        .expect("a wider one does something");
    host.add(Allow, &["198.51.100.7"])
        .expect("an allowance goes before");
}

#[test]
fn one_of_two_nested_entries_of_a_command_is_useless() {
    let mut host = Host::new();
    refused(
        host.add(Block, &["192.0.2.0/24", "192.0.2.7"]),
        Refused,
        &["192.0.2.7/32", "192.0.2.0/24", "same command"],
    );
    assert!(
        host.state.list(Block).count(None) == 0,
        "nothing was changed"
    );
}

#[test]
fn an_imported_list_makes_entries_useless_too() {
    let mut host = Host::new();
    host.import("feed", &["203.0.113.0/24"]).expect("imported");
    refused(
        host.add(Block, &["203.0.113.9"]),
        Refused,
        &["203.0.113.0/24", "list feed"],
    );
    host.add(Block, &["203.0.113.0/24"])
        .expect("the same by hand outlives the list");
}

#[test]
fn what_is_not_there_cannot_be_removed_and_what_covers_it_is_named() {
    let mut host = Host::new();
    host.add(Block, &["192.0.2.0/24"]).expect("added");
    host.import("feed", &["203.0.113.9"]).expect("imported");
    refused(
        host.remove(&["198.51.100.1"]),
        NotFound,
        &["is not on the blocklist"],
    );
    refused(
        host.remove(&["192.0.2.1"]),
        NotFound,
        &["itself", "192.0.2.0/24"],
    );
    refused(
        host.remove(&["203.0.113.9"]),
        NotFound,
        &["feed", "import that list without it"],
    );
    refused(
        host.remove(&["192.0.2.0/24", "198.51.100.1"]),
        NotFound,
        &["198.51.100.1"],
    );
    assert_eq!(host.state.list(Block).count(None), 2, "all or nothing");
}

#[test]
fn removing_an_entry_tells_what_still_covers_it() {
    let mut host = Host::new();
    host.add_for(Block, &["192.0.2.0/24"], Some(60))
        .expect("added");
    host.add(Block, &["192.0.2.7"])
        .expect("it outlives the wider one");
    let outcome = host.remove(&["192.0.2.7"]).expect("removed");
    assert_eq!(outcome.removed, 1);
    assert!(
        outcome
            .notes
            .iter()
            .any(|note| note.contains("still covered by 192.0.2.0/24"))
    );
}

#[test]
fn flushing_empties_the_blocklist_and_no_other() {
    let mut host = Host::new();
    host.add(Block, &["192.0.2.0/24"]).expect("added");
    host.import("feed", &["203.0.113.0/24", "192.0.2.0/24"])
        .expect("imported");
    host.add(Allow, &["198.51.100.7"]).expect("added");
    let outcome = host.run(Command::Flush { list: Block }).expect("flushed");
    assert_eq!(outcome.removed, 3, "each entry counts");
    assert!(host.state.list(Block).count(None) == 0);
    assert_eq!(host.state.list(Allow).count(None), 1);
}

#[test]
fn a_full_list_takes_no_more_but_keeps_what_it_has() {
    let mut host = Host::new();
    host.config.tables.block = 3;
    host.add(Block, &["192.0.2.1", "192.0.2.2"]).expect("added");
    refused(
        host.add(Block, &["192.0.2.3", "192.0.2.4"]),
        Refused,
        &["room for 3", "`block`", "[tables]"],
    );
    host.add(Block, &["192.0.2.2", "192.0.2.3"])
        .expect("one of them is there already");
    host.add(Block, &["192.0.2.1"])
        .expect("an update needs no room");
    host.config.tables.allow = 1;
    host.add(Allow, &["203.0.113.1"]).expect("added");
    refused(
        host.import_to(Allow, "feed", &["203.0.113.2"]),
        Refused,
        &["room for 1", "`allow`"],
    );
    host.import_to(Allow, "feed", &["203.0.113.1"])
        .expect("it is there already");
}

#[test]
fn an_imported_list_is_replaced_as_a_whole() {
    let mut host = Host::new();
    host.config.tables.block = 3;
    let first = host.import(
        "feed",
        &["192.0.2.3", "192.0.2.1", "192.0.2.1", "192.0.2.2"],
    );
    assert_eq!(first.expect("imported").added, 3, "repetitions count once");
    let second = host.import("feed", &["192.0.2.1", "203.0.113.1", "203.0.113.2"]);
    let second = second.expect("the old list makes room for the new");
    assert_eq!((second.added, second.updated, second.removed), (2, 1, 2));
    let third = host.import("feed", &[]).expect("imported");
    assert_eq!(third.removed, 3);
    assert!(
        host.state.list(Block).imports.is_empty(),
        "importing nothing takes it away"
    );
}

#[test]
fn harm_is_refused_unless_it_is_forced() {
    let mut host = Host::new();
    host.facts.addresses = vec!["203.0.113.1".parse().expect("an address")];
    refused(
        host.add(Block, &["203.0.113.0/24"]),
        Refused,
        &["203.0.113.1/32", "--force"],
    );
    refused(
        host.import("feed", &["192.0.2.1", "203.0.113.1"]),
        Refused,
        &["203.0.113.1/32"],
    );
    refused(host.add(Allow, &["0.0.0.0/2"]), Refused, &["eighth"]);
    assert!(host.state.list(Block).count(None) == 0);
    host.run(Command::Add {
        list: Block,
        prefixes: prefixes(&["203.0.113.0/24"]),
        duration: None,
        reason: String::new(),
        force: true,
    })
    .expect("forced");
}

#[test]
fn replacing_a_list_does_not_count_the_old_one_among_what_is_covered() {
    let mut host = Host::new();
    host.import("feed", &["16.0.0.0/4", "32.0.0.0/4"])
        .expect("an eighth");
    host.import("feed", &["48.0.0.0/4", "64.0.0.0/4"])
        .expect("another eighth in its place");
    refused(host.import("more", &["80.0.0.0/8"]), Refused, &["in all"]);
}

#[test]
fn no_end_lies_beyond_what_can_be_written() {
    let mut host = Host::new();
    refused(
        host.add_for(Block, &["192.0.2.1"], Some(u64::MAX)),
        Invalid,
        &["--for"],
    );
    refused(
        host.add_for(Block, &["192.0.2.1"], Some(300_000_000_000)),
        Invalid,
        &["9999"],
    );
}

#[test]
fn a_limit_by_hand_is_an_override_until_it_is_given_back() {
    let mut host = Host::new();
    let syn = LimitName::Source(Class::Syn);
    let command = |rate: Option<Rate>| Command::SetLimit {
        name: syn.clone(),
        rate: rate.map(LimitRate::Packets),
        duration: None,
    };
    let outcome = host.run(command(Some(Rate::per_second(10)))).expect("set");
    assert_eq!(outcome.notes, ["limit source.syn is 10/s"]);
    let in_force = settings::limit(&host.config, &host.state, &syn);
    assert_eq!(
        (in_force.rate, in_force.always),
        (Some(LimitRate::Packets(Rate::per_second(10))), true)
    );
    host.run(command(None)).expect("off");
    assert_eq!(settings::limit(&host.config, &host.state, &syn).rate, None);
    host.run(Command::AutoLimit { name: syn })
        .expect("given back");
    assert!(host.state.limits.is_empty());
}

#[test]
fn the_limit_of_a_service_needs_the_service() {
    let mut host = Host::new();
    let name = || LimitName::Service("web".to_owned(), Measure::Bytes);
    let set = || Command::SetLimit {
        name: name(),
        rate: Some(LimitRate::Bytes(ByteRate::per_second(1_000_000))),
        duration: None,
    };
    refused(
        host.run(set()),
        NotFound,
        &["\"web\"", "[[service]]", "there is none"],
    );
    let service = crate::config::Service {
        name: "web".to_owned(),
        matches: crate::rules::ServiceMatch {
            to: prefixes(&["203.0.113.10"]),
            protocol: 6,
            port: Some(443),
        },
        packets: None,
        bytes: None,
    };
    host.config.services.push(service);
    host.run(set()).expect("set");
    let in_force = settings::limit(&host.config, &host.state, &name());
    assert_eq!(
        in_force.rate,
        Some(LimitRate::Bytes(ByteRate::per_second(1_000_000)))
    );
    host.config.services.clear();
    host.run(Command::AutoLimit { name: name() })
        .expect("what was set for a service that is gone can be given back");
    refused(
        host.run(Command::AutoLimit { name: name() }),
        NotFound,
        &["\"web\""],
    );
}

#[test]
fn a_mode_that_the_file_says_anyway_is_no_override() {
    let mut host = Host::new();
    let set = |mode, reasons: &[Reason]| Command::SetMode {
        mode,
        reasons: reasons.to_vec(),
        duration: None,
    };
    host.run(set(Mode::Enforce, &[Reason::Blocked]))
        .expect("set");
    let choice = settings::mode(&host.config, &host.state);
    assert_eq!(choice.enforced(), Reason::Blocked.bit());
    host.run(set(Mode::Enforce, &[])).expect("set");
    let choice = settings::mode(&host.config, &host.state);
    assert_eq!(choice.enforced(), Reason::all_drops());
    host.run(set(Mode::Monitor, &[])).expect("set");
    assert!(host.state.mode.is_none());
    refused(
        host.run(set(Mode::Monitor, &[Reason::Blocked])),
        Invalid,
        &["enforce REASON"],
    );
}

#[test]
fn only_configured_interfaces_can_be_detached() {
    let mut host = Host::new();
    let detach = |name: Option<&str>| Command::Detach {
        interface: name.map(str::to_owned),
        duration: None,
    };
    refused(
        host.run(detach(Some("eth7"))),
        NotFound,
        &["eth7", "eth0, eth1", "reload"],
    );
    host.run(detach(None)).expect("detached");
    assert_eq!(host.state.detached.len(), 2);
    let attach = |name: &str| Command::Attach {
        interface: name.to_owned(),
    };
    host.run(attach("eth1")).expect("attached");
    assert_eq!(host.state.detached.keys().collect::<Vec<_>>(), ["eth0"]);
    refused(host.run(attach("lo")), NotFound, &["lo"]);
}
