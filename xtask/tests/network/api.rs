//! What can be asked, in text, in JSON and over the socket itself.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    net::IpAddr,
    process::{Command, Stdio},
};

use etherparse::{NetSlice, SlicedPacket};
use serde_json::Value;

use crate::common::{Protected, strings, wait_until};

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// All keys at all depths, with the types of their values; arrays by their first item.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => "string".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

#[test]
fn status_has_every_field_that_is_promised_and_the_socket_says_the_same() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("limit set source.udp 10k/s").ends(0);
    assert!(!p.passes("198.51.100.66"));
    let status = p.status();
    for key in [
        "schema",
        "mode",
        "interfaces",
        "totals",
        "reasons",
        "overrides",
        "warnings",
    ] {
        assert!(!status[key].is_null(), "{key}");
    }
    assert_eq!(status["schema"], 1);
    assert_eq!(status["mode"], "enforce");
    let interface = &status["interfaces"][0];
    assert_eq!(interface["name"], "srv0");
    assert_eq!(interface["attach"], "native");
    assert_eq!(interface["program_id"].as_u64(), p.program_on("srv0"));
    let mut sums = [0; 3];
    for (sum, total) in sums.iter_mut().zip(["received", "passed", "dropped"]) {
        for unit in ["packets", "bytes"] {
            assert!(status["totals"][total][unit].as_u64().unwrap() > 0);
        }
        *sum = status["totals"][total]["packets"].as_u64().unwrap();
    }
    assert_eq!(sums[0], sums[1] + sums[2]);
    let blocked = &status["reasons"]["blocked"];
    assert_eq!(blocked["packets"], 4);
    assert!(blocked["bytes"].as_u64().unwrap() >= 4 * 54);
    assert_eq!(blocked["action"], "drop");
    assert_eq!(blocked["enforced"], true);
    assert_eq!(status["overrides"][0]["name"], "limit.source.udp");

    let (code, served) = p.http("GET", "/v1/status");
    assert_eq!(code, 200);
    assert_eq!(shape(&served), shape(&status));
    for key in [
        "interfaces",
        "overrides",
        "warnings",
        "mode",
        "since",
        "version",
    ] {
        assert_eq!(served[key], status[key], "{key}");
    }
    // Without a daemon it has the same fields.
    let mut p = p;
    p.kill();
    let alone = p.cli_configured("status --json").ends(0).json();
    assert_eq!(keys(&alone), keys(&status));
    assert_eq!(alone["reasons"]["blocked"]["packets"], 4);
}

#[test]
fn curl_gets_what_the_command_line_gets() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66 --reason flood").ends(0);
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--unix-socket"])
        .arg(p.socket())
        .arg("http://floodwall/v1/block")
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is missing: apt-get install curl");
    let mut text = String::new();
    curl.stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(curl.wait().unwrap().success());
    let served: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(served["entries"], p.json("block list")["entries"]);
}

