//! Each endpoint, each error, each role.

mod document;
mod refusals;

use std::time::Duration;

use filter_common::abi::{defence::Defence, reason::Reason, settings::Class};
use filter_user::{
    api::{openapi::Document, types::*},
    config::{
        defence::DefenceMode,
        limit::{LimitName, LimitRate, Measure},
        units::Rate,
    },
    core::{actor::Actor, command::Command, refusal::Refusal, rules::RuleId},
};
use serde_json::Value;
use utoipa::OpenApi;

use crate::lab::{Answer, As, Lab, event};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Path and method of every operation in the document, with names filled in.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations.push((path.clone(), method.to_uppercase()));
        }
    }
    operations
}

#[test]
fn incidents_and_history_come_in_pages() {
    let lab = Lab::new(As::Reader);
    let get = |target: &str| -> Value {
        let answer = lab.ask("GET", target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    };
    let page = get("/v1/incidents?limit=2");
    assert_eq!((&page["schema"], &page["next"]), (&1.into(), &2.into()));
    assert_eq!(page["incidents"][1]["id"], 2);
    assert_eq!(page["incidents"][1]["targets"][0], "this host");
    let page = get("/v1/incidents?before=2");
    assert_eq!(page["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(get("/v1/incidents/1")["incident"]["id"], 1);
    assert_eq!(get("/v1/view")["incident"], 3);
    let page = get("/v1/history?from=2026-01-02T03:04:10Z&to=2026-01-02T03:05:00Z&limit=3");
    assert_eq!(page["seconds"].as_array().unwrap().len(), 3);
    assert_eq!(page["next"], "2026-01-02T03:04:13Z");
    assert!(get("/v1/history")["seconds"].as_array().unwrap().is_empty());
    for (target, status, says) in [
        ("/v1/incidents/x", 400, "no number of an incident"),
        ("/v1/incidents/-1", 400, "no number of an incident"),
        ("/v1/incidents/9", 404, "no incident 9"),
        ("/v1/incidents?limit=0", 400, "between 1 and"),
        ("/v1/incidents?limit=201", 400, "between 1 and 200"),
        ("/v1/incidents?after=1", 400, "after"),
        ("/v1/incidents/1?x=1", 400, ""),
        ("/v1/history?from=yesterday", 400, "from"),
        (
            "/v1/history?from=2026-01-02T03:04:10Z&to=2026-01-02T03:04:09Z",
            400,
            "is behind",
        ),
    ] {
        let answer = lab.ask("GET", target);
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert!(
            answer.error().message.contains(says),
            "{target}: {}",
            answer.body
        );
    }
}

#[test]
fn looking_gives_what_the_daemon_says() {
    let lab = Lab::new(As::Reader);
    let get = |target: &str| -> Value {
        let answer = lab.ask("GET", target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert!(
            answer.head.contains("application/json"),
            "{target}: {answer:?}"
        );
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(value["schema"], 1, "{target}");
        value
    };
    assert_eq!(get("/v1/status")["mode"], "monitor");
    assert_eq!(get("/v1/stats")["at"], "2026-01-02T03:04:05Z");
    assert_eq!(get("/v1/limits")["pressure"], "20000/s");
    assert_eq!(get("/v1/defences")["defences"][0]["state"], "holding");
    assert_eq!(get("/v1/rules")["rules"][0]["state"], "enforced");
    assert_eq!(
        get("/v1/samples?reason=blocked&limit=3")["samples"][0]["bytes"],
        "00ff"
    );
    assert_eq!(get("/v1/events")["last"], 0);
    let why = get("/v1/why?address=::ffff:192.0.2.1&protocol=udp&port=53");
    assert_eq!(why["address"], "192.0.2.1");
    assert_eq!(why["sentence"], "asked for Some(\"udp\") Some(53)");
    lab.book.lock().unwrap().entries = 5;
    for list in ["block", "allow"] {
        let page = get(&format!("/v1/{list}?limit=3"));
        assert_eq!(page["entries"].as_array().unwrap().len(), 3);
        assert_eq!(page["next"], "3");
        let page = get(&format!("/v1/{list}?limit=3&cursor=3"));
        assert_eq!(page["entries"][1]["prefix"], "192.0.2.4/32");
        assert_eq!(page["next"], Value::Null);
        assert_eq!(page["total"], 5);
    }
}

#[test]
fn changes_become_commands() {
    let lab = Lab::new(As::Root);
    let prefixes =
        |texts: &[&str]| -> Vec<_> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    let hour = Some(Duration::from_secs(3600));
    for (name, list) in [
        ("block", ListKind::Block),
        ("allow", ListKind::Allow),
        ("ban", ListKind::Ban),
    ] {
        let body = r#"{"prefixes": ["192.0.2.7/24", "2001:db8::1"], "for": "1h",
                       "reason": "why", "force": true}"#;
        assert_eq!(
            lab.command("POST", &format!("/v1/{name}"), body),
            Command::Add {
                list,
                prefixes: prefixes(&["192.0.2.0/24", "2001:db8::1/128"]),
                duration: hour,
                reason: "why".to_owned(),
                force: true,
            }
        );
        assert_eq!(
            lab.command(
                "POST",
                &format!("/v1/{name}/remove"),
                r#"{"prefixes": ["192.0.2.1"]}"#
            ),
            Command::Remove {
                list,
                prefixes: prefixes(&["192.0.2.1/32"])
            }
        );
        if list == ListKind::Ban {
            continue;
        }
        let text = "# a list\r\n192.0.2.1\r\n\r\n2001:db8::/32 ; v6\n198.51.100.9/24 # masked\n\n192.0.2.1\n";
        let target = format!("/v1/{name}/import?list=feed&for=1h&reason=daily");
        assert_eq!(
            lab.command("PUT", &target, text),
            Command::Import {
                list,
                name: "feed".to_owned(),
                prefixes: prefixes(&["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32"]).into(),
                duration: hour,
                reason: "daily".to_owned(),
                force: false,
            }
        );
    }
    for (name, list) in [("block", ListKind::Block), ("ban", ListKind::Ban)] {
        let wish = lab.command("DELETE", &format!("/v1/{name}"), "");
        assert_eq!(wish, Command::Flush { list });
    }
    assert_eq!(
        lab.command(
            "PUT",
            "/v1/limits/source.syn",
            r#"{"rate": "200/s burst 400", "for": "1h"}"#
        ),
        Command::SetLimit {
            name: LimitName::Source(Class::Syn),
            rate: Some(LimitRate::Packets(Rate {
                packets: 200,
                burst: 400
            })),
            duration: hour,
        }
    );
    assert_eq!(
        lab.command("PUT", "/v1/limits/service.web.bytes", r#"{"rate": "off"}"#),
        Command::SetLimit {
            name: LimitName::Service("web".to_owned(), Measure::Bytes),
            rate: None,
            duration: None
        }
    );
    assert_eq!(
        lab.command(
            "PUT",
            "/v1/defences/cookies",
            r#"{"mode": "on", "ports": [443], "services": ["web"], "for": "1h", "reason": "flood"}"#
        ),
        Command::SetDefence {
            defence: Defence::Cookies,
            mode: DefenceMode::On,
            ports: vec![443],
            services: vec!["web".to_owned()],
            duration: hour,
            reason: "flood".to_owned(),
        }
    );
    assert_eq!(
        lab.command("DELETE", "/v1/defences/closed_ports", ""),
        Command::AutoDefence {
            defence: Defence::ClosedPorts
        }
    );
    assert_eq!(
        lab.command(
            "POST",
            "/v1/rules",
            r#"{"expression": "drop udp  dport 53", "for": "1h", "before": "7", "reason": "scan"}"#
        ),
        Command::AddRule {
            rule: Box::new("drop udp dport 53".parse().unwrap()),
            before: Some(RuleId::Added(7)),
            duration: hour,
            reason: "scan".to_owned(),
            force: false,
        }
    );
    assert_eq!(
        lab.command("POST", "/v1/rules/remove", r#"{"ids": ["7", "file:1"]}"#),
        Command::RemoveRules {
            ids: vec![RuleId::Added(7), RuleId::File(1)]
        }
    );
    assert_eq!(
        lab.command("DELETE", "/v1/limits/source.icmp", ""),
        Command::AutoLimit {
            name: LimitName::Source(Class::Icmp)
        }
    );
    assert_eq!(
        lab.command(
            "PUT",
            "/v1/mode",
            r#"{"mode": "enforce", "reasons": ["blocked"]}"#
        ),
        Command::SetMode {
            mode: Mode::Enforce,
            reasons: vec![Reason::Blocked],
            duration: None
        }
    );
    assert_eq!(
        lab.command("PUT", "/v1/mode", r#"{"mode": "monitor", "for": "1h"}"#),
        Command::SetMode {
            mode: Mode::Monitor,
            reasons: Vec::new(),
            duration: hour
        }
    );
    assert_eq!(lab.command("POST", "/v1/reload", ""), Command::Reload);
    assert_eq!(
        lab.command("POST", "/v1/interfaces/eth%30/attach", ""),
        Command::Attach {
            interface: "eth0".to_owned()
        }
    );
    assert_eq!(
        lab.command("POST", "/v1/interfaces/eth0/detach", ""),
        Command::Detach {
            interface: Some("eth0".to_owned()),
            duration: None,
        }
    );
    assert_eq!(
        lab.command("POST", "/v1/interfaces/eth0/detach?for=1h", ""),
        Command::Detach {
            interface: Some("eth0".to_owned()),
            duration: hour,
        }
    );
    assert_eq!(
        lab.command("POST", "/v1/detach", ""),
        Command::Detach {
            interface: None,
            duration: None,
        }
    );
}

#[test]
fn a_dry_run_reaches_the_daemon_as_one() {
    let lab = Lab::new(As::Root);
    lab.command(
        "POST",
        "/v1/block",
        r#"{"prefixes": ["192.0.2.1"], "dry_run": true}"#,
    );
    lab.command(
        "POST",
        "/v1/allow/remove",
        r#"{"prefixes": ["192.0.2.1"], "dry_run": true}"#,
    );
    lab.command(
        "PUT",
        "/v1/block/import?list=feed&dry_run=true",
        "192.0.2.1\n",
    );
    lab.command("POST", "/v1/block", r#"{"prefixes": ["192.0.2.1"]}"#);
    let dry: Vec<_> = lab.notes().iter().map(|note| note.dry_run).collect();
    assert_eq!(dry, [true, true, true, false]);
}

#[test]
fn every_change_can_be_tried_and_is_confirmed_or_undone() {
    let lab = Lab::new(As::Root);
    let with = |body: &str| format!("{}, \"confirm\": \"2m\"}}", body.trim_end_matches('}'));
    for (method, target, body) in [
        ("POST", "/v1/block", r#"{"prefixes": ["192.0.2.1"]}"#),
        ("POST", "/v1/ban/remove", r#"{"prefixes": ["192.0.2.1"]}"#),
        ("POST", "/v1/rules", r#"{"expression": "drop udp"}"#),
        ("POST", "/v1/rules/remove", r#"{"ids": ["7"]}"#),
        ("PUT", "/v1/mode", r#"{"mode": "enforce"}"#),
        ("PUT", "/v1/limits/source.syn", r#"{"rate": "7/s"}"#),
        ("PUT", "/v1/defences/icmp", r#"{"mode": "on"}"#),
        ("PUT", "/v1/allow/import?list=feed", "::1"),
        ("DELETE", "/v1/block", ""),
        ("DELETE", "/v1/limits/source.syn", ""),
        ("DELETE", "/v1/defences/icmp", ""),
        ("POST", "/v1/reload", ""),
        ("POST", "/v1/detach", ""),
        ("POST", "/v1/interfaces/eth0/attach", ""),
        ("POST", "/v1/interfaces/eth0/detach", ""),
        ("POST", "/v1/undo", ""),
    ] {
        let plain = lab.command(method, target, body);
        let tried = if body.starts_with('{') {
            lab.command(method, target, &with(body))
        } else {
            let mark = if target.contains('?') { '&' } else { '?' };
            lab.command(method, &format!("{target}{mark}confirm=2m"), body)
        };
        let expected = Command::Try {
            command: Box::new(plain),
            within: Duration::from_secs(120),
        };
        assert_eq!(tried, expected, "{method} {target}");
    }
    assert_eq!(lab.command("POST", "/v1/confirm", ""), Command::Confirm);
    assert_eq!(lab.command("POST", "/v1/undo", ""), Command::Undo);
    let diff = lab.send("POST", "/v1/config/diff", r#"{"text": "mode"}"#);
    assert_eq!(diff.status, 200);
    let diff: Value = serde_json::from_str(&diff.body).unwrap();
    assert_eq!(
        (&diff["restart"], &diff["samples"]),
        (&"mode".into(), &7.into())
    );
}

#[test]
fn commands_carry_the_name_of_who_gave_them() {
    let lab = Lab::new(As::Root);
    lab.command("POST", "/v1/reload", "");
    let root = Actor::Operator {
        uid: 0,
        name: Some("root".to_owned()),
    };
    assert_eq!(lab.notes()[0].actor, root);
    let lab = Lab::new(As::Admin);
    lab.command("POST", "/v1/reload", "");
    assert_eq!(
        lab.notes()[0].actor,
        Actor::Operator {
            uid: 4_000_000,
            name: None
        }
    );
}
