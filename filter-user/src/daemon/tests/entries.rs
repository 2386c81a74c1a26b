//! Entries of the lists: into the kernel, its gate and the store, and out of all three.

use super::*;

#[test]
fn an_entry_reaches_the_kernel_and_its_gate_and_leaves_both() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/40"])
        .expect("added");
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    for address in ["192.0.2.255", "198.51.100.7", "2001:db8:ff::1"] {
        assert!(daemon.meets(Block, address), "{address}");
    }
    assert!(!daemon.meets(Block, "198.51.100.8"));
    assert!(!daemon.meets(Block, "2001:db8:100::1"));
    assert!(daemon.meets(Allow, "203.0.113.9"));

    daemon
        .remove(Block, &["192.0.2.0/24", "2001:db8::/40"])
        .expect("removed");
    assert!(!daemon.meets(Block, "192.0.2.255"));
    assert!(daemon.meets(Block, "198.51.100.7"));
    daemon.remove(Block, &["198.51.100.7/32"]).expect("removed");
    daemon.remove(Allow, &["203.0.113.9/32"]).expect("removed");
    assert!(daemon.plane.gate.is_empty(), "a closed gate");
    assert_eq!(daemon.entries_of(Block), vec![]);
}

#[test]
fn a_short_ipv6_prefix_opens_the_gate_and_closes_it_again() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["3ff0::/19"]).expect("added");
    assert_eq!(daemon.plane.settings.open_gate_v6, 1);
    assert!(daemon.meets(Block, "3ff0:fff::1"));
    daemon.remove(Block, &["3ff0::/19"]).expect("removed");
    assert_eq!(daemon.plane.settings.open_gate_v6, 0);
}

#[test]
fn the_kernel_ends_an_entry_no_earlier_than_it_was_told_to() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(60)))
        .expect("added");
    let left = daemon.value(ListId::Block, "192.0.2.1/32").until - daemon.plane.tick;
    assert!(
        (59 * 250..=60 * 250 + 1).contains(&left),
        "{left} ticks of 4 ms"
    );
    daemon.add(Block, &["192.0.2.1/32"]).expect("updated");
    assert_eq!(
        daemon.value(ListId::Block, "192.0.2.1/32").until,
        EntryValue::NEVER
    );
}

#[test]
fn changing_an_entry_keeps_its_count_of_packets() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    let entries = daemon
        .plane
        .lists
        .get_mut(&ListId::Block)
        .expect("the list");
    entries
        .get_mut(&key(&prefix("192.0.2.1/32")))
        .expect("the entry")
        .packets = 77;
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(9)))
        .expect("updated");
    assert_eq!(daemon.value(ListId::Block, "192.0.2.1/32").packets, 77);
    let daemon = host.again(daemon);
    assert_eq!(
        daemon.value(ListId::Block, "192.0.2.1/32").packets,
        77,
        "over a restart too"
    );
}

#[test]
fn a_full_table_leaves_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "198.51.100.0/24"])
        .expect("added");
    daemon.plane.capacity = Some(3);
    let before = daemon.snapshot();
    let refusal = daemon
        .add(Block, &["192.0.2.2/32", "203.0.113.0/25", "2001:db8::/48"])
        .expect_err("there is room for one");
    assert!(refusal.message.contains("full"), "{refusal}");
    assert_eq!(daemon.snapshot(), before);
    daemon
        .import_to(
            Allow,
            "feed",
            &[
                "192.0.2.2/32",
                "203.0.113.0/25",
                "10.0.0.0/8",
                "2001:db8::/48",
            ],
        )
        .expect_err("likewise");
    assert_eq!(daemon.snapshot(), before);

    let mut daemon = host.again(daemon);
    assert_eq!(
        daemon.entries_of(Block),
        prefixes(&["192.0.2.1/32", "198.51.100.0/24"])
    );
    daemon
        .add(Block, &["203.0.113.0/25"])
        .expect("there is room for one");
    assert!(daemon.meets(Block, "203.0.113.1"));
}

#[test]
fn settings_that_cannot_be_counted_leave_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    let before = daemon.snapshot();
    daemon
        .run(Command::SetLimit {
            name: LimitName::Source(Class::Syn),
            rate: Some(LimitRate::Packets(Rate::per_second(u64::MAX / 4))),
            duration: None,
        })
        .expect_err("no bucket holds that");
    assert_eq!(daemon.snapshot(), before);
    let mut daemon = host.again(daemon);
    assert!(daemon.state.limits.is_empty());
    assert_eq!(daemon.entries_of(Block).len(), 1);
}

