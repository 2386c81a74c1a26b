//! What is refused, with which status, and in which words.

use super::*;

#[test]
fn every_kind_of_refusal_has_its_status() {
    let lab = Lab::new(As::Root);
    for (kind, status) in [
        (ErrorKind::Failed, 500),
        (ErrorKind::Invalid, 400),
        (ErrorKind::NotFound, 404),
        (ErrorKind::NotPermitted, 403),
        (ErrorKind::Refused, 409),
    ] {
        for (method, target) in [
            ("GET", "/v1/status"),
            ("GET", "/v1/stats"),
            ("GET", "/v1/block"),
            ("GET", "/v1/limits"),
            ("GET", "/v1/defences"),
            ("GET", "/v1/rules"),
            ("GET", "/v1/why?address=192.0.2.1"),
            ("GET", "/v1/events"),
            ("GET", "/v1/events?follow=true"),
            ("GET", "/v1/samples"),
            ("POST", "/v1/reload"),
        ] {
            let refusal = Refusal {
                kind,
                message: "because".to_owned(),
            };
            lab.book.lock().unwrap().refuse = Some(refusal);
            let answer = lab.ask(method, target);
            assert_eq!(answer.status, status, "{target}");
            let expected = ErrorBody {
                schema: SCHEMA,
                error: kind,
                message: "because".to_owned(),
            };
            assert_eq!(answer.error(), expected);
        }
    }
}

fn refused(lab: &Lab, answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(
        answer.error().message.contains(words),
        "{words}: {answer:?}"
    );
    assert!(lab.notes().is_empty(), "{answer:?}");
}

#[test]
fn nonsense_is_refused_and_named() {
    let lab = Lab::new(As::Root);
    for (method, target, body, status, words) in [
        ("GET", "/", "", 404, "no /"),
        ("GET", "/v1/nothing", "", 404, "/v1/nothing"),
        ("PATCH", "/v1/mode", "", 405, "PATCH"),
        ("GET", "/v1/status?verbose=1", "", 400, "verbose=1"),
        ("GET", "/v1/block?colour=red", "", 400, "colour"),
        ("GET", "/v1/block?limit=0", "", 400, "limit=0"),
        ("GET", "/v1/block?limit=10001", "", 400, "10000"),
        ("GET", "/v1/block?limit=-1", "", 400, "limit"),
        ("GET", "/v1/events?limit=0", "", 400, "limit=0"),
        ("GET", "/v1/events?after=x", "", 400, "after"),
        ("GET", "/v1/why", "", 400, "address"),
        ("GET", "/v1/why?address=nobody", "", 400, "address"),
        ("GET", "/v1/why?address=::1&protocol=gree", "", 400, "gre"),
        ("GET", "/v1/why?address=::1&port=65536", "", 400, "port"),
        ("GET", "/v1/samples?reason=blokced", "", 400, "`blocked`"),
        ("POST", "/v1/block", "", 400, "EOF"),
        ("POST", "/v1/block", "{", 400, "EOF"),
        ("POST", "/v1/block", "[]", 400, "not usable"),
        ("POST", "/v1/block", "[[\"::1\"]]", 400, "an array"),
        ("POST", "/v1/config/diff", " []", 400, "an array"),
        ("POST", "/v1/block", r#"{"prefixes": []}"#, 400, "no prefix"),
        ("POST", "/v1/block", r#"{"prefixes": ["x"]}"#, 400, "x"),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::/129"]}"#,
            400,
            "::/129",
        ),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::1"], "until": "1h"}"#,
            400,
            "until",
        ),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::1"], "for": "soon"}"#,
            400,
            "soon",
        ),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::1"], "for": "0s"}"#,
            400,
            "0s",
        ),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::1"], "reason": "\u001b[2J"}"#,
            400,
            "U+001B",
        ),
        (
            "POST",
            "/v1/block",
            r#"{"prefixes": ["::1"], "reason": "\u202e"}"#,
            400,
            "U+202E",
        ),
        (
            "POST",
            "/v1/block?dry_run=true",
            r#"{"prefixes": ["::1"]}"#,
            400,
            "dry_run",
        ),
        (
            "POST",
            "/v1/allow/remove",
            r#"{"prefixes": ["::1"], "force": true}"#,
            400,
            "force",
        ),
        ("PUT", "/v1/mode", r#"{"mode": "loud"}"#, 400, "loud"),
        (
            "PUT",
            "/v1/mode",
            r#"{"mode": "enforce", "reasons": ["clean"]}"#,
            400,
            "clean",
        ),
        (
            "PUT",
            "/v1/mode",
            r#"{"mode": "monitor", "reasons": ["land"]}"#,
            400,
            "no reasons",
        ),
        (
            "PUT",
            "/v1/limits/source.sin",
            r#"{"rate": "1/s"}"#,
            404,
            "`source.syn`",
        ),
        (
            "PUT",
            "/v1/limits/source.syn",
            r#"{"rate": "0/s"}"#,
            400,
            "off",
        ),
        (
            "PUT",
            "/v1/defences/sokcets",
            r#"{"mode": "on"}"#,
            404,
            "`sockets`",
        ),
        (
            "PUT",
            "/v1/defences/sockets",
            r#"{"mode": "always"}"#,
            400,
            "pressure",
        ),
        (
            "POST",
            "/v1/rules",
            r#"{"expression": "drop udp sprot 5"}"#,
            400,
            "column 10: \"sprot\"",
        ),
        (
            "POST",
            "/v1/rules",
            r#"{"expression": "drop udp", "before": "x"}"#,
            400,
            "rule list",
        ),
        ("POST", "/v1/rules/remove", r#"{"ids": []}"#, 400, "one id"),
        (
            "POST",
            "/v1/rules/remove",
            r#"{"ids": ["0"]}"#,
            400,
            "rule list",
        ),
        ("DELETE", "/v1/limits/none", "", 404, "none"),
        ("DELETE", "/v1/defences/none", "", 404, "none"),
        ("DELETE", "/v1/block", "{}", 400, "no body"),
        ("DELETE", "/v1/block?yes=1", "", 400, "`yes`"),
        ("POST", "/v1/confirm?yes=1", "", 400, "yes=1"),
        ("POST", "/v1/undo?confirm=soon", "", 400, "soon"),
        ("POST", "/v1/config/diff", "{\"file\": 1}", 400, "file"),
        ("POST", "/v1/reload", "now", 400, "no body"),
        ("POST", "/v1/interfaces/a%2fb/attach", "", 400, "a/b"),
        ("POST", "/v1/interfaces/%ff/attach", "", 400, "path"),
        ("PUT", "/v1/block/import", "::1\n", 400, "list"),
        (
            "PUT",
            "/v1/block/import?list=feed&lsit=x",
            "::1\n",
            400,
            "lsit",
        ),
        ("PUT", "/v1/block/import?list=../x", "::1\n", 400, "../x"),
        (
            "PUT",
            "/v1/block/import?list=manual",
            "::1\n",
            400,
            "manual",
        ),
        ("PUT", "/v1/block/import?list=feed&for=x", "::1\n", 400, "x"),
        (
            "PUT",
            "/v1/block/import?list=feed",
            "::1\n# ok\nrubbish\n::2\n",
            400,
            "line 3",
        ),
        (
            "PUT",
            "/v1/block/import?list=feed",
            "::1\nrubbish",
            400,
            "rubbish",
        ),
        (
            "PUT",
            "/v1/block/import?list=feed",
            "# nothing\n",
            409,
            "no prefix",
        ),
    ] {
        let answer = lab.send(method, target, body);
        refused(&lab, &answer, status, words);
    }
    let long = format!(
        r#"{{"prefixes": ["::1"], "reason": "{}"}}"#,
        "x".repeat(201)
    );
    refused(
        &lab,
        &lab.send("POST", "/v1/block", &long),
        400,
        "201 bytes",
    );
}

