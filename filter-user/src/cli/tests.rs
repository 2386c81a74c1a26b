//! What is understood, and what is not.

use clap::CommandFactory;

use super::*;

fn understood(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("floodwall").chain(line.split_whitespace()))
}

#[test]
fn the_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_design_is_understood() {
    for line in [
        "run --config /etc/floodwall.toml --interface eth0 --interface eth1 --mode enforce",
        "config check file.toml",
        "reload",
        "status",
        "status --json",
        "stats --watch",
        "top",
        "block add 192.0.2.1 2001:db8::/32 --for 1h --reason scan --dry-run --force",
        "block del 192.0.2.1/24",
        "block list --list feed --limit 5 --json",
        "block import feed.txt --list feed --for 7d --reason daily --dry-run --force",
        "block import -",
        "block flush --yes",
        "allow add 192.0.2.1 --for 90s",
        "allow del 192.0.2.1",
        "allow list",
        "allow import -",
        "limit show",
        "limit set source.syn 200/s --for 1h",
        "limit set source.syn 20k/s burst 400",
        "limit set source.syn off",
        "limit auto source.syn",
        "defence list",
        "defence set closed-ports on --for 1h --reason scan",
        "defence set cookies on --port 443 --port 80 --service web",
        "defence set icmp pressure",
        "defence auto cookies",
        "rule list",
        "rule add drop udp sport 123 length > 400",
        "rule add limit 5/s udp --for 1h --reason scan --before 7 --dry-run --force",
        "rule del 7 9 --dry-run",
        "mode",
        "mode monitor --for 1h",
        "mode enforce",
        "mode enforce blocked land",
        "why 192.0.2.1 --protocol udp --dport 53",
        "why ::1 --proto icmp",
        "events --follow --after 3",
        "samples --reason blocked --pcap out.pcap",
        "attach eth0",
        "detach",
        "detach eth0",
        "detach --once",
        "doctor eth0 --config f --bpf /sys/fs/bpf/x --socket /run/x",
    ] {
        assert!(
            understood(line).is_ok(),
            "{line}: {}",
            understood(line).unwrap_err()
        );
    }
}

#[test]
fn nonsense_is_a_usage_error() {
    for line in [
        "",
        "no-such-command",
        "block add",
        "block add nonsense",
        "block add 192.0.2.1/33",
        "block add 192.0.2.1 --for never",
        "block add 192.0.2.1 --for 0s",
        "block add 192.0.2.1 --unknown",
        "block import x --list a/b",
        "limit set source.sin 200/s",
        "limit auto nothing",
        "defence set cookie on",
        "defence set cookies always",
        "defence set cookies on --port 0",
        "defence auto all",
        "mode --for 1h",
        "mode loud",
        "why nobody",
        "why 192.0.2.1 --dport 65536",
        "attach a/b",
        "detach --once --for 1h",
        "events --limit 0",
    ] {
        let error = understood(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["--help", "--version", "block --help", "help mode"] {
        assert_eq!(understood(line).unwrap_err().exit_code(), 0, "{line}");
    }
}
