use std::{collections::BTreeSet, time::Duration};

use filter_common::abi::counter::Counter;

use super::*;
use crate::{
    api::types::{
        Count, DefenceStatus, Interface, ReasonStatus, SCHEMA, ServiceStatus, Status, TableStatus,
        Totals,
    },
    detect::{
        Target, View,
        output::{Spoofed, VectorReport},
    },
    metrics::{Deliveries, Steps},
};

fn status() -> Status {
    let reason = ReasonStatus {
        packets: 12,
        bytes: 3_456,
        action: Action::Drop,
        enforced: true,
        would_drop: Count {
            packets: 3,
            bytes: 4,
        },
        text: String::new(),
    };
    let defence = DefenceStatus {
        name: "cookies".to_owned(),
        mode: "on".to_owned(),
        state: DefenceState::Holding,
        by: "controller".to_owned(),
        until: None,
        held: None,
        dropped: 0,
        answered: 0,
        accepted: 0,
        would_drop: 0,
        ports: vec![443],
        notes: Vec::new(),
    };
    let service = ServiceStatus {
        name: "web \"a\\b".to_owned(),
        to: vec!["203.0.113.10/32".parse().unwrap()],
        protocol: "tcp".to_owned(),
        port: Some(443),
        packets: "1/s".to_owned(),
        bytes: "off".to_owned(),
        overloaded: true,
        fair_share: None,
        passed: 1,
        dropped_new: 2,
        dropped_heavy: 3,
        dropped_known: 4,
    };
    Status {
        schema: SCHEMA,
        version: "0.0.0".to_owned(),
        object: String::new(),
        daemon: true,
        since: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        mode: Mode::Enforce,
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            attach: Some(AttachMode::Native),
            program_id: Some(1),
            problem: None,
        }],
        totals: Totals::default(),
        reasons: [("blocked".to_owned(), reason)].into(),
        overrides: Vec::new(),
        pending: None,
        held: Vec::new(),
        tables: [(
            "block".to_owned(),
            TableStatus {
                entries: 1,
                capacity: 10,
            },
        )]
        .into(),
        services: vec![service],
        defences: vec![defence],
        lists: Vec::new(),
        program: None,
        map_memory: 1_000,
        maps: Vec::new(),
        incident: None,
        hit: Vec::new(),
        warnings: vec!["192.0.2.99 is worth a word".to_owned()],
    }
}

fn metrics() -> Metrics {
    let vector = |vector, phase, prefix: &str| VectorReport {
        vector,
        target: Target::Prefix {
            prefix: prefix.parse().unwrap(),
        },
        phase,
        spoofed: Spoofed::Unknown,
        usual: 1.0,
        peak_packets: 1.0,
        peak_bits: 1.0,
        mean_packets: 1.0,
        mean_bits: 1.0,
        evidence: "198.51.100.7".to_owned(),
    };
    let mut steps = Steps::default();
    for millis in [1, 2, 20, 5_000] {
        steps.add(Duration::from_millis(millis));
    }
    let mut traffic = [Counter::default(); TrafficClass::ALL.len()];
    traffic[0] = Counter {
        packets: 5,
        bytes: 300,
    };
    Metrics {
        status: status(),
        view: View {
            vectors: vec![
                vector(Vector::Syn, Phase::Attack, "203.0.113.0/24"),
                vector(Vector::Syn, Phase::Suspected, "203.0.113.0/25"),
            ],
            incident: Some(7),
            ..View::default()
        },
        traffic: Some(traffic),
        good_dropped: 1.5,
        steps,
        webhook: Deliveries {
            delivered: 1,
            failed: 2,
            lost: 3,
            waiting: 4,
        },
    }
}

/// A sample: its name, its labels in order, its value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads the text format, and complains of whatever it does not allow.
fn parse(text: &str) -> Vec<Sample> {
    let name = |text: &str| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(!text.is_empty() && text.chars().all(good), "{text}");
        text.to_owned()
    };
    let mut family = None;
    let mut seen = BTreeSet::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && seen.insert(name(family)), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(seen.contains(name), "{line} has no help");
            family = Some(name.to_owned());
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect("a value");
        let (sample, labels) = match key.split_once('{') {
            None => (name(key), Vec::new()),
            Some((sample, rest)) => {
                let mut rest = rest.strip_suffix('}').expect("an end");
                let mut labels = Vec::new();
                while !rest.is_empty() {
                    let (label, behind) = rest.split_once("=\"").expect("a label");
                    let mut text = String::new();
                    let mut chars = behind.char_indices();
                    let end = loop {
                        match chars.next().expect("the end of a label") {
                            (at, '"') => break at,
                            (_, '\\') => text.push(chars.next().expect("what is escaped").1),
                            (_, other) => text.push(other),
                        }
                    };
                    labels.push((name(label), text));
                    rest = behind[end + 1..].trim_start_matches(',');
                }
                (name(sample), labels)
            }
        };
        let family = family.as_deref().expect("a type before its samples");
        assert!(sample.starts_with(family), "{line} in {family}");
        samples.push((sample, labels, value.parse().expect("a number")));
    }
    samples
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: Vec<(String, String)> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut found = samples
        .iter()
        .filter(|(sample, with, _)| sample == name && *with == labels);
    let value = found.next().map(|(_, _, value)| *value);
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

