use std::net::SocketAddr;

use super::*;
use crate::{
    config::{
        Lifeline,
        units::{Rate, parse_prefix},
    },
    core::{
        facts::Session,
        lists::{Imported, Note},
        state::Change,
    },
};

fn prefixes(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| parse_prefix(text).expect(text))
        .collect()
}

fn note() -> Note {
    Note {
        reason: String::new(),
        by: "uid 0".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
        until: None,
    }
}

fn list(texts: &[&str]) -> List {
    let manual = prefixes(texts).into_iter().map(|prefix| (prefix, note()));
    List {
        manual: manual.collect(),
        ..List::default()
    }
}

/// Why blocking these would do harm to a host that nothing is known of.
fn block_anywhere(text: &str) -> Option<String> {
    let (config, facts) = (Config::default(), Facts::default());
    harm(
        ListKind::Block,
        &prefixes(&[text]),
        Before {
            list: &List::default(),
            without: None,
        },
        &config,
        &facts,
    )
}

fn block(texts: &[&str], before: &List) -> Option<String> {
    let config = Config {
        lifeline: Some(vec![Lifeline {
            from: prefixes(&["203.0.113.64/26", "2001:db8:7::/48"]),
            protocol: 6,
            port: 22,
            ceiling: Rate::per_second(100),
        }]),
        ..Config::default()
    };
    {
        let before = Before {
            list: before,
            without: None,
        };
        let mut prefixes = prefixes(texts);
        prefixes.sort_unstable();
        harm(ListKind::Block, &prefixes, before, &config, &facts())
    }
}

#[test]
fn nothing_is_blocked_while_nobody_can_tell_whom_it_cuts_off() {
    let harm = |kind, part| {
        let facts = Facts {
            unknown: [part].into(),
            warnings: vec![format!("{part} cannot be read (no luck)")],
            ..facts()
        };
        let prefixes = prefixes(&["192.0.2.0/24"]);
        harm(
            kind,
            &prefixes,
            Before {
                list: &List::default(),
                without: None,
            },
            &Config::default(),
            &facts,
        )
    };
    for part in [Part::Addresses, Part::Gateways, Part::Sessions] {
        let sentence = harm(ListKind::Block, part).expect("a refusal");
        assert!(sentence.contains("unknown"), "{sentence}");
        assert!(sentence.contains("no luck"), "{sentence}");
        assert_eq!(harm(ListKind::Allow, part), None);
    }
    assert_eq!(harm(ListKind::Block, Part::Resolvers), None);
}

fn facts() -> Facts {
    let peer: SocketAddr = "198.51.100.7:50000".parse().expect("an address");
    Facts {
        addresses: vec![
            "10.1.2.3".parse().expect("an address"),
            "2001:db8::1".parse().expect("an address"),
        ],
        gateways: vec!["10.1.2.1".parse().expect("an address")],
        resolvers: vec!["9.9.9.9".parse().expect("an address")],
        sessions: vec![Session {
            peer,
            local_port: 22,
        }],
        ..Facts::default()
    }
}

/// Asserts that blocking these is refused, and that the sentence names both sides.
fn refused(texts: &[&str], before: &List, says: &[&str]) {
    let sentence = block(texts, before).unwrap_or_else(|| panic!("{texts:?} is refused"));
    for part in says {
        assert!(
            sentence.contains(part),
            "{part:?} is missing in {sentence:?}"
        );
    }
}

#[test]
fn what_harms_nobody_is_fine() {
    for text in [
        "192.0.2.0/24",
        "96.0.0.0/3",
        "2001:db9::/32",
        "e000::/3",
        "2400::/6",
    ] {
        assert_eq!(block(&[text], &List::default()), None, "{text}");
    }
}

#[test]
fn what_is_protected_is_found_within_wider_and_around_narrower_prefixes() {
    let none = List::default();
    refused(
        &["10.0.0.0/8"],
        &none,
        &["10.0.0.0/8", "10.1.2.3/32", "this host"],
    );
    refused(&["10.1.2.3"], &none, &["10.1.2.3/32", "this host"]);
    refused(&["2001:db8::/64"], &none, &["2001:db8::1/128", "this host"]);
    refused(&["10.1.2.0/31"], &none, &["10.1.2.1/32", "gateway"]);
    refused(&["9.9.9.0/24"], &none, &["9.9.9.9/32", "resolver"]);
    refused(
        &["198.51.100.0/24"],
        &none,
        &["198.51.100.7/32", "administrator"],
    );
    refused(&["203.0.113.0/24"], &none, &["203.0.113.64/26", "lifeline"]);
    refused(&["203.0.113.70"], &none, &["203.0.113.64/26", "lifeline"]);
    refused(
        &["2001:db8:7:1::/64"],
        &none,
        &["2001:db8:7::/48", "lifeline"],
    );
    assert_eq!(
        block(&["203.0.113.0/26"], &none),
        None,
        "beside the lifeline"
    );
}

