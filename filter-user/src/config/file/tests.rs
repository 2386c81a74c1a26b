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

#[test]
fn defences_that_make_no_sense_say_why() {
    refused(
        "[defences]\ncookies = \"pressure\"\nsockets = true\ncookie_ports = \"some\"\n\
         answers = \"off\"\nleft_out = [\"8080\", \"tcp/0\", \"tcp/+1\"]\nsocket = \"on\"\n",
        &[
            &["`defences.cookies`", "\"off\", \"auto\", \"on\""],
            &["`defences.sockets`", "\"pressure\""],
            &["`defences.cookie_ports`", "[443, 80], or \"all\""],
            &["`defences.answers`", "is no rate"],
            &["`defences.left_out`", "\"8080\"", "tcp/8080"],
            &["`defences.left_out`", "\"tcp/0\""],
            &["`defences.left_out`", "\"tcp/+1\""],
            &["\"socket\" in [defences]", "`sockets`"],
        ],
    );
    assert_eq!(
        parse("defences.cookie_ports = \"all\"").unwrap(),
        Config::default()
    );
    assert_eq!(parse("paths.cgroup = \"auto\"").unwrap(), Config::default());
}

#[test]
fn detection_and_what_is_told_say_why_they_make_no_sense() {
    refused(
        "[detection]\nact = \"on\"\nmax_collateral = \"20%\"\nrecover = \"0s\"\nactions = 0\n\
         floor = { sin = \"1/s\", udp = \"off\" }\n[detection.ceiling]\nsyn = 3\n",
        &[
            &["f.toml:2:7", "\"suggest\", \"apply\""],
            &["f.toml:3:18", "up to 10%"],
            &["f.toml:4:11", "`detection.recover`", "ends at once"],
            &["f.toml:5:11", "from 1 to 6000"],
            &["f.toml:6:11", "\"sin\" in [detection.floor]", "`syn`"],
            &["f.toml:6:30", "`detection.floor.udp`"],
            &["f.toml:8:7", "`detection.ceiling.syn`", "the number 3"],
        ],
    );
    refused("detection.ban = \"2h\"", &[&["longer than `ban_most`"]]);
    refused(
        "detection = { floor.udp = \"2k/s\", ceiling.udp = \"1k/s\" }",
        &[&["the ceiling of udp is below its floor"]],
    );
    for share in ["0%", "0.5", "-1%", "+1%", "nan%", "1e0%", "%", "inf%"] {
        refused(
            &format!("detection.max_collateral = \"{share}\""),
            &[&["is no share"]],
        );
    }
    refused(
        "[incidents]\nkeep = \"for ever\"\nroom = \"1Gbit\"\nsecond = \"1d\"\n",
        &[
            &["f.toml:2:8", "is no duration"],
            &["f.toml:3:8", "\"10MB\" to \"100GB\""],
            &["f.toml:4:1", "did you mean `seconds`?"],
        ],
    );
    refused(
        "[webhook]\nurl = \"http://example.org/\"\nsecret = \"x\"\nsecret_file = \"x\"\n",
        &[
            &["f.toml:2:7", "`webhook.url`", "not encrypted"],
            &["f.toml:3:10", "`webhook.secret`", "`secret_file`"],
            &["f.toml:4:15", "absolute path"],
        ],
    );
    assert!(
        parse("webhook.url = \"https://u:hunter2@example.org/\"")
            .is_err_and(|error| error.contains("`secret_file`") && !error.contains("hunter2"))
    );
    for (listen, says) in [
        ("0.0.0.0:9815", "can be reached from elsewhere"),
        ("192.0.2.1:9815", "can be reached from elsewhere"),
        ("127.0.0.1", "no address with a port"),
        ("127.0.0.1:0", "no address with a port"),
        ("localhost:9815", "no address with a port"),
    ] {
        let text = format!("metrics.listen = \"{listen}\"");
        refused(&text, &[&["`metrics.listen`", says]]);
    }
    assert_eq!(
        parse("metrics.listen = \"off\"\nwebhook.url = \"off\"").unwrap(),
        Config::default()
    );
}

