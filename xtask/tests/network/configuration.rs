//! Configurations that cannot be used: said where, and nothing changed.

use std::fs;

use serde_json::Value;
use xtask::lab::sandbox::{Ns, hosts};

use crate::common::{Config, Protected, wait_until};

/// What is wrong with a text, and where: key, line and column, and what is said about it.
const BAD: [(&str, &str, &str); 6] = [
    (
        "interfaces = [\"srv0\"]\nmoed = \"enforce\"\n",
        ":2:1: ",
        "did you mean `mode`?",
    ),
    ("interfaces = \"srv0\"\n", ":1:14: ", "an array"),
    (
        "mode = 1\n",
        ":1:8: ",
        "the number 1 is not allowed: write one of \"monitor\", \"enforce\"",
    ),
    (
        "[limits.source]\nudp = \"0/s\"\n",
        ":2:7: ",
        "lets nothing pass",
    ),
    (
        "[limits.source]\n\n  ucp = \"10/s\"\n",
        ":3:3: ",
        "did you mean `udp`?",
    ),
    ("interfaces = [\"srv0\"\nmode = 3\n", ":", "not TOML"),
];

#[test]
fn a_bad_file_is_refused_with_the_place_and_the_nearest_name() {
    let p = Protected::unstarted(&Config::new("enforce"));
    let file = p.file("bad.toml");
    for (text, place, words) in BAD {
        fs::write(&file, text).unwrap();
        let place = format!("{}{place}", file.display());
        p.start_that_fails(&file).ends(1).says(&place).says(words);
        p.cli(&format!("config check {}", file.display()))
            .ends(1)
            .says(&place)
            .says(words);
    }
    assert_eq!(p.program_on(hosts::SERVER.interface), None);
    assert!(!p.pins().exists() && !p.state().exists());
}

#[test]
fn a_reload_of_a_bad_file_changes_nothing() {
    let p = Protected::enforcing();
    p.cli("block add 198.51.100.66").ends(0);
    let good = p.text(&Config::new("monitor"));
    let place = format!("{}:", p.config_file().display());
    for (text, _, words) in BAD {
        // The bad part comes first, or else it would stand in another table.
        let rest = good.replace("interfaces", "# ").replace("mode", "# ");
        fs::write(p.config_file(), format!("{text}\n{rest}")).unwrap();
        p.cli("reload").ends(1).says(&place).says(words);
        assert_eq!(p.status()["mode"], "enforce");
        assert!(!p.passes("198.51.100.66"));
    }
    fs::remove_file(p.config_file()).unwrap();
    p.cli("reload")
        .ends(1)
        .says("floodwall.toml")
        .says("No such file");
    assert_eq!(p.status()["mode"], "enforce");

    fs::write(p.config_file(), good).unwrap();
    p.cli("reload").ends(0).says("was read again");
    assert_eq!(p.status()["mode"], "monitor");
    assert!(p.passes("198.51.100.66"));
}

#[test]
fn a_missing_file_is_named() {
    let p = Protected::unstarted(&Config::new("enforce"));
    let file = p.file("none.toml");
    p.start_that_fails(&file)
        .ends(1)
        .says(&file.display().to_string())
        .says("--config");
    p.cli(&format!("config check {}", file.display())).ends(1);
}

#[test]
fn an_unknown_interface_that_was_typed_is_refused_with_those_there_are() {
    let p = Protected::unstarted(&Config::new("enforce"));
    p.cli(&format!(
        "run --config {} --interface srv0 --interface srv1",
        p.config_file().display()
    ))
    .ends(1)
    .says("there is no interface srv1; there are: lo, srv0");
    assert_eq!(p.program_on(hosts::SERVER.interface), None);
}

#[test]
fn an_interface_of_the_file_that_is_not_there_yet_is_waited_for() {
    let p = Protected::with(&Config::new("enforce").interfaces(&["srv0", "late0"]));
    assert!(p.program_on("srv0").is_some());
    p.cli("status")
        .ends(0)
        .says("NOT PROTECTED: late0")
        .says("there is no interface late0");
    assert!(p.log().contains("late0 is NOT protected"), "{}", p.log());
    ip(&p, "link add late0 type veth peer name late1");
    wait_until("the late one is protected", || {
        p.program_on("late0").is_some()
    });
    assert_eq!(p.status()["interfaces"][1]["problem"], Value::Null);
}

#[test]
fn the_interface_of_the_default_route_is_found_and_kept() {
    let mut p = Protected::unstarted(&Config::new("enforce"));
    let text = p.text(&Config::new("enforce"));
    let text = text.replace("interfaces = [\"srv0\"]", "interfaces = \"default-route\"");
    fs::write(p.config_file(), text).unwrap();
    p.start();
    assert!(p.program_on("srv0").is_some());
    p.cli("block add 198.51.100.66").ends(0);
    assert!(!p.passes("198.51.100.66"));

    // As after a boot: nothing is pinned, and there is no route yet.
    p.terminate();
    for family in ["-4", "-6"] {
        ip(&p, &format!("{family} route del default"));
    }
    fs::remove_dir_all(p.pins()).unwrap();
    p.start();
    assert!(p.program_on("srv0").is_some(), "{}", p.log());
    assert!(!p.passes("198.51.100.66"));
}

/// `ip` in the server's namespace.
fn ip(p: &Protected, line: &str) {
    let mut command = p.sandbox.command(Ns::Server, "ip");
    let output = command.args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_good_file_passes_the_check() {
    let p = Protected::unstarted(&Config::new("enforce"));
    let line = format!("config check {}", p.config_file().display());
    p.cli(&line).ends(0).says("is good");
    let good = p.json(&line);
    assert_eq!(good["mode"], "enforce");
    assert_eq!(good["interfaces"][0], "srv0");
}

#[test]
fn what_takes_a_restart_is_refused_by_reload() {
    let p = Protected::enforcing();
    for (lines, key) in [
        ("[tables]\nblock = 1000", "`tables`"),
        ("[access]\nread_group = \"daemon\"", "`access`"),
    ] {
        p.write_config(&Config::new("monitor").table(lines));
        p.cli("reload").ends(5).says(key).says("restart floodwall");
        assert_eq!(p.status()["mode"], "enforce");
    }
}