#[test]
fn a_command_that_fails_at_any_write_leaves_everything_as_it_was() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .import("feed", &["192.0.2.0/24", "198.51.100.7/32"])
        .expect("imported");
    daemon
        .add(Block, &["198.51.100.200/32", "2001:db8:8::/48"])
        .expect("added");
    type Try = fn(&mut Daemon<Fake>) -> Result<Outcome, Refusal>;
    let commands: [Try; 5] = [
        // New lengths, an open gate, one prefix that stays and one that goes.
        |daemon| daemon.import("feed", &["192.0.2.0/24", "203.0.113.0/25", "3ff0::/19"]),
        |daemon| daemon.add(Allow, &["203.0.113.9/32", "2001:db8::/47"]),
        |daemon| daemon.add(Ban, &["203.0.113.200/32", "2001:db8:7::/47"]),
        |daemon| daemon.import_to(Allow, "partners", &["10.9.8.0/24", "2001:db8:9::/48"]),
        |daemon| daemon.run(Command::Flush { list: Block }),
    ];
    for command in commands {
        let before = daemon.snapshot();
        let mut failures = 0;
        loop {
            daemon.plane.fails_in = Some(failures);
            if command(&mut daemon).is_ok() {
                break;
            }
            assert_eq!(daemon.snapshot(), before, "write {failures} failed");
            failures += 1;
        }
        daemon.plane.fails_in = None;
        assert!(failures > 2, "settings, an entry and its bits are written");
        daemon.work();
        let gate = daemon.plane.gate.clone();
        daemon = host.again(daemon);
        assert_eq!(daemon.plane.gate, gate, "nothing was forgotten on the way");
    }
    assert!(!daemon.meets(Block, "203.0.113.1"), "the sets are empty");
    assert!(daemon.meets(Allow, "203.0.113.9") && daemon.meets(Allow, "2001:db8:1::1"));
    assert_eq!(daemon.entries_of(Block), vec![]);
}

#[test]
fn trying_changes_nothing() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.snapshot();
    let command = Command::Add {
        list: Block,
        prefixes: prefixes(&["192.0.2.1/32"]),
        duration: None,
        reason: String::new(),
        force: false,
    };
    let outcome = daemon.execute(&OPERATOR, command, true).expect("tried");
    assert_eq!((outcome.dry_run, outcome.added), (true, 1));
    assert_eq!(daemon.snapshot(), before);
}

#[test]
fn a_list_that_fills_the_table_can_be_replaced() {
    let host = Host::new("[tables]\nallow = 1024");
    let mut daemon = host.first();
    daemon.plane.capacity = Some(1024);
    let full = |third: u8| -> Vec<String> {
        let addresses = (0..1024_u32).map(|number| (u32::from(third) << 16) + number);
        addresses
            .map(|number| format!("{}/32", std::net::Ipv4Addr::from(0xc612_0000 + number)))
            .collect()
    };
    let (one, other) = (full(0), full(1));
    let one: Vec<&str> = one.iter().map(String::as_str).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    daemon.import_to(Allow, "feed", &other).expect("imported");
    let outcome = daemon
        .import_to(Allow, "feed", &one)
        .expect("what goes makes room for what comes");
    assert_eq!((outcome.added, outcome.removed), (1024, 1024));
    assert!(daemon.meets(Allow, "198.18.0.0") && !daemon.meets(Allow, "198.19.0.0"));
    assert_eq!(daemon.tables.entries(Allow), 1024);
}

#[test]
fn an_entry_of_two_lists_stays_until_both_are_gone() {
    let host = Host::new("");
    let mut daemon = host.first();
    for list in [Allow, Block] {
        let feed = &["192.0.2.0/24"];
        daemon.import_to(list, "feed", feed).expect("imported");
        daemon.add(list, feed).expect("added");
        assert_eq!(daemon.tables.entries(list), 1);
        daemon.import_to(list, "feed", &[]).expect("taken away");
        assert!(daemon.meets(list, "192.0.2.1"));
        daemon.remove(list, feed).expect("removed");
        assert!(!daemon.meets(list, "192.0.2.1"));
    }
}