#[test]
fn an_import_is_as_large_as_its_table_and_no_larger() {
    let lab = Lab::new(As::Root);
    let list = |count: u32| -> String {
        (0..count)
            .map(|index| format!("{}\n", std::net::Ipv4Addr::from(index << 8)))
            .collect()
    };
    lab.command("PUT", "/v1/block/import?list=feed", &list(100));
    lab.command("PUT", "/v1/allow/import?list=feed", &list(10));
    let answer = lab.send("PUT", "/v1/block/import?list=feed", &list(101));
    assert_eq!(answer.status, 409);
    assert!(answer.error().message.contains("100"), "{answer:?}");
    assert_eq!(
        lab.send("PUT", "/v1/allow/import?list=feed", &list(11))
            .status,
        409
    );
    assert_eq!(lab.notes().len(), 2);
}

#[test]
fn an_empty_import_takes_force() {
    let lab = Lab::new(As::Root);
    let command = lab.command(
        "PUT",
        "/v1/block/import?list=feed&force=true",
        "# none left\n",
    );
    let Command::Import {
        prefixes, force, ..
    } = command
    else {
        panic!("{command:?}")
    };
    assert!(prefixes.is_empty() && force);
}

#[test]
fn readers_may_look_and_change_nothing() {
    let lab = Lab::new(As::Reader);
    for (path, method) in operations() {
        let target = path.replace("{name}", "source.syn");
        let answer = lab.send(&method, &target, "");
        if method == "GET" {
            assert_ne!(answer.status, 403, "{method} {path}");
        } else {
            refused(&lab, &answer, 403, "usermod -aG");
        }
    }
}

#[test]
fn administrators_may_look_and_change() {
    let lab = Lab::new(As::Admin);
    assert_eq!(lab.ask("GET", "/v1/status").status, 200);
    let list = ListKind::Block;
    assert_eq!(
        lab.command("DELETE", "/v1/block", ""),
        Command::Flush { list }
    );
}

#[test]
fn strangers_get_nothing_at_all() {
    let lab = Lab::new(As::Stranger);
    for (path, method) in operations() {
        refused(&lab, &lab.send(&method, &path, ""), 403, "uid 4000000");
    }
    refused(&lab, &lab.ask("GET", "/v1/nothing"), 403, "may not look");
    // Some of a refused import is read, so that the refusal can be.
    let list = "192.0.2.1\n".repeat(100_000);
    refused(
        &lab,
        &lab.send("PUT", "/v1/block/import?list=x", &list),
        403,
        "may not change",
    );
}

#[test]
fn a_page_of_events_starts_after_the_one_named() {
    let lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().events = (1..=5).map(event).collect();
    let ids = |target: &str| -> Vec<i64> {
        let page: EventPage = serde_json::from_str(&lab.ask("GET", target).body).unwrap();
        assert_eq!(page.last, 5);
        page.events.iter().map(|event| event.id).collect()
    };
    assert_eq!(ids("/v1/events?after=3"), [4, 5]);
    assert_eq!(ids("/v1/events?after=1&limit=2"), [2, 3]);
    assert_eq!(ids("/v1/events?limit=2"), [4, 5]);
}