#[test]
fn everything_is_exposed_once_under_its_name() {
    let text = expose(metrics(), Format::Text).unwrap();
    let samples = parse(&text);
    for (name, labels, expected) in [
        ("floodwall_build_info", &[("version", "0.0.0")][..], 1.0),
        ("floodwall_enforcing", &[], 1.0),
        ("floodwall_start_time_seconds", &[], 1_767_323_045.0),
        (
            "floodwall_interface_attached",
            &[("interface", "eth0"), ("mode", "native")],
            1.0,
        ),
        (
            "floodwall_interface_attached",
            &[("interface", "eth0"), ("mode", "generic")],
            0.0,
        ),
        (
            "floodwall_packets_total",
            &[("reason", "blocked"), ("action", "drop")],
            12.0,
        ),
        (
            "floodwall_bytes_total",
            &[("reason", "blocked"), ("action", "drop")],
            3_456.0,
        ),
        (
            "floodwall_would_drop_packets_total",
            &[("reason", "blocked")],
            3.0,
        ),
        ("floodwall_received_packets_total", &[("class", "syn")], 5.0),
        ("floodwall_received_bytes_total", &[("class", "other")], 0.0),
        ("floodwall_vector_phase", &[("vector", "syn")], 2.0),
        ("floodwall_vector_phase", &[("vector", "udp")], 0.0),
        ("floodwall_incident_open", &[], 1.0),
        (
            "floodwall_defence_state",
            &[("defence", "cookies"), ("state", "holding")],
            1.0,
        ),
        (
            "floodwall_defence_state",
            &[("defence", "cookies"), ("state", "off")],
            0.0,
        ),
        ("floodwall_map_memory_bytes", &[], 1_000.0),
        ("floodwall_table_entries", &[("table", "block")], 1.0),
        ("floodwall_table_capacity", &[("table", "block")], 10.0),
        ("floodwall_warnings", &[], 1.0),
        ("floodwall_good_dropped_packets_total", &[], 1.5),
        ("floodwall_controller_step_seconds_count", &[], 4.0),
        ("floodwall_controller_step_seconds_sum", &[], 5.023),
        (
            "floodwall_controller_step_seconds_bucket",
            &[("le", "0.003")],
            2.0,
        ),
        (
            "floodwall_controller_step_seconds_bucket",
            &[("le", "1.0")],
            3.0,
        ),
        (
            "floodwall_controller_step_seconds_bucket",
            &[("le", "+Inf")],
            4.0,
        ),
        (
            "floodwall_webhook_deliveries_total",
            &[("result", "lost")],
            3.0,
        ),
        ("floodwall_webhook_waiting", &[], 4.0),
        (
            "floodwall_service_packets_total",
            &[("service", "web \"a\\b"), ("result", "dropped_new")],
            2.0,
        ),
        (
            "floodwall_service_overloaded",
            &[("service", "web \"a\\b")],
            1.0,
        ),
    ] {
        assert_eq!(
            value(&samples, name, labels),
            Some(expected),
            "{name} {labels:?}\n{text}"
        );
    }
    let all: BTreeSet<_> = samples
        .iter()
        .map(|(name, labels, _)| (name, labels))
        .collect();
    assert_eq!(all.len(), samples.len(), "no series is there twice");
}

/// Whoever floods chooses addresses: they must not make series.
#[test]
fn no_address_is_exposed() {
    for format in [Format::Text, Format::OpenMetrics] {
        let text = expose(metrics(), format).unwrap();
        for address in ["192.0.2.", "198.51.100.", "203.0.113."] {
            assert!(!text.contains(address), "{text}");
        }
    }
}

#[test]
fn who_asks_for_openmetrics_gets_it() {
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5";
    assert_eq!(Format::accepted(accept), Format::OpenMetrics);
    assert_eq!(Format::accepted("*/*"), Format::Text);
    assert_eq!(Format::accepted(""), Format::Text);
    let text = expose(metrics(), Format::OpenMetrics).unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("# TYPE floodwall_packets counter\n"));
    assert!(text.contains("\nfloodwall_packets_total{"));
    assert!(!expose(metrics(), Format::Text).unwrap().contains("# EOF"));
}

#[test]
fn nothing_is_told_of_traffic_that_nobody_looked_at() {
    let metrics = Metrics {
        traffic: None,
        ..metrics()
    };
    let samples = parse(&expose(metrics, Format::Text).unwrap());
    assert!(
        samples
            .iter()
            .all(|(name, ..)| !name.starts_with("floodwall_received"))
    );
    assert!(
        samples
            .iter()
            .any(|(name, ..)| name == "floodwall_packets_total")
    );
}