/// Two changes of one command may speak of one prefix: it leaves the gate once.
#[test]
fn flushing_what_two_lists_hold_leaves_the_gate_open_for_others() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["192.0.2.0/25"]).expect("imported");
    daemon.add(Block, &["192.0.2.0/25"]).expect("added");
    daemon.add(Allow, &["192.0.2.200/32"]).expect("added");
    daemon.run(Command::Flush { list: Block }).expect("flushed");
    assert!(!daemon.meets(Block, "192.0.2.1"));
    assert!(
        daemon.meets(Allow, "192.0.2.200"),
        "it is behind the same bit"
    );
    assert_eq!(daemon.tables.entries(Block), 0);
}

#[test]
fn what_has_ended_is_forgotten_by_memory_store_and_kernel() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.import("feed", &["192.0.2.0/25"]).expect("imported");
    daemon
        .add(Block, &["192.0.2.0/25", "192.0.2.200/32"])
        .expect("added");
    // Their ends pass.
    let past = Some(Timestamp::UNIX_EPOCH);
    let list = daemon.state.list(Block).clone();
    let (prefix, note) = list.manual.iter().next().expect("an entry");
    let mut note = note.clone();
    note.until = past;
    let _ = daemon
        .state
        .apply(Change::Manual(Block, *prefix, Some(note)));
    let mut feed = list.imports["feed"].clone();
    feed.note.until = past;
    let _ = daemon
        .state
        .apply(Change::Import(Block, "feed".to_owned(), Some(feed)));

    daemon.work();
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.200/32"]));
    assert!(
        daemon.meets(Block, "192.0.2.200"),
        "it is behind the same bit"
    );
    let (events, _) = daemon.store.events(None, 1).expect("events");
    assert_eq!(events[0].kind, "ended");
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.200/32"]));
}

#[test]
fn why_names_the_entry_that_the_kernel_would_meet() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.0/24"]).expect("added");
    daemon.add(Allow, &["192.0.2.7/32"]).expect("added");
    let mut why = |address: &str| {
        let query = WhyQuery {
            address: address.parse().expect("an address"),
            protocol: None,
            port: None,
        };
        let answer = daemon.why(&query).expect("an answer");
        (
            answer.reason,
            answer.entries.first().map(|entry| entry.prefix.to_string()),
        )
    };
    let entry = |text: &str| Some(text.to_owned());
    assert_eq!(
        why("192.0.2.1"),
        ("blocked".to_owned(), entry("192.0.2.0/24"))
    );
    assert_eq!(
        why("192.0.2.7"),
        ("allowed".to_owned(), entry("192.0.2.7/32"))
    );
    assert_eq!(
        why("::ffff:192.0.2.1").0,
        "blocked",
        "IPv4 in IPv6 clothing is IPv4"
    );
    assert_eq!(why("198.51.100.1"), ("clean".to_owned(), None));
    assert_eq!(why("127.0.0.1").0, "martian_source");
}

#[test]
fn entries_come_in_pages_with_their_packets() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "192.0.2.2/32"])
        .expect("added");
    daemon
        .import("feed", &["198.51.100.0/24", "203.0.113.0/24"])
        .expect("imported");
    let mut cursor: Option<String> = None;
    let mut seen = Vec::new();
    loop {
        let page = daemon
            .entries(Block, None, cursor.as_deref(), 3)
            .expect("a page");
        assert_eq!(page.total, 4);
        for entry in page.entries {
            assert_eq!(entry.packets.is_some(), entry.list == "manual");
            seen.push(entry.prefix.to_string());
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "192.0.2.1/32",
            "192.0.2.2/32",
            "198.51.100.0/24",
            "203.0.113.0/24"
        ]
    );
}

#[test]
fn what_comes_is_there_before_what_goes_where_there_is_room_for_both() {
    let host = Host::new("[tables]\nblock = 1024");
    let daemon = host.first();
    let step = |number: u32, before, after| tables::Move {
        kind: Block,
        prefix: IpNet::from(std::net::IpAddr::from((0x0a00_0000 + number).to_be_bytes())),
        before,
        after,
    };
    let moves = |new: u32| -> Vec<tables::Move> {
        let firm = Some(Standing::firm(None));
        let goes = [step(9999, firm, None)];
        let comes = (0..new).map(|number| step(number, None, firm));
        goes.into_iter().chain(comes).collect()
    };
    let mut few = moves(1024);
    daemon.order(&mut few);
    assert!(few[1024].after.is_none(), "what goes goes last");
    let mut many = moves(1025);
    daemon.order(&mut many);
    assert!(many[0].after.is_none(), "what goes makes room");
}
