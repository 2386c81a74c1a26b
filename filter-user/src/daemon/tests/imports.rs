//! Imported lists and bans, over maps in memory.

use filter_common::abi::counter::Counter;

use super::*;
use crate::api::types::{Count, ErrorKind};

impl Daemon<Fake> {
    fn number(&self, address: &str) -> Option<u8> {
        let address = Address::from(address.parse::<std::net::IpAddr>().expect("an address"));
        self.is_gate_open(&address, Bit::line)
            .then(|| self.list_of(&address))?
    }

    fn reason(&mut self, address: &str) -> (String, String) {
        let query = WhyQuery {
            address: address.parse().expect("an address"),
            protocol: None,
            port: None,
        };
        let why = self.why(&query).expect("an answer");
        (why.reason, why.sentence)
    }
}

#[test]
fn several_lists_are_in_force_at_once_and_each_is_replaced_as_a_whole() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon
        .import("feed", &["192.0.2.0/24", "2001:db8::/64"])
        .expect("imported");
    daemon
        .import("abroad", &["192.0.2.7/32", "198.51.100.0/24"])
        .expect("imported");
    assert_eq!(
        daemon.number("192.0.2.7"),
        Some(0),
        "the lowest number owns"
    );
    assert_eq!(daemon.number("198.51.100.1"), Some(1));
    assert_eq!(
        daemon.entries_of(Block),
        vec![],
        "no member is a single entry"
    );
    let (reason, sentence) = daemon.reason("198.51.100.1");
    assert_eq!(reason, "listed");
    assert!(sentence.contains("imported list abroad"), "{sentence}");

    let outcome = daemon.import("feed", &["203.0.113.0/24", "192.0.2.0/24"]);
    let outcome = outcome.expect("imported");
    assert_eq!((outcome.added, outcome.updated, outcome.removed), (1, 1, 1));
    assert_eq!(daemon.number("203.0.113.1"), Some(0), "it keeps its number");
    assert_eq!(daemon.number("2001:db8::1"), None);

    let mut daemon = host.again(daemon);
    for (address, number) in [
        ("203.0.113.1", Some(0)),
        ("198.51.100.1", Some(1)),
        ("10.0.0.1", None),
    ] {
        assert_eq!(daemon.number(address), number, "{address} after a restart");
    }
    daemon.run(Command::Flush { list: Block }).expect("flushed");
    assert!(daemon.plane.gate.is_empty(), "a closed gate");
    assert_eq!(daemon.number("203.0.113.1"), None);
}

#[test]
fn a_list_that_takes_a_freed_number_starts_at_zero() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("one", &["192.0.2.0/24"]).expect("imported");
    let hits = Counter {
        packets: 3,
        bytes: 180,
    };
    daemon.plane.list_hits.insert(0, hits);
    let met = |daemon: &mut Daemon<Fake>| {
        let status = daemon.status().expect("a status");
        let lists = status.lists.into_iter();
        lists.map(|list| (list.name, list.hits)).collect::<Vec<_>>()
    };
    let three = Some(Count {
        packets: 3,
        bytes: 180,
    });
    daemon.import("one", &["192.0.2.0/25"]).expect("imported");
    assert_eq!(
        met(&mut daemon),
        [("one".to_owned(), three)],
        "it is the same list"
    );
    let mut daemon = host.again(daemon);
    assert_eq!(
        met(&mut daemon),
        [("one".to_owned(), three)],
        "after a restart too"
    );
    daemon.import("one", &[]).expect("taken away");
    daemon.import("two", &["192.0.2.0/24"]).expect("imported");
    assert_eq!(
        met(&mut daemon),
        [("two".to_owned(), Some(Count::default()))]
    );
}

#[test]
fn while_sets_are_replaced_the_gate_is_open_for_both() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["0.2.0.0/24"]).expect("imported");
    daemon.plane.gate_writes.clear();
    daemon.import("feed", &["0.2.1.0/24"]).expect("imported");
    let words: Vec<u64> = daemon
        .plane
        .gate_writes
        .iter()
        .map(|(line, words)| {
            assert_eq!(*line, 1);
            words[0]
        })
        .collect();
    assert_eq!(words, [0b11, 0b10]);
}