#[test]
fn unknown_keys_are_named_with_place_and_nearest() {
    refused(
        "mode = \"monitor\"\n[limits]\npresure = \"1/s\"\n[limits.source]\n  sin = \"1/s\"\n",
        &[
            &[
                "f.toml:3:1: ",
                "unknown key \"presure\" in [limits]",
                "`pressure`",
            ],
            &["f.toml:5:3: ", "\"sin\" in [limits.source]", "`syn`"],
        ],
    );
    refused(
        "interface = []",
        &[&["f.toml:1:1: ", "did you mean `interfaces`?"]],
    );
    refused(
        "colour = 1",
        &[&["unknown key \"colour\": known: interfaces, mode"]],
    );
    refused("[sanity]\nlnad = true", &[&["f.toml:2:1: ", "`land`"]]);
    refused(
        "[sanity]\nblocked = false",
        &[&["unknown key \"blocked\" in [sanity]"]],
    );
    refused(
        "[[lifeline]]\nfrom = []\nport = 22\nfrm = 1",
        &[&["f.toml:4:1", "`from`"]],
    );
    refused(r#""a\u001b[2J" = 1"#, &[&[r#""a\u{1b}[2J""#]]);
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    for (text, says) in [
        (
            "interfaces = \"eth0\"",
            &[
                "`interfaces`",
                "\"eth0\"",
                "array of names",
                "or \"default-route\"",
            ][..],
        ),
        (
            "interfaces = [\n1]",
            &["f.toml:2:1:", "the number 1", "write a string"],
        ),
        ("interfaces = [\"a/b\"]", &["cannot be an interface"]),
        ("interfaces = [\"\"]", &["cannot be an interface"]),
        (
            "interfaces = [\"abcdefghijklmnop\"]",
            &["cannot be an interface"],
        ),
        ("interfaces = [\"a b\"]", &["cannot be an interface"]),
        ("interfaces = [\"..\"]", &["cannot be an interface"]),
        (
            "interfaces = [\"eth0\", \"eth0\"]",
            &["f.toml:1:23:", "named twice"],
        ),
        (
            "mode = \"enforced\"",
            &["`mode`", "\"enforced\"", "\"monitor\", \"enforce\""],
        ),
        (
            "mode = true",
            &["`mode`", "true", "\"monitor\", \"enforce\""],
        ),
        (
            "attach = \"offload\"",
            &["\"auto\", \"native\", \"generic\""],
        ),
        ("paths = 1", &["`paths`", "table [paths]"]),
        ("protocols = 47", &["`protocols`", "table [protocols]"]),
        (
            "[protocols]\ngree = \"drop\"",
            &["f.toml:2:1:", "\"gree\"", "did you mean `gre`?"],
        ),
        (
            "protocols.gre = \"deny\"",
            &["`protocols.gre`", "\"pass\", \"limit\", \"drop\""],
        ),
        (
            "protocols.default = \"default\"",
            &["`protocols.default`", "\"pass\", \"limit\", \"drop\""],
        ),
        (
            "protocols = { gre = \"pass\", 47 = \"drop\" }",
            &["`protocols.gre`", "gre is named twice"],
        ),
        (
            "protocols.icmp = \"drop\"",
            &["`protocols`", "icmp has no policy here", "[limits.icmp]"],
        ),
        (
            "limits.icmp.errors = \"0/s\"",
            &["`limits.icmp.errors`", "`off`"],
        ),
        ("paths.state = \"x\"", &["`paths.state`", "absolute path"]),
        ("paths.bpf = \"/a/../b\"", &["`paths.bpf`", "without `..`"]),
        ("sanity = false", &["`sanity`", "table [sanity]"]),
        (
            "sanity.land = 0",
            &["`sanity.land`", "the number 0", "true or false"],
        ),
        (
            "limits.pressure = 20000",
            &["`limits.pressure`", "the number 20000", "\"20k/s\""],
        ),
        ("limits.pressure = \"x\"", &["is no rate", "\"0/s\""]),
        (
            "limits.source.syn = \"0/s\"",
            &["`limits.source.syn`", "\"0/s\"", "`off`"],
        ),
        ("limits.source = \"0/s\"", &["table [limits.source]"]),
        (
            "limits.source.bytes = \"200k/s\"",
            &["`limits.source.bytes`", "counts packets", "`100MB/s`"],
        ),
        (
            "limits.prefix.udp = \"1Gbit/s\"",
            &["`limits.prefix.udp`", "counts bytes", "`200/s`"],
        ),
        ("limits.prefix.ipv4 = 33", &["from 8 to 32"]),
        ("limits.prefix.ipv6 = 65", &["from 8 to 64"]),
        (
            "fragments.unknown = \"loose\"",
            &["\"pass\", \"limit\", \"drop\""],
        ),
        ("fragments.limit = \"1MB/s\"", &["counts bytes"]),
        (
            "tables.block = 0",
            &["`tables.block`", "the number 0", "from 1 to 16777216"],
        ),
        ("tables.block = -1", &["the number -1"]),
        ("tables.allow = 1.5", &["the number 1.5"]),
        ("tables.sources = 512", &["from 1024 to 16777216"]),
        (
            "tables.sources = 100000",
            &["100000 is no power of two: write 65536 or 131072"],
        ),
        ("tables.sources = 99999999999999999999", &["from 1024"]),
        (
            "samples.passed = \"no\"",
            &["`samples.passed`", "is no rate"],
        ),
        ("samples.dropped = \"0/s\"", &["the least is `1/s`"]),
        ("access.read_group = \"a b\"", &["cannot be a group"]),
        ("lifeline = 1", &["[[lifeline]]"]),
        ("lifeline = [1]", &["[[lifeline]]"]),
        ("[[lifeline]]\nport = 22", &["f.toml:1:1:", "from = "]),
        ("[[lifeline]]\nfrom = [\"::/0\"]", &["port = 22"]),
        (
            "[[lifeline]]\nfrom = []\nport = 0",
            &["f.toml:3:8:", "from 1 to 65535"],
        ),
        (
            "[[lifeline]]\nfrom = [\"x\"]\nport = 1",
            &["f.toml:2:9:", "\"x\" is no address"],
        ),
        (
            "[[lifeline]]\nfrom = []\nport = 1\nprotocol = \"icmp\"",
            &["`lifeline.protocol`", "\"tcp\", \"udp\""],
        ),
    ] {
        refused(text, &[says]);
    }
    let long = format!("paths.socket = \"/{}\"", "x".repeat(107));
    refused(&long, &[&["108 bytes", "at most 107"]]);
}

#[test]
fn lifelines_fit_the_kernel() {
    let table = |count: usize| {
        format!(
            "[[lifeline]]\nport = 22\nfrom = {:?}\n",
            vec!["192.0.2.1"; count]
        )
    };
    assert!(parse(&table(15)).is_ok());
    refused(&table(16), &[&["f.toml:1:1: ", "more than 15 prefixes"]]);
    refused(
        &(table(10) + &table(6) + &table(1)),
        &[&["f.toml:4:1: ", "more than 15"]],
    );
}

#[test]
fn a_rule_that_is_wrong_is_shown_by_line_and_column() {
    refused(
        "rules = [\n  \"drop udp dport 53\",\n  \"drop udp sprot 5\",\n  'pass icmp dport 5',\n]",
        &[
            &["3:13: `rules`", "\"sprot\"", "`sport`"],
            &["4:14: `rules`", "only TCP and UDP have ports"],
        ],
    );
    // Where the text is not what stands in the file, the string is pointed at.
    refused(
        "rules = [\"drop \\u0075dp sprot 5\"]",
        &[&["1:10: `rules`", "\"sprot\""]],
    );
    refused(
        "rules = [\"drop udp\", \"drop proto 17\"]",
        &[&["1:22:", "named twice"]],
    );
    refused("rules = \"drop udp\"", &[&["an array of rules"]]);
    refused("rules = [5]", &[&["write a string, as \"drop udp"]]);
    let limits: Vec<String> = (0..17)
        .map(|port| format!("\"limit 5/s udp dport {port}-99\""))
        .collect();
    refused(
        &format!("rules = [\"pass tcp\", {}]", limits.join(", ")),
        &[&["1:22: `rules`", "more than 16 rules"]],
    );
}

/// An administrator may send any text to be compared with the one in force, on the daemon's thread.
#[test]
fn no_depth_of_nesting_exhausts_the_stack() {
    const DEEP: usize = 30_000;
    for text in [
        format!("a = {}", "[".repeat(DEEP)),
        format!("a = {}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("a = {}", "{a=".repeat(DEEP)),
        format!("a = {}1{}", "{a=".repeat(DEEP), "}".repeat(DEEP)),
        format!("{}a = 1", "a.".repeat(DEEP)),
        format!("[{}a]", "a.".repeat(DEEP)),
        format!("[[{}a]]\nb = 1", "a.".repeat(DEEP)),
        format!("a = {{ {}a = 1 }}", "a.".repeat(DEEP)),
    ] {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn all_problems_are_told() {
    refused(
        "mode = 1\nfoo = 2\n[tables]\nblock = \"x\"\nallow = 0\n",
        &[
            &[":1:8:", "`mode`"],
            &[":2:1:", "foo"],
            &[":4:9:", "block"],
            &[":5:9:", "allow"],
        ],
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    refused(
        "mode = \"monitor\"\nmode = \"enforce\"\n",
        &[&["f.toml:2:1: not TOML: duplicate"]],
    );
    assert!(parse("a = \n[b\n").unwrap_err().contains("f.toml:1:"));
    assert!(parse("ä = é").unwrap_err().starts_with("f.toml:1:"));
}

#[test]
fn a_file_that_is_not_there_is_named_with_a_remedy() {
    let error = Config::load(Path::new("/nonexistent/f.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("/nonexistent/f.toml: "), "{error}");
    assert!(error.contains("--config"), "{error}");
}

/// A service to an address, with some more keys.
fn service(name: &str, to: &str, rest: &str) -> String {
    format!("[[service]]\nname = {name:?}\nto = [{to:?}]\nprotocol = \"tcp\"\n{rest}\n")
}

#[test]
fn a_service_that_is_not_whole_says_what_is_missing() {
    for (text, says) in [
        ("service = 1".to_owned(), &["[[service]]"][..]),
        ("[[service]]".to_owned(), &["f.toml:1:1:", "name = "]),
        ("[[service]]\nname = \"a\"".to_owned(), &["to = ["]),
        (
            "[[service]]\nname = \"a\"\nto = [\"::1\"]".to_owned(),
            &["protocol = \"tcp\""],
        ),
        (
            service("a.b", "::1", ""),
            &["f.toml:2:8:", "no name for a service"],
        ),
        (service("a", "x", ""), &["\"x\" is no address"]),
        (service("a", "::1", "port = 0"), &["from 1 to 65535"]),
        (
            service("a", "::1", "packets = \"1Gbit/s\""),
            &["`service.packets`", "counts bytes"],
        ),
        (
            service("a", "::1", "bytes = \"200k/s\""),
            &["`service.bytes`", "counts packets"],
        ),
        (
            service("a", "::1", "").replace("\"tcp\"", "\"sctp\""),
            &["\"tcp\", \"udp\"", "number up to 255"],
        ),
        (
            service("a", "::1", "port = 7").replace("\"tcp\"", "132"),
            &["leave `port` out"],
        ),
        (
            service("a", "::1", "").replace("\"::1\"", ""),
            &["`service.to`", "names no address"],
        ),
    ] {
        refused(&text, &[says]);
    }
}

#[test]
fn services_fit_the_kernel() {
    let scattered = "\"2001:db8:1::10\", \"2001:db8:2::10\", \"2001:db8:3::11\"";
    let text =
        service("a", "192.0.2.1", "") + &service("b", "::1", "").replace("\"::1\"", scattered);
    refused(
        &text,
        &[&["f.toml:6:1: `service`", "service 2", "several /64s"]],
    );
    // Each fits, and so do the rules; all of them together do not.
    let prefixes = |service: u32| -> String {
        let nets = (0..4000).map(|net| {
            let number = (service * 4000 + net) * 3;
            format!(
                "\"10.{}.{}.{}\"",
                number >> 16,
                number >> 8 & 255,
                number & 255
            )
        });
        nets.collect::<Vec<_>>().join(", ")
    };
    let text: String = (0..SERVICES_THAT_FILL)
        .map(|number| {
            let text = service(&format!("s{number}"), "::1", "");
            text.replace("\"::1\"", &prefixes(number))
        })
        .collect();
    refused(
        &text,
        &[&["f.toml:1:1: `service`", "more different conditions"]],
    );
}

/// So many services of 4000 addresses that lie apart are more than the table holds.
const SERVICES_THAT_FILL: u32 = 60;

#[test]
fn services_have_names_of_their_own_and_packets_of_their_own() {
    let a = service("a", "203.0.113.0/24", "");
    refused(
        &(a.clone() + &service("a", "192.0.2.1", "")),
        &[&["f.toml:6:1:", "two services are named \"a\""]],
    );
    refused(
        &(a.clone() + &service("b", "203.0.113.10", "port = 443")),
        &[&["f.toml:6:1:", "\"b\"", "\"a\" above takes them all"]],
    );
    let narrow_first = service("b", "203.0.113.10", "port = 443") + &a;
    assert_eq!(parse(&narrow_first).unwrap().services.len(), 2);
    let many: String = (0..65)
        .map(|last| service(&format!("s{last}"), &format!("192.0.2.{last}"), ""))
        .collect();
    refused(&many, &[&["f.toml:321:1:", "more than 64 services"]]);
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
