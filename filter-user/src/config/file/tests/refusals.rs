//! What is wrong with a file is named, with its place and the remedy.

use super::*;

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
