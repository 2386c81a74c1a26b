mod refusals;
mod services;

use std::time::Duration;

use filter_common::abi::{defence::ProtocolPolicy, reason::Reason, settings::PACKET_CLASSES};
use proptest::prelude::*;

use super::*;
use crate::{
    config::{
        Lifeline, Service,
        bytes::ByteRate,
        defence::{CookiePorts, DefenceMode, LeftOut},
        detection::Act,
        incidents::Endpoint,
    },
    detect::Vector,
    rules::ServiceMatch,
};

const EXAMPLE: &str = include_str!("../../../../docs/floodwall.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("f.toml")).map_err(|error| error.to_string())
}

/// Asserts that each line of the error holds what it should.
fn refused(text: &str, says: &[&[&str]]) {
    let error = parse(text).expect_err(text);
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), says.len(), "{error}");
    for (line, parts) in lines.iter().zip(says) {
        for part in *parts {
            assert!(line.contains(part), "{part:?} is missing in {line:?}");
        }
    }
}

#[test]
fn an_empty_file_means_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
    assert_eq!(
        parse("[limits.source]\n[sanity]\n[paths]\n"),
        Ok(Config::default())
    );
}

#[test]
fn default_routes_stand_for_interfaces_as_a_word_and_for_a_name_in_an_array() {
    let config = parse("interfaces = \"default-route\"").unwrap();
    assert!(config.default_route && config.interfaces.is_empty());
    let config = parse("interfaces = [\"default-route\"]").unwrap();
    assert!(!config.default_route);
    assert_eq!(config.interfaces, ["default-route"]);
}

#[test]
fn the_example_says_the_defaults() {
    assert_eq!(parse(EXAMPLE), Ok(Config::default()));
}

