//! What a daemon might say.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::types::*,
    cli::top::{app::App, feed::Heard},
    detect::{
        Phase, Target, Vector, View,
        output::{self, SourceReport, Spoofed, VectorReport},
        view::{ClassRate, Total},
    },
};

/// When it says so.
pub fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn reason(action: Action, enforced: bool, text: &str) -> ReasonStatus {
    ReasonStatus {
        packets: 0,
        bytes: 0,
        action,
        enforced,
        would_drop: Count::default(),
        text: text.to_owned(),
    }
}

pub fn status(mode: Mode) -> Status {
    let enforced = mode == Mode::Enforce;
    let drop = |text| reason(Action::Drop, enforced, text);
    Status {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        object: String::new(),
        daemon: true,
        since: Some(ago(86_400)),
        mode,
        interfaces: vec![
            Interface {
                name: "eth0".to_owned(),
                attach: Some(AttachMode::Native),
                program_id: Some(7),
                problem: None,
            },
            Interface {
                name: "wg0".to_owned(),
                attach: Some(AttachMode::Generic),
                program_id: Some(8),
                problem: None,
            },
        ],
        totals: Totals::default(),
        reasons: BTreeMap::from([
            (
                "clean".to_owned(),
                reason(Action::Pass, true, "nothing spoke against it"),
            ),
            ("banned".to_owned(), drop("source is banned for a time")),
            (
                "no_socket".to_owned(),
                drop("TCP that belongs to no socket of this host"),
            ),
            (
                "limit_syn".to_owned(),
                drop("a SYN above the limit of its source"),
            ),
            (
                "cookie_answered".to_owned(),
                reason(Action::Answer, enforced, "a SYN, answered with a cookie"),
            ),
        ]),
        overrides: Vec::new(),
        pending: None,
        held: Vec::new(),
        services: Vec::new(),
        defences: Vec::new(),
        tables: BTreeMap::new(),
        lists: Vec::new(),
        program: None,
        map_memory: 0,
        maps: Vec::new(),
        incident: None,
        hit: Vec::new(),
        warnings: Vec::new(),
    }
}

fn rate(now: f64, would: f64) -> ReasonRate {
    ReasonRate {
        packets_per_second: now,
        bytes_per_second: now * 60.0,
        would_drop_per_second: would,
        packets: 12_345_678,
        bytes: 740_740_680,
    }
}

fn stats(rates: Rates, reasons: &[(&str, f64, f64)]) -> Stats {
    let reasons = reasons.iter();
    Stats {
        schema: SCHEMA,
        at: now(),
        seconds: 1.0,
        reasons: reasons
            .map(|(name, now, would)| ((*name).to_owned(), rate(*now, *would)))
            .collect(),
        rates,
        totals: Totals::default(),
        lists: Vec::new(),
    }
}

fn class(class: &str, packets: f64, usual: Option<f64>) -> ClassRate {
    ClassRate {
        class: class.to_owned(),
        packets,
        bits: packets * 600.0,
        usual,
    }
}

fn held(name: &str, value: &str) -> HeldOverride {
    HeldOverride {
        name: name.to_owned(),
        value: value.to_owned(),
        otherwise: "200/s burst 200".to_owned(),
        held: held_status(),
        ends: format!("floodwall limit set {name} 200/s"),
    }
}

fn held_status() -> HeldStatus {
    HeldStatus {
        since: ago(30),
        until: ago(-45),
        reason: "SYN flood at tcp/443: 1,234,567/s where 850/s are usual".to_owned(),
    }
}

fn holding(name: &str, mode: &str, held: Option<HeldStatus>, ports: &[u16]) -> DefenceStatus {
    DefenceStatus {
        name: name.to_owned(),
        mode: mode.to_owned(),
        state: DefenceState::Holding,
        by: "default".to_owned(),
        until: None,
        held,
        dropped: 1_000,
        answered: 900,
        accepted: 30,
        would_drop: 0,
        ports: ports.to_vec(),
        notes: Vec::new(),
    }
}

/// Seconds of calm, and the last thirty of something else.
fn history(attack: f64, stopped: f64) -> Vec<Total> {
    (0..600)
        .map(|second| {
            let calm = 4_000.0 + f64::from(second % 50) * 40.0;
            let (more, stopped) = if second >= 570 {
                (attack, stopped)
            } else {
                (0.0, 0.0)
            };
            Total {
                packets: calm + more,
                stopped,
                bits: (calm + more) * 600.0,
            }
        })
        .collect()
}

fn source(prefix: &str, packets: u64, may_be_forged: bool) -> SourceReport {
    SourceReport {
        prefix: prefix.parse().unwrap(),
        packets,
        error: packets / 100,
        may_be_forged,
    }
}

