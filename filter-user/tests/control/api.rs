//! Each endpoint, each error, each role.

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
fn the_document_names_every_method_of_every_path_and_no_other() {
    let lab = Lab::new(As::Root);
    let operations = operations();
    let paths: std::collections::BTreeSet<_> = operations.iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), filter_user::api::paths().len());
    for path in filter_user::api::paths() {
        assert!(paths.contains(&path.to_owned()), "{path} is not described");
        for method in METHODS {
            let target = path.replace("{name}", "eth0").replace("{id}", "3");
            let answer = lab.ask(method, &target);
            let described = operations.contains(&(path.to_owned(), method.to_owned()));
            assert_eq!(
                answer.status != 405,
                described,
                "{method} {path}: {answer:?}"
            );
            if !described {
                assert_eq!(answer.error().error, ErrorKind::Invalid);
            }
        }
    }
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

/// Two types of one name are one in the document, and what one of them describes is wrong.
#[test]
fn the_document_tells_types_of_one_name_apart() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let of = |reference: &Value| -> &Value {
        let name = reference["$ref"].as_str().unwrap();
        &schemas[name.trim_start_matches("#/components/schemas/")]
    };
    let reason = of(&schemas["ReasonStatus"]["properties"]["action"]);
    assert_eq!(
        reason["enum"],
        serde_json::json!(["pass", "drop", "answer"])
    );
    let report = of(&schemas["Report"]["properties"]["actions"]["items"]);
    assert_eq!(report["required"], serde_json::json!(["at", "what", "why"]));
}

/// Whether a schema that bodies may have is of a type all the way down, with an end: none takes whatever
/// comes, and none holds itself.
fn is_closed(schemas: &Value, schema: &Value, above: &mut Vec<String>) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/components/schemas/");
        if above.iter().any(|it| it == name) {
            return false;
        }
        above.push(name.to_owned());
        let is_closed = is_closed(schemas, &schemas[name], above);
        above.pop();
        return is_closed;
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().all(|it| is_closed(schemas, it, above));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    !kinds.is_empty()
        && kinds.iter().all(|kind| match *kind {
            "array" => is_closed(schemas, &schema["items"], above),
            "object" => {
                schema["additionalProperties"] == false
                    && schema["properties"].as_object().is_some_and(|fields| {
                        fields.values().all(|it| is_closed(schemas, it, above))
                    })
            }
            "string" | "integer" | "number" | "boolean" | "null" => true,
            _ => false,
        })
}

#[test]
fn no_body_has_a_field_of_any_type() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut bodies = 0;
    for (path, method) in operations() {
        let body = &document["paths"][&path][method.to_lowercase()]["requestBody"];
        for content in body["content"].as_object().into_iter().flatten() {
            let (kind, content) = content;
            let schema = &content["schema"];
            let is_closed = is_closed(schemas, schema, &mut Vec::new());
            assert!(is_closed, "{method} {path} {kind}: {schema}");
            bodies += 1;
        }
    }
    assert!(bodies > 10, "{bodies}");
    for open in [
        serde_json::json!({}),
        serde_json::json!({"type": "object"}),
        serde_json::json!({"type": "array", "items": {}}),
    ] {
        assert!(!is_closed(schemas, &open, &mut Vec::new()), "{open}");
    }
}

#[test]
fn the_document_describes_parameters_bodies_and_errors() {
    let lab = Lab::new(As::Reader);
    let answer = lab.ask("GET", "/v1/openapi.json");
    assert_eq!(answer.status, 200);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    for (path, method) in operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        for status in [
            "200", "400", "403", "404", "405", "408", "409", "413", "500", "503",
        ] {
            assert!(responses.contains_key(status), "{method} {path} {status}");
        }
        let error = &responses["409"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(error, "#/components/schemas/ErrorBody", "{method} {path}");
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{method} {path}"
        );
    }
    let parameters = |path: &str, method: &str| -> Vec<String> {
        let parameters = document["paths"][path][method]["parameters"]
            .as_array()
            .unwrap();
        parameters
            .iter()
            .map(|parameter| {
                let (name, place) = (&parameter["name"], &parameter["in"]);
                format!("{}:{}", name.as_str().unwrap(), place.as_str().unwrap())
            })
            .collect()
    };
    assert_eq!(
        parameters("/v1/block/import", "put"),
        [
            "list:query",
            "for:query",
            "reason:query",
            "dry_run:query",
            "force:query",
            "confirm:query"
        ]
    );
    assert_eq!(
        parameters("/v1/block", "get"),
        ["list:query", "cursor:query", "limit:query"]
    );
    assert_eq!(
        parameters("/v1/events", "get"),
        ["after:query", "limit:query", "follow:query"]
    );
    assert_eq!(parameters("/v1/limits/{name}", "put"), ["name:path"]);
    let body = |path: &str, method: &str, kind: &str| {
        document["paths"][path][method]["requestBody"]["content"][kind]["schema"].clone()
    };
    assert_eq!(
        body("/v1/mode", "put", "application/json")["$ref"],
        "#/components/schemas/SetMode"
    );
    assert_eq!(
        body("/v1/allow/import", "put", "text/plain")["type"],
        "string"
    );
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    let errors = &document["components"]["schemas"]["ErrorKind"]["enum"];
    assert_eq!(errors.as_array().unwrap().len(), 5);
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
