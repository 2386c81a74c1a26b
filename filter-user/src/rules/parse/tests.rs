use proptest::prelude::*;

use crate::rules::{Rule, strategy};

fn canonical(text: &str) -> String {
    match text.parse::<Rule>() {
        Ok(rule) => rule.to_string(),
        Err(error) => panic!("{}", error.pointing()),
    }
}

#[test]
fn rules_are_printed_as_they_are_written() {
    for text in [
        "drop udp sport 123 length > 400",
        "pass tcp from 198.51.100.0/24 dport 443",
        "limit 200/s per source udp dport 53",
        "limit 20k/s burst 400 icmp",
        "shadow drop tcp flags SYN/SYN,ACK ttl < 20",
        "drop tcp flags none/all",
        "drop tcp flags FIN,PSH,URG",
        "drop ip6 proto 47",
        "drop ip fragment any",
        "drop udp payload 0x53453d at 0",
        "drop udp payload 0x00ff/0x0fff at 4",
        "drop udp fragment later",
        "drop from 192.0.2.7",
        "drop to 2001:db8::/32",
        "shadow limit 5/s burst 10 per source tcp from 2001:db8::1 to 2001:db8:1::/48 sport < 1024 \
         dport 1024-2047 flags SYN/SYN,ACK length 40-60 ttl > 250 fragment whole payload 0x00/0x0f \
         at 1023",
        "drop any",
    ] {
        assert_eq!(canonical(text), text);
    }
}

#[test]
fn what_can_be_written_in_two_ways_is_printed_in_one() {
    for (written, printed) in [
        ("  drop\tudp   dport  53 ", "drop udp dport 53"),
        ("drop dport 53 udp", "drop udp dport 53"),
        ("drop udp length>400", "drop udp length > 400"),
        ("drop udp length >= 401", "drop udp length > 400"),
        ("drop udp length <= 400", "drop udp length < 401"),
        ("drop udp length 401-65535", "drop udp length > 400"),
        ("drop udp dport 53-53", "drop udp dport 53"),
        ("drop udp dport 0-65535", "drop udp"),
        ("drop udp dport < 1", "drop udp dport 0"),
        ("drop proto 6", "drop tcp"),
        (
            "drop payload 0x00ff/0xffff at 4",
            "drop payload 0x00ff at 4",
        ),
        ("drop tcp flags syn/ack,syn", "drop tcp flags SYN/SYN,ACK"),
        ("drop tcp flags SYN/SYN", "drop tcp flags SYN"),
        ("drop ip from 192.0.2.9/24", "drop from 192.0.2.0/24"),
        ("drop from 0.0.0.0/0", "drop ip"),
        ("drop to ::/0", "drop ip6"),
        ("drop from ::ffff:192.0.2.1", "drop from 192.0.2.1"),
        (
            "limit 60/m per source burst 7 any",
            "limit 1/s burst 7 per source any",
        ),
        (
            "drop udp payload 0xAB/0xFF at 00",
            "drop udp payload 0xab at 0",
        ),
    ] {
        assert_eq!(canonical(written), printed, "{written}");
        assert_eq!(canonical(printed), printed);
    }
}