fn vector(vector: Vector, target: Target, phase: Phase, spoofed: Spoofed) -> VectorReport {
    VectorReport {
        vector,
        target,
        phase,
        spoofed,
        usual: 850.0,
        peak_packets: 1_400_000.0,
        peak_bits: 8.4e8,
        mean_packets: 1_100_000.0,
        mean_bits: 6.6e8,
        evidence: "1,234,567/s where 850/s are usual for 0.4 s; 97 % of sources were never seen \
                   before and sent one packet"
            .to_owned(),
    }
}

fn action(age: i64, what: &str, why: &str, until: Option<i64>) -> output::Action {
    output::Action {
        at: ago(age),
        what: what.to_owned(),
        why: why.to_owned(),
        until: until.map(|seconds| ago(-seconds)),
        refused: None,
    }
}

/// Nothing to see, in monitor mode.
pub fn calm() -> Heard {
    let rates = Rates {
        received: 5_123.0,
        passed: 5_123.0,
        would_drop: 12.0,
        ..Rates::default()
    };
    let reasons = [("clean", 5_111.0, 0.0), ("no_socket", 0.0, 12.0)];
    Heard {
        status: Some(status(Mode::Monitor)),
        stats: stats(rates, &reasons),
        view: View {
            at: now(),
            rates: vec![
                class("ack", 5_000.0, Some(4_800.0)),
                class("syn", 123.0, None),
            ],
            history: history(0.0, 0.0),
            ..View::default()
        },
        began: None,
        history: Some(HistoryPage {
            schema: SCHEMA,
            seconds: Vec::new(),
            next: None,
            damaged: 0,
        }),
    }
}

/// An attack with everything, in enforce mode, and texts that would like to steer the terminal.
pub fn attack() -> Heard {
    let mut status = status(Mode::Enforce);
    status.defences = vec![
        holding("cookies", "auto", Some(held_status()), &[443, 80]),
        holding("sockets", "pressure", None, &[]),
    ];
    status.held = vec![
        held("defence.cookies", "on"),
        held("limit.source.syn", "50/s burst 50"),
    ];
    status.warnings = vec!["history.db cannot be written".to_owned()];
    status.interfaces[1].attach = None;
    let rates = Rates {
        received: 1_240_567.0,
        passed: 6_000.0,
        dropped: 34_567.0,
        answered: 1_200_000.0,
        would_drop: 0.0,
    };
    let reasons = [
        ("clean", 6_000.0, 0.0),
        ("cookie_answered", 1_200_000.0, 0.0),
        ("no_socket", 30_000.0, 0.0),
        ("limit_syn", 4_500.0, 0.0),
        ("banned", 67.0, 0.0),
        ("of_another_version", 5.0, 0.0),
    ];
    let https = Target::Service {
        protocol: 6,
        port: 443,
    };
    let carpet = Target::Prefix {
        prefix: "2001:db8:1234:5600::/56".parse().unwrap(),
    };
    let mut quiet = vector(
        Vector::Protocols,
        carpet,
        Phase::Recovering,
        Spoofed::Unknown,
    );
    (quiet.usual, quiet.evidence) = (0.0, "GRE\x1b[2J\u{202e}".to_owned());
    let vectors = vec![
        vector(Vector::Syn, https, Phase::Attack, Spoofed::Forged),
        vector(
            Vector::Reflection,
            Target::Host,
            Phase::Suspected,
            Spoofed::Reflected,
        ),
        quiet,
        vector(Vector::Icmp, Target::Host, Phase::Suspected, Spoofed::Real),
    ];
    let actions = vec![
        action(
            20,
            "limit source.syn lowered to 50/s",
            "passed more than usual for 1 s",
            Some(45),
        ),
        action(
            29,
            "cookies on at tcp/443",
            "sources are forged: 97 % never seen before",
            Some(45),
        ),
        action(86_400, "notice\u{7}", "its why", None),
        action(86_401, "an old ban", "its why", Some(172_800)),
    ];
    Heard {
        status: Some(status),
        stats: stats(rates, &reasons),
        view: View {
            at: now(),
            rates: vec![
                class("ack", 5_000.0, Some(4_800.0)),
                class("syn", 1_234_567.0, Some(850.0)),
                class("udp", 0.0, None),
            ],
            vectors,
            vectors_now: vec![1_234_567.0, 3_400.0, 12.0],
            sources: vec![
                source("198.51.100.7/32", 45_000, false),
                source("203.0.113.0/24", 9_900, true),
                source("2001:db8:1234:5678:9abc:def0:1234:5678/128", 812, true),
                source("192.0.2.1/32", 20, true),
            ],
            actions,
            incident: Some(7),
            bottleneck: Some("CPU".to_owned()),
            good_dropped: 12.0,
            hit: Vec::new(),
            history: history(1_200_000.0, 1_199_000.0),
        },
        began: Some(ago(83)),
        history: Some(HistoryPage {
            schema: SCHEMA,
            seconds: Vec::new(),
            next: None,
            damaged: 0,
        }),
    }
}

/// A screen that heard this.
pub fn app(heard: Heard) -> App {
    let mut app = App::new(false);
    app.hear(heard);
    app
}