#[test]
fn sets_that_cannot_be_placed_leave_the_old_in_force() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["192.0.2.0/24"]).expect("imported");
    let before = daemon.snapshot();
    // The line of the gate is written, the program is refused.
    daemon.plane.fails_in = Some(1);
    daemon
        .import("feed", &["198.51.100.0/24"])
        .expect_err("refused");
    assert_eq!(daemon.snapshot(), before);
    assert_eq!(daemon.number("192.0.2.1"), Some(0));
    assert_eq!(daemon.number("198.51.100.1"), None);
    let daemon = host.again(daemon);
    assert_eq!(daemon.number("192.0.2.1"), Some(0));
}

#[test]
fn lists_beyond_the_room_for_them_are_refused_with_the_key() {
    let host = Host::new("[tables]\nlists_v4 = 2\nlists_v6 = 1");
    let mut daemon = host.first();
    daemon.import("one", &["192.0.2.0/24"]).expect("imported");
    for (members, key) in [
        (&["10.0.0.0/24", "10.0.2.0/24"][..], "`lists_v4`"),
        (&["2001:db8::/48", "2001:db8:2::/48"], "`lists_v6`"),
    ] {
        let refusal = daemon.import("two", members).expect_err("no room");
        assert_eq!(refusal.kind, ErrorKind::Refused);
        assert!(refusal.message.contains(key), "{refusal}");
    }
    daemon
        .import("one", &["10.0.0.0/24", "10.0.2.0/24", "2001:db8::/48"])
        .expect("the old one makes room");
}

#[test]
fn no_more_lists_than_can_be_told_apart() {
    let host = Host::new("");
    let mut daemon = host.first();
    for number in 0..64 {
        let prefix = format!("10.{number}.0.0/16");
        let name = format!("list-{number}");
        daemon.import(&name, &[&prefix]).expect("imported");
    }
    let refusal = daemon
        .import("other", &["192.0.2.0/24"])
        .expect_err("no number");
    assert!(refusal.message.contains("64 imported lists"), "{refusal}");
    daemon.import("list-7", &[]).expect("taken away");
    daemon.import("other", &["192.0.2.0/24"]).expect("imported");
    assert_eq!(
        daemon.number("192.0.2.1"),
        Some(7),
        "the number that is free"
    );
}

#[test]
fn a_ban_always_has_an_end_and_survives_a_restart() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Ban, &["192.0.2.1/32"]).expect("banned");
    let until = daemon.value(ListId::Ban, "192.0.2.1/32").until;
    let left = (until - daemon.plane.tick) / 250;
    assert!((599..=600).contains(&left), "ten minutes, not {left} s");
    assert_eq!(daemon.reason("192.0.2.1").0, "banned");
    assert!(daemon.meets(Ban, "192.0.2.1") && !daemon.meets(Block, "192.0.2.1"));

    let mut daemon = host.again(daemon);
    assert!(daemon.meets(Ban, "192.0.2.1"));
    daemon.add(Block, &["192.0.2.0/24"]).expect("blocked");
    let refusal = daemon.add(Ban, &["192.0.2.2/32"]).expect_err("useless");
    assert!(
        refusal.message.contains("192.0.2.0/24 on the blocklist"),
        "{refusal}"
    );
    daemon.add(Allow, &["192.0.2.1/32"]).expect("allowed");
    assert_eq!(daemon.reason("192.0.2.1").0, "allowed", "allow goes first");
    daemon.run(Command::Flush { list: Ban }).expect("lifted");
    assert_eq!(daemon.entries_of(Ban), vec![]);
    assert_eq!(daemon.tables.entries(Block), 1, "blocks stay");
}

#[test]
fn a_full_table_of_bans_is_an_error_and_a_gauge() {
    let host = Host::new("[tables]\nbans = 2");
    let mut daemon = host.first();
    daemon
        .add(Ban, &["192.0.2.1/32", "192.0.2.2/32"])
        .expect("banned");
    let refusal = daemon.add(Ban, &["192.0.2.3/32"]).expect_err("full");
    assert_eq!(refusal.kind, ErrorKind::Refused);
    let says = |part| refusal.message.contains(part);
    assert!(says("`bans`") && says("[tables]"), "{refusal}");
    assert!(daemon.meets(Ban, "192.0.2.1") && !daemon.meets(Ban, "192.0.2.3"));
    let status = daemon.status().expect("a status");
    let bans = status.tables["bans"];
    assert_eq!((bans.entries, bans.capacity), (2, 2));
}