/// Text, the columns that the carets stand under, and a part of what is said.
const WRONG: &[(&str, &str, &str)] = &[
    ("", "^", "write an action"),
    ("drop", "     ^", "write what to match"),
    ("shadow", "       ^", "write an action"),
    (
        "block udp",
        "^^^^^",
        "\"block\" is no action: known: drop, pass, limit, shadow",
    ),
    ("dorp udp", "^^^^", "did you mean `drop`?"),
    ("drop upd", "     ^^^", "did you mean `udp`?"),
    ("drop udp any", "         ^^^", "`any` stands alone"),
    ("drop any udp", "         ^^^", "`any` stands alone"),
    ("drop udp drop", "         ^^^^", "once"),
    ("drop udp port 53", "         ^^^^", "`sport` or `dport`"),
    ("drop udp dport", "               ^", "write a port"),
    (
        "drop udp dport 65536",
        "               ^^^^^",
        "from 0 to 65535",
    ),
    (
        "drop udp dport 53,54",
        "               ^^^^^",
        "one rule for each",
    ),
    (
        "drop udp dport 9-5",
        "               ^^^",
        "smaller number first",
    ),
    (
        "drop udp length > 65535",
        "                ^^^^^^^",
        "no length is in this range",
    ),
    (
        "drop udp length < 0",
        "                ^^^",
        "no length is in this range",
    ),
    ("drop udp ttl 256", "             ^^^", "from 0 to 255"),
    ("drop udp dport +5", "               ^^", "is no port"),
    (
        "drop dport 53",
        "     ^^^^^^^^",
        "only TCP and UDP have ports",
    ),
    (
        "drop icmp sport 53",
        "          ^^^^^^^^",
        "only TCP and UDP have ports",
    ),
    (
        "drop udp flags SYN",
        "         ^^^^^^^^^",
        "only TCP has flags",
    ),
    (
        "drop tcp flags SNY",
        "               ^^^",
        "did you mean `SYN`?",
    ),
    (
        "drop tcp flags SYN/ACK",
        "               ^^^^^^^",
        "SYN is asked for but not looked at",
    ),
    (
        "drop tcp flags none",
        "               ^^^^",
        "no flag is looked at",
    ),
    ("drop udp tcp", "         ^^^", "a protocol is given twice"),
    (
        "drop udp sport 1 sport 2",
        "                 ^^^^^^^",
        "`sport` is given twice",
    ),
    ("drop proto 256", "           ^^^", "from 0 to 255"),
    (
        "drop from 192.0.2.0/33",
        "          ^^^^^^^^^^^^",
        "prefix length",
    ),
    (
        "drop from 192.0.2.1 to ::1",
        "                    ^^^^^^",
        "no packet is",
    ),
    (
        "drop ip6 to 192.0.2.1",
        "         ^^^^^^^^^^^^",
        "no packet is",
    ),
    ("drop ip6 icmp", "         ^^^^", "`icmp6`"),
    ("drop ip icmp6", "        ^^^^^", "`icmp`"),
    (
        "drop udp fragment middle",
        "                  ^^^^^^",
        "whole, first, later, any",
    ),
    (
        "drop udp dport 5 fragment later",
        "                 ^^^^^^^^^^^^^^",
        "neither ports",
    ),
    (
        "drop udp payload 53453d at 0",
        "                 ^^^^^^",
        "`0x`",
    ),
    (
        "drop udp payload 0x5 at 0",
        "                 ^^^",
        "odd number",
    ),
    ("drop udp payload 0x at 0", "                 ^^", "0 bytes"),
    (
        "drop udp payload 0xzz at 0",
        "                 ^^^^",
        "not hexadecimal",
    ),
    (
        "drop udp payload 0x00/0x0000 at 0",
        "                 ^^^^^^^^^^^",
        "1 byte of value, but 2",
    ),
    (
        "drop udp payload 0x01/0x00 at 0",
        "                 ^^^^^^^^^",
        "the mask",
    ),
    (
        "drop udp payload 0x00 0",
        "                      ^",
        "`at N`",
    ),
    ("drop udp payload 0x00", "                      ^", "`at N`"),
    (
        "drop udp payload 0x00 at 1024",
        "                         ^^^^",
        "from 0 to 1023",
    ),
    (
        "drop proto 47 payload 0x00 at 0",
        "              ^^^^^^^^^^^^^^^^^",
        "this protocol has not",
    ),
    ("limit udp", "      ^^^", "is no rate"),
    (
        "limit 200/s burst 0 udp",
        "      ^^^^^^^^^^^^^",
        "burst of 0",
    ),
    (
        "limit 200/s per prefix udp",
        "                ^^^^^^",
        "write `source`",
    ),
    ("drop \u{1b}[2J", "     ^", "U+001B"),
    ("drop für 5", "     ^^^", "no word of a rule"),
];

#[test]
fn errors_point_at_the_column() {
    for (text, carets, says) in WRONG {
        let error = text.parse::<Rule>().expect_err(text);
        let pointing = error.pointing();
        let last = pointing.lines().last().unwrap_or_default();
        assert_eq!(last.strip_prefix("  "), Some(*carets), "{text}: {pointing}");
        assert!(error.message().contains(says), "{text}: {pointing}");
        let line = error.to_string();
        let column = carets.len() - carets.trim_start().len() + 1;
        assert!(line.starts_with(&format!("column {column}: ")), "{line}");
    }
}

#[test]
fn errors_are_about_bytes_of_the_text() {
    for (text, ..) in WRONG {
        let place = text.parse::<Rule>().expect_err(text).place().clone();
        assert!(text.get(place.clone()).is_some(), "{place:?} in {text:?}");
    }
}

#[test]
fn text_without_end_is_refused_at_once() {
    let long = format!("drop udp dport {}", "5".repeat(2_000_000));
    let error = long.parse::<Rule>().expect_err("two million digits");
    assert!(error.message().contains("the most is 1024"));
    assert!(error.pointing().len() < 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_printed_is_read_back(rule in strategy::rule()) {
        let text = rule.to_string();
        match text.parse::<Rule>() {
            Ok(read) => prop_assert_eq!(read, rule, "{}", text),
            Err(error) => prop_assert!(false, "{}", error.pointing()),
        }
    }

    #[test]
    fn what_is_read_is_printed_in_one_way(text in words()) {
        if let Ok(rule) = text.parse::<Rule>() {
            let printed = rule.to_string();
            prop_assert_eq!(printed.parse::<Rule>(), Ok(rule));
            prop_assert_eq!(canonical(&printed), printed);
        }
    }

    #[test]
    fn no_text_does_harm(text in any::<String>()) {
        if let Err(error) = text.parse::<Rule>() {
            let (first, last) = error.columns();
            prop_assert!(first >= 1 && first <= last);
            prop_assert!(error.pointing().lines().count() == 3);
        }
    }
}

/// Texts out of the language's own words, some of which are rules.
fn words() -> impl Strategy<Value = String> {
    let clause = prop::sample::select(vec![
        "ip",
        "ip6",
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "proto 6",
        "proto 58",
        "from 192.0.2.1/24",
        "to ::/0",
        "from 0.0.0.0/0",
        "sport 5",
        "dport < 9",
        "dport 0-65535",
        "flags SYN/SYN,ACK",
        "length >= 9",
        "ttl <= 255",
        "fragment any",
        "fragment later",
        "payload 0x00ff/0x0fff at 7",
        "any",
        "at",
        "<",
        "9",
    ]);
    let start = prop::sample::select(vec![
        "drop",
        "shadow pass",
        "limit 60/m burst 5",
        "limit 1k/s per source",
    ]);
    (start, prop::collection::vec(clause, 0..5))
        .prop_map(|(start, clauses)| format!("{start} {}", clauses.join(" ")))
}
