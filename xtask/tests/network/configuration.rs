//! Configurations that cannot be used: said where, and nothing changed.

use std::fs;

use xtask::lab::sandbox::hosts;

use crate::common::{Config, Protected};

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
fn an_unknown_interface_is_refused_with_those_there_are() {
    let p = Protected::unstarted(&Config::new("enforce").interfaces(&["srv0", "srv1"]));
    p.start_that_fails(&p.config_file())
        .ends(1)
        .says("there is no interface srv1; there are: lo, srv0");
    assert_eq!(p.program_on(hosts::SERVER.interface), None);
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