/// A line that is commented out, `#key = …` or `#[table]`, parses when it is not.
#[test]
fn what_the_example_comments_out_is_right_too() {
    let full: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = parse(&full).unwrap();
    assert_eq!(config.interfaces, ["eth0"]);
    assert!(config.limits.source.iter().all(|limit| limit.by_hand));
    let defaults = Config::default().limits.source;
    // Without it there is no limit in bytes, and `off` is no example of one.
    assert_eq!(
        config.limits.source.map(|l| l.rate)[..PACKET_CLASSES],
        defaults.map(|l| l.rate)[..PACKET_CLASSES]
    );
    let prefix = config.limits.prefix.classes;
    assert!(prefix.iter().all(|limit| limit.by_hand));
    assert_eq!(config.services.len(), 1);
    let lifeline = config.lifeline.unwrap();
    assert_eq!(
        (lifeline.len(), lifeline[0].port, lifeline[0].protocol),
        (1, 22, 6)
    );
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        rules = ["drop udp sport 123 length > 400", 'pass dport 443 tcp']
        interfaces = ["eth0", "wan.100"]
        mode = "enforce"
        attach = "native"
        lifeline = [{ from = ["198.51.100.7/24", "::ffff:192.0.2.1"], port = 22 },
                    { from = ["2001:db8::/32"], protocol = "udp", port = 51820, ceiling = "1k/s" }]
        [paths]
        socket = "/run/x.sock"
        state = "/srv/x"
        bpf = "/sys/fs/bpf/x"
        cgroup = "/sys/fs/cgroup/x"
        [sanity]
        land = true
        port_zero = false
        martian_source = false
        [limits]
        pressure = "0/s"
        source.syn = "off"
        source.udp = "20k/s burst 400"
        source.bytes = "1Gbit/s burst 250MB"
        source.connections = "off"
        protocols = "7k/s"
        [limits.prefix]
        packets = "1M/s"
        connections = "50/s"
        ipv4 = 22
        ipv6 = 56
        [limits.icmp]
        errors = "3k/s"
        echo = "off"
        [protocols]
        gre = "pass"
        50 = "drop"
        default = "limit"
        [[service]]
        name = "web"
        to = ["203.0.113.10", "2001:db8::1/64"]
        protocol = "tcp"
        port = 443
        packets = "200k/s"
        bytes = "1Gbit/s"
        [[service]]
        name = "tunnel"
        to = ["203.0.113.10"]
        protocol = 47
        [fragments]
        unknown = "drop"
        limit = "5k/s"
        [defences]
        cookies = "on"
        cookie_ports = [443, 80]
        answers = "1M/s"
        answers_prefix = "1k/s burst 10"
        known = "off"
        sockets = "off"
        closed_ports = "on"
        left_out = ["tcp/8080", "udp/5000", "udp/5001"]
        [tables]
        block = 1_000_000
        allow = 0x100
        bans = 512
        lists_v4 = 2048
        lists_v6 = 4096
        sources = 1024
        prefixes = 2048
        [samples]
        passed = "off"
        dropped = "2/s"
        [control]
        discovery = "3/s"
        membership = "4/s"
        dhcp = "5/s"
        [access]
        read_group = "adm"
        admin_group = "sudo"
        [detection]
        act = "suggest"
        fingerprints = "suggest"
        max_collateral = "0.1%"
        recover = "2m"
        actions = 10
        ban = "30s"
        ban_most = "10m"
        floor.syn = "5k/s"
        ceiling = { syn = "1M/s", reflection = "20k/s" }
        [incidents]
        keep = "30d"
        seconds = "1d"
        room = "1GB"
        [webhook]
        url = "https://example.org/hook"
        secret_file = "/etc/floodwall/webhook.secret"
        [metrics]
        listen = "[::1]:9815"
        "#,
    )
    .unwrap();
    let mut source = Config::default().limits.source;
    let by_hand = |rate| ClassLimit {
        rate,
        by_hand: true,
    };
    source[1] = by_hand(None);
    source[2] = by_hand(Some(LimitRate::Packets(Rate {
        packets: 20_000,
        burst: 400,
    })));
    source[4] = by_hand(Some(LimitRate::Bytes(ByteRate {
        bytes: 125_000_000,
        burst: 250_000_000,
    })));
    let mut prefix = Config::default().limits.prefix;
    prefix.classes[0] = by_hand(Some(LimitRate::Packets(Rate::per_second(1_000_000))));
    (prefix.ipv4, prefix.ipv6) = (22, 56);
    assert_eq!(
        config,
        Config {
            rules: vec![
                "drop udp sport 123 length > 400".parse().unwrap(),
                "pass tcp dport 443".parse().unwrap(),
            ],
            interfaces: vec!["eth0".into(), "wan.100".into()],
            default_route: false,
            mode: Mode::Enforce,
            attach: AttachPreference::Native,
            paths: Paths {
                socket: "/run/x.sock".into(),
                state: "/srv/x".into(),
                bpf: "/sys/fs/bpf/x".into(),
                cgroup: Some("/sys/fs/cgroup/x".into()),
            },
            lifeline: Some(vec![
                Lifeline {
                    from: vec![
                        "198.51.100.0/24".parse().unwrap(),
                        "192.0.2.1/32".parse().unwrap()
                    ],
                    protocol: 6,
                    port: 22,
                    ceiling: Rate::per_second(20_000),
                },
                Lifeline {
                    from: vec!["2001:db8::/32".parse().unwrap()],
                    protocol: 17,
                    port: 51820,
                    ceiling: Rate::per_second(1_000),
                },
            ]),
            unchecked: vec![Reason::MartianSource, Reason::PortZero],
            limits: Limits {
                pressure: None,
                source,
                prefix,
                icmp: IcmpLimits {
                    errors: Some(Rate::per_second(3_000)),
                    echo: None,
                },
                protocols: Some(Rate::per_second(7_000)),
                connections: [
                    by_hand(None),
                    by_hand(Some(LimitRate::Packets(Rate::per_second(50)))),
                ],
            },
            services: vec![
                Service {
                    name: "web".into(),
                    matches: ServiceMatch {
                        to: vec![
                            "203.0.113.10/32".parse().unwrap(),
                            "2001:db8::/64".parse().unwrap()
                        ],
                        protocol: 6,
                        port: Some(443),
                    },
                    packets: Some(Rate::per_second(200_000)),
                    bytes: Some(ByteRate::per_second(125_000_000)),
                },
                Service {
                    name: "tunnel".into(),
                    matches: ServiceMatch {
                        to: vec!["203.0.113.10/32".parse().unwrap()],
                        protocol: 47,
                        port: None,
                    },
                    packets: None,
                    bytes: None,
                },
            ],
            fragments: Fragments {
                unknown: FragmentPolicy::Drop,
                limit: Some(Rate::per_second(5_000)),
            },
            protocols: Protocols {
                default: ProtocolPolicy::Limit,
                named: [(47, ProtocolPolicy::Pass), (50, ProtocolPolicy::Drop)].into(),
            },
            defences: Defences {
                modes: [
                    DefenceMode::On,
                    DefenceMode::Off,
                    DefenceMode::On,
                    DefenceMode::Pressure,
                    DefenceMode::Pressure,
                    DefenceMode::Pressure,
                    DefenceMode::Pressure,
                ],
                cookie_ports: CookiePorts::Some([80, 443].into()),
                answers: Rate::per_second(1_000_000),
                answers_prefix: Rate {
                    packets: 1_000,
                    burst: 10,
                },
                known: None,
                left_out: LeftOut {
                    tcp: [8080].into(),
                    udp: [5000, 5001].into(),
                },
            },
            tables: Tables {
                block: 1_000_000,
                allow: 256,
                bans: 512,
                lists_v4: 2048,
                lists_v6: 4096,
                sources: 1024,
                prefixes: 2048,
            },
            samples: Samples {
                passed: None,
                dropped: Some(Rate::per_second(2)),
            },
            control: Control {
                discovery: Rate::per_second(3),
                membership: Rate::per_second(4),
                dhcp: Rate::per_second(5),
            },
            access: Access {
                read_group: "adm".into(),
                admin_group: "sudo".into()
            },
            detection: Detection {
                act: Act::Suggest,
                fingerprints: Act::Suggest,
                max_collateral: 0.001,
                recover: Duration::from_secs(120),
                actions: 10,
                ban: Duration::from_secs(30),
                ban_most: Duration::from_secs(600),
                floor: [(Vector::Syn, 5_000.0)].into(),
                ceiling: [(Vector::Syn, 1_000_000.0), (Vector::Reflection, 20_000.0)].into(),
            },
            incidents: Incidents {
                keep: Duration::from_secs(30 * 86_400),
                seconds: Duration::from_secs(86_400),
                room: 1_000_000_000,
            },
            webhook: Webhook {
                url: Endpoint::parse("https://example.org/hook").ok(),
                secret: Some("/etc/floodwall/webhook.secret".into()),
            },
            metrics: Metrics {
                listen: "[::1]:9815".parse().ok(),
            },
        }
    );
    assert_eq!(parse("lifeline = []").unwrap().lifeline, Some(vec![]));
}

proptest! {
    #[test]
    fn nothing_panics(text in "[a-z\\[\\]=\"'.\n 0-9{}#,é-]{0,120}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_misspelt_key_never_passes(cut in 0_usize..6) {
        let mut key = "attach".to_owned();
        key.remove(cut);
        let error = parse(&format!("{key} = \"auto\"")).unwrap_err();
        prop_assert!(error.contains("`attach`"));
    }
}
