//! Text: the rule language, the configuration, lists, and what a terminal is given.

use std::path::Path;

use bolero::check;
use filter_user::{
    config::{
        Config,
        list::ListParser,
        text::{clean, is_hidden, quote},
        units::{format_duration, parse_duration, parse_limit, parse_prefix},
    },
    render::safe,
    rules::{Rule, SyntaxError},
};

/// Words of the rule language. Bytes that are no ASCII stand for them, so that random input is
/// made of words too.
const RULE_WORDS: &[&str] = &[
    "drop",
    "pass",
    "limit",
    "shadow",
    "per",
    "source",
    "burst",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "proto",
    "any",
    "from",
    "to",
    "sport",
    "dport",
    "flags",
    "length",
    "ttl",
    "fragment",
    "payload",
    "at",
    "whole",
    "first",
    "later",
    "none",
    "all",
    "SYN",
    "ACK",
    "FIN",
    "RST",
    "PSH",
    "URG",
    "ECE",
    "CWR",
    "/",
    ",",
    "-",
    ">",
    "<",
    "0x",
    "200/s",
    "20k/s",
    "1Gbit/s",
    "198.51.100.0/24",
    "2001:db8::1",
    "123",
    "65535",
    "65536",
    "0",
    "16",
    "\u{202e}",
    "é",
    "\t",
];

/// Words of the configuration.
const CONFIGURATION_WORDS: &[&str] = &[
    "interfaces = [\"eth0\"]\n",
    "mode = \"enforce\"\n",
    "[limits]\n",
    "[limits.source]\n",
    "[tables]\n",
    "[detection]\n",
    "[incidents]\n",
    "[webhook]\n",
    "[metrics]\n",
    "[defences]\n",
    "[[service]]\n",
    "[[lifeline]]\n",
    "[control]\n",
    "[access]\n",
    "rules = [",
    "]",
    "\"",
    "'",
    "\"\"\"",
    " = ",
    "{",
    "}",
    ",",
    "\n",
    "#",
    "true",
    "false",
    "-1",
    "1e400",
    "0x1f",
    "18446744073709551616",
    "2026-01-02",
    "\"1Gbit/s\"",
    "\"0.5%\"",
    "\"60s\"",
    "\"off\"",
    "name",
    "to",
    "protocol",
    "port",
    "packets",
    "bytes",
    "syn",
    "udp",
    "floor.syn",
    "act",
    "\"suggest\"",
    "listen",
    "\"127.0.0.1:9815\"",
    "url",
    "secret_file",
    "allow",
    "block",
    "\"203.0.113.0/24\"",
    "sources",
    "\u{1b}[31m",
    "\u{202e}",
    "é",
];

/// Bytes as text: ASCII is itself, everything else one of the words, between spaces.
fn worded(bytes: &[u8], words: &[&str]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match words.get(usize::from(byte.wrapping_sub(128)) % words.len()) {
            Some(word) if !byte.is_ascii() => {
                text.push(' ');
                text.push_str(word);
                text.push(' ');
            }
            _ => text.push(char::from(*byte)),
        }
    }
    text
}

/// Asserts that nothing in it steers a terminal; lines may end.
fn assert_plain(text: &str) {
    let hidden = text
        .chars()
        .find(|character| is_hidden(*character) && *character != '\n');
    assert_eq!(hidden, None, "in {text:?}");
}

/// A rule is written as it is read; an error points into the text and can be shown.
#[test]
fn rules() {
    check!()
        .with_iterations(20_000)
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let text = worded(bytes, RULE_WORDS);
            let read: Result<Rule, SyntaxError> = text.parse();
            match read {
                Ok(rule) => {
                    let written = rule.to_string();
                    assert_plain(&written);
                    assert_eq!(written.parse(), Ok(rule), "{text:?} became {written:?}");
                }
                Err(error) => {
                    let place = error.place().clone();
                    assert!(text.get(place.clone()).is_some(), "{place:?} in {text:?}");
                    assert_plain(error.message());
                    assert_plain(&error.pointing());
                }
            }
        });
}

/// A configuration is whole or refused in lines that can be shown, and reading it is no accident.
#[test]
fn configuration() {
    check!()
        .with_iterations(4_000)
        .with_max_len(2_048)
        .for_each(|bytes: &[u8]| {
            let text = worded(bytes, CONFIGURATION_WORDS);
            match Config::parse(&text, Path::new("floodwall.toml")) {
                Ok(config) => {
                    let again = Config::parse(&text, Path::new("floodwall.toml"))
                        .expect("what was read can be read");
                    assert_eq!(format!("{config:?}"), format!("{again:?}"));
                }
                Err(error) => assert_plain(&error.to_string()),
            }
        });
}

/// A list says the same in whatever pieces it arrives, and takes no more than it may.
#[test]
fn lists() {
    const MOST: usize = 64;
    check!()
        .with_iterations(20_000)
        .with_max_len(2_048)
        .for_each(|bytes: &[u8]| {
            let read = |pieces: usize| {
                let mut parser = ListParser::new(MOST);
                for piece in bytes.chunks(pieces) {
                    parser.push(piece)?;
                }
                parser.finish()
            };
            let whole = read(usize::MAX);
            assert_eq!(whole, read(1));
            assert_eq!(whole, read(7));
            match whole {
                Ok(prefixes) => {
                    let distinct: std::collections::BTreeSet<_> = prefixes.iter().collect();
                    assert!(distinct.len() <= MOST);
                    for prefix in &prefixes {
                        assert_eq!(prefix.trunc(), *prefix);
                    }
                }
                Err(error) => assert_plain(&error.to_string()),
            }
        });
}

/// Numbers with units, durations and prefixes: what is shown reads as itself.
#[test]
fn values() {
    const WORDS: &[&str] = &[
        "1", "k", "M", "G", "/s", "bit", "d", "h", "m", "s", "ms", ".", "e",
    ];
    check!()
        .with_iterations(20_000)
        .with_max_len(64)
        .for_each(|bytes: &[u8]| {
            let text = worded(bytes, WORDS).replace(' ', "");
            match parse_duration(&text) {
                Ok(duration) => {
                    assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
                }
                Err(error) => assert_plain(&error),
            }
            match parse_limit(&text) {
                Ok(Some(rate)) => {
                    assert_eq!(parse_limit(&rate.to_string()), Ok(Some(rate)));
                }
                Ok(None) => {}
                Err(error) => assert_plain(&error),
            }
            match parse_prefix(&text) {
                Ok(prefix) => assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix)),
                Err(error) => assert_plain(&error),
            }
        });
}

/// What reaches a terminal steers none, whoever wrote it.
#[test]
fn terminal() {
    check!()
        .with_iterations(20_000)
        .with_max_len(512)
        .for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let shown = safe(&text);
            assert_eq!(shown.chars().find(|it| is_hidden(*it)), None);
            let quoted = quote(&text);
            assert_eq!(quoted.chars().find(|it| is_hidden(*it)), None);
            match clean(&text) {
                Ok(kept) => {
                    assert_plain(&kept);
                    assert!(!kept.contains('\n'));
                    assert_eq!(safe(&kept), kept);
                }
                Err(error) => assert_plain(&error),
            }
        });
}