#[test]
fn what_is_protected_is_found_however_it_is_spelled() {
    let none = List::default();
    refused(&["::ffff:10.1.2.3"], &none, &["10.1.2.3/32", "this host"]);
    refused(
        &["::ffff:10.0.0.0/104"],
        &none,
        &["10.0.0.0/8", "this host"],
    );
    refused(&["10.1.2.99/24"], &none, &["10.1.2.0/24", "this host"]);
    refused(&["192.0.2.0/24", "10.1.2.3"], &none, &["10.1.2.3/32"]);
}

#[test]
fn no_prefix_covers_more_than_an_eighth() {
    let too_wide = [
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "64.0.0.0/2",
        "4000::/2",
        // Of the addresses that are in use.
        "2000::/3",
        "2000::/4",
        "2800::/5",
    ];
    for text in too_wide {
        let sentence = block_anywhere(text).expect(text);
        assert!(
            sentence.contains(text) && sentence.contains("eighth"),
            "{sentence}"
        );
    }
    let sentence = block_anywhere("::ffff:0:0/97").expect("half of IPv4 in IPv6 clothing");
    assert!(sentence.contains("0.0.0.0/1"), "{sentence}");
}

#[test]
fn an_eighth_cannot_be_exceeded_in_steps() {
    let fourth = |number: u32| format!("{}.0.0.0/4", number * 16);
    let mut before = List::default();
    let mut taken = Vec::new();
    // Of sixteen, neither the first (9.9.9.9 and 10.1.2.3) nor those with other protected ones.
    for number in 0..16 {
        let text = fourth(number);
        if block(&[&text], &before).is_none() {
            before
                .manual
                .insert(parse_prefix(&text).expect("a prefix"), note());
            taken.push(text);
        }
    }
    assert_eq!(taken.len(), 2, "two sixteenths are an eighth: {taken:?}");
    refused(&["100.0.0.0/32"], &before, &["in all", "eighth"]);
}

#[test]
fn an_eighth_cannot_be_exceeded_in_one_command() {
    let none = List::default();
    refused(
        &["16.0.0.0/4", "32.0.0.0/4", "48.0.0.0/4"],
        &none,
        &["in all"],
    );
    let seventeen: Vec<String> = (16..33).map(|number| format!("{number}.0.0.0/7")).collect();
    let texts: Vec<&str> = seventeen.iter().map(String::as_str).collect();
    assert!(
        block(&texts, &none).is_none(),
        "halves of each other count once"
    );
    refused(&["2400::/6", "2800::/7"], &none, &["in all"]);
}

#[test]
fn what_overlaps_counts_once() {
    let before = list(&["96.0.0.0/3"]);
    assert_eq!(block(&["100.0.0.0/8", "101.0.0.0/8"], &before), None);
    refused(&["64.0.0.0/32"], &before, &["in all"]);
}

#[test]
fn imported_lists_count_too() {
    let mut before = List::default();
    let imported = Imported {
        prefixes: prefixes(&["16.0.0.0/4", "32.0.0.0/4"]).into(),
        note: note(),
        number: Some(0),
    };
    before.imports.insert("feed".to_owned(), imported);
    refused(&["48.0.0.0/8"], &before, &["in all"]);
    assert_eq!(block(&["17.0.0.0/8"], &before), None);
}

#[test]
fn own_addresses_may_be_allowed_but_not_everything() {
    let allow = |text: &str| {
        let prefixes = prefixes(&[text]);
        harm(
            ListKind::Allow,
            &prefixes,
            Before {
                list: &List::default(),
                without: None,
            },
            &Config::default(),
            &facts(),
        )
    };
    assert_eq!(allow("10.1.2.3"), None);
    let sentence = allow("0.0.0.0/1").expect("half of all addresses");
    assert!(sentence.contains("mode monitor"), "{sentence}");
}

#[test]
fn sources_with_anything_protected_in_them_are_left_alone() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut state = State::default();
    for allowed in ["203.0.113.0/24", "2001:db8:5::7/128"] {
        let prefix = allowed.parse().expect("a prefix");
        let note = Note {
            until: None,
            ..note()
        };
        let _ = state.apply(Change::Manual(ListKind::Allow, prefix, Some(note)));
    }
    let facts = Facts {
        gateways: vec!["192.0.2.1".parse().expect("an address")],
        addresses: vec!["2001:db8:1::9".parse().expect("an address")],
        ..Facts::default()
    };
    let config = Config::default();
    let untouchable = |source: &str| {
        let source = source.parse().expect("an address");
        is_untouchable(source, &state, &config, &facts, now)
    };
    for source in [
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "203.0.113.200",
        "2001:db8:1::",
        "2001:db8:5::",
    ] {
        assert!(untouchable(source), "{source}");
    }
    for source in [
        "192.0.2.2",
        "203.0.112.1",
        "2001:db8:1:1::",
        "2001:db8:5:1::",
    ] {
        assert!(!untouchable(source), "{source}");
    }
    let blind = Facts {
        unknown: [Part::Sessions].into(),
        ..facts.clone()
    };
    let source = "192.0.2.2".parse().expect("an address");
    assert!(is_untouchable(source, &state, &config, &blind, now));
}