#[test]
fn the_description_of_the_interface_names_every_path() {
    let p = Protected::enforcing();
    let (code, document) = p.http("GET", "/v1/openapi.json");
    assert_eq!(code, 200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let expected = BTreeSet::from([
        "/v1/status",
        "/v1/stats",
        "/v1/block",
        "/v1/block/remove",
        "/v1/block/import",
        "/v1/allow",
        "/v1/allow/remove",
        "/v1/allow/import",
        "/v1/ban",
        "/v1/ban/remove",
        "/v1/rules",
        "/v1/rules/remove",
        "/v1/services",
        "/v1/limits",
        "/v1/limits/{name}",
        "/v1/defences",
        "/v1/defences/{name}",
        "/v1/mode",
        "/v1/view",
        "/v1/why",
        "/v1/events",
        "/v1/samples",
        "/v1/config/diff",
        "/v1/confirm",
        "/v1/undo",
        "/v1/reload",
        "/v1/detach",
        "/v1/history",
        "/v1/incidents",
        "/v1/incidents/{id}",
        "/v1/interfaces/{name}/attach",
        "/v1/interfaces/{name}/detach",
        "/v1/openapi.json",
    ]);
    assert_eq!(keys(&document["paths"]), expected);
    for path in [
        "/v1/status",
        "/v1/stats",
        "/v1/block",
        "/v1/ban",
        "/v1/rules",
        "/v1/services",
        "/v1/limits",
        "/v1/defences",
        "/v1/events",
    ] {
        assert_eq!(p.http("GET", path).0, 200, "{path}");
    }
    let (code, error) = p.http("GET", "/v1/nonsense");
    assert_eq!((code, &error["error"]), (404, &"not_found".into()));
    let (code, error) = p.http("DELETE", "/v1/status");
    assert_eq!((code, &error["error"]), (405, &"invalid".into()));
}

#[test]
fn with_json_nothing_but_json_is_on_stdout_errors_too() {
    let mut p = Protected::enforcing();
    for line in [
        "status",
        "stats",
        "block list",
        "allow list",
        "block add 198.51.100.66 --for 1h",
        "limit show",
        "mode",
        "why 198.51.100.66",
        "events",
        "samples",
        "block del 198.51.100.66",
        "reload",
        "mode enforce --for 1h",
        "limit set source.udp 10k/s",
        "limit auto source.udp",
    ] {
        let said = p.cli(&format!("{line} --json")).ends(0);
        assert_eq!(said.json()["schema"], 1, "{said:?}");
        assert_eq!(said.stderr, "", "{line}");
    }
    p.cli("doctor srv0 --json").json();
    for (line, code, kind) in [
        ("block add nonsense", 2, "invalid"),
        ("block add 203.0.113.10", 5, "refused"),
        ("block del 198.51.100.66", 1, "not_found"),
        ("frobnicate", 2, "invalid"),
        ("block flush", 2, "invalid"),
        ("limit set source.udp 0/s", 2, "invalid"),
        ("block import /nonexistent", 1, "failed"),
    ] {
        let said = p.cli(&format!("{line} --json")).ends(code);
        let error = said.json();
        assert_eq!(error["schema"], 1, "{said:?}");
        assert_eq!(error["error"], kind, "{said:?}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    p.terminate();
    let error = p.cli("block list --json").ends(3).json();
    assert_eq!(error["error"], "no_daemon");
}

#[test]
fn why_names_what_decides_who_did_it_and_until_when() {
    let p = Protected::enforcing();
    p.cli_words(&[
        "block",
        "add",
        "198.51.100.0/24",
        "--for",
        "1h",
        "--reason",
        "SYN flood",
    ])
    .ends(0);
    p.cli("allow add 198.51.100.10 --reason partner").ends(0);

    let why = p.json("why 198.51.100.66");
    assert_eq!(
        (&why["action"], &why["reason"]),
        (&"drop".into(), &"blocked".into())
    );
    let entry = &why["entries"][0];
    assert_eq!(entry["prefix"], "198.51.100.0/24");
    assert_eq!(entry["by"], "uid 0 (root)");
    assert_eq!(entry["reason"], "SYN flood");
    assert!(entry["since"].is_string() && entry["until"].is_string());
    p.cli("why 198.51.100.66")
        .ends(0)
        .says("DROPPED")
        .says("198.51.100.0/24 is on the blocklist since")
        .says("until")
        .says("by uid 0 (root), \"SYN flood\"");

    let why = p.json("why 198.51.100.10");
    assert_eq!(
        (&why["action"], &why["reason"]),
        (&"pass".into(), &"allowed".into())
    );
    assert_eq!(why["entries"].as_array().unwrap().len(), 2);
    p.cli("why 198.51.100.10")
        .ends(0)
        .says("PASSES")
        .says("allowlist");

    let why = p.json("why 2001:db8:a7::1 --proto udp --dport 53");
    assert_eq!(
        (&why["action"], &why["reason"]),
        (&"pass".into(), &"clean".into())
    );
    p.cli("why 192.0.2.1")
        .ends(0)
        .says("no entry covers it")
        .says("Limits:");
    p.cli("why 127.0.0.1")
        .ends(0)
        .says("no host can have this address");
    p.cli("why nonsense").ends(2);
}

#[test]
fn events_tell_who_did_what() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("mode monitor").ends(0);
    p.cli("block add 203.0.113.10").ends(5);
    let page = p.json("events");
    let events = page["events"].as_array().unwrap();
    let kinds = strings(&page["events"], "kind");
    assert_eq!(kinds[kinds.len() - 2..], ["block.add", "mode.set"]);
    let add = &events[events.len() - 2];
    assert_eq!(add["by"], "uid 0 (root)");
    assert!(add["text"].as_str().unwrap().contains("198.51.100.66/32"));
    assert!(kinds.contains(&"interface.attached".to_owned()));
    p.cli("events --limit 1")
        .ends(0)
        .says("mode is monitor")
        .says("uid 0 (root)");
    let after = format!("events --after {} --json", add["id"]);
    let later = p.cli(&after).ends(0).json();
    assert_eq!(strings(&later["events"], "kind"), ["mode.set"]);
}

#[test]
fn samples_are_packets_that_met_their_fate_and_can_be_saved() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    assert!(!p.passes("198.51.100.66"));
    wait_until("samples arrive", || {
        let page = p.json("samples --reason blocked");
        page["samples"].as_array().unwrap().len() == 4
    });
    let page = p.json("samples --reason blocked");
    let sample = &page["samples"][0];
    assert_eq!(sample["interface"], "srv0");
    assert_eq!(sample["reason"], "blocked");
    assert_eq!(sample["dropped"], true);
    p.cli("samples")
        .ends(0)
        .says("198.51.100.66")
        .says("blocked");
    p.cli("samples --reason nonsense")
        .ends(2)
        .says("\"nonsense\" is no reason");

    let file = p.file("blocked.pcap");
    let line = format!("samples --reason blocked --pcap {}", file.display());
    p.cli(&line).ends(0).says("4 packets are in");
    let packets = pcap(&fs::read(&file).unwrap());
    assert_eq!(packets.len(), 4);
    for packet in packets {
        let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("no IPv4: {packet:?}");
        };
        assert_eq!(
            IpAddr::V4(ip.header().source_addr()).to_string(),
            "198.51.100.66"
        );
    }
}

/// The packets of a pcap file with Ethernet frames.
fn pcap(bytes: &[u8]) -> Vec<Vec<u8>> {
    let magic: [u8; 4] = bytes[..4].try_into().unwrap();
    let number = |at: &[u8]| {
        let at: [u8; 4] = at[..4].try_into().unwrap();
        match magic {
            [0xa1, ..] => u32::from_be_bytes(at),
            [_, .., 0xa1] => u32::from_le_bytes(at),
            other => panic!("{other:x?} begins no pcap file"),
        }
    };
    assert_eq!(number(&bytes[20..]), 1, "LINKTYPE_ETHERNET");
    let mut rest = &bytes[24..];
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let length = number(&rest[8..]) as usize;
        packets.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

#[test]
fn the_doctor_knows_native_mode() {
    let p = Protected::enforcing();
    let said = p.cli("doctor srv0");
    assert!(matches!(said.code, 0 | 1), "{said:?}");
    said.says("native");
    let findings = p.cli("doctor srv0 --json").json();
    assert!(!findings["findings"].as_array().unwrap().is_empty());
    p.cli("doctor nonsense0").ends(1).says("nonsense0");
}

#[test]
fn stats_tell_rates_and_totals() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    let stream = p.stream(&["198.51.100.66"], &["192.0.2.1"], 500);
    wait_until("rates are shown", || {
        let stats = p.json("stats");
        let rate = |key: &str| stats["rates"][key].as_f64().unwrap();
        rate("dropped") > 100.0
            && rate("passed") > 100.0
            && stats["reasons"]["blocked"]["packets_per_second"]
                .as_f64()
                .unwrap()
                > 100.0
    });
    let report = stream.finish();
    assert!(
        report.leaked.is_empty() && report.lost.is_empty(),
        "{report:?}"
    );
    wait_until("the totals are right", || {
        p.json("stats")["reasons"]["blocked"]["packets"] == report.sent
    });
    p.cli("stats").ends(0).says("blocked");
}
