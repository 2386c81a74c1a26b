//! The binary itself: what it prints, and how it exits.

use std::{
    io::Write,
    process::{Command as Process, Output, Stdio},
    time::Duration,
};

use filter_user::{api::types::*, core::command::Command, core::refusal::Refusal};
use serde_json::Value;

use crate::lab::{As, Lab, event};

fn floodwall(lab: &Lab, line: &str) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_floodwall"));
    process
        .args(line.split_whitespace())
        .args(["--bpf", "/nonexistent/floodwall"])
        .env("FLOODWALL_SOCKET", &lab.socket)
        .env_remove("NO_COLOR")
        .current_dir(lab.folder.path())
        .stdin(Stdio::null());
    process
}

fn run(lab: &Lab, line: &str) -> Output {
    floodwall(lab, line).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn with_stdin(lab: &Lab, line: &str, input: &[u8]) -> Output {
    let mut process = floodwall(lab, line);
    process
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = process.spawn().unwrap();
    // It may have read enough.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn who_may_not_import_is_told_however_long_the_list_is() {
    let lab = Lab::new(As::Reader);
    for lines in [1, 500_000] {
        let list = "192.0.2.1\n".repeat(lines);
        std::fs::write(lab.folder.path().join("feed.txt"), list).unwrap();
        let output = run(&lab, "block import feed.txt");
        assert_eq!(code(&output), 4, "{}", err(&output));
        assert!(err(&output).contains("may not change"), "{}", err(&output));
    }
    assert!(lab.notes().is_empty());
}

#[test]
fn what_looks_prints_text_or_nothing_but_json() {
    let lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().events = vec![event(1)];
    for (line, words) in [
        ("status", "MONITOR: nothing is dropped"),
        ("stats", "received"),
        ("limit show", "20000/s"),
        ("defence list", "HOLDS"),
        ("rule list", "drop udp sport 123"),
        ("service list", "OVERLOADED, 1,250/s each"),
        ("mode", "MONITOR"),
        ("why 192.0.2.1 --protocol udp --dport 53", "PASSES"),
        ("events", "event 1"),
        ("samples --reason blocked", "a packet"),
        ("incident list", "3  2026-01-02 03:04:05Z  39s"),
        ("incident list --before 2 --limit 1", "1  2026-01-02"),
        (
            "incident show 3",
            "Incident 3: SYN flood at this host (over)",
        ),
        ("block list", "No entry."),
        ("allow list", "No entry."),
    ] {
        let output = run(&lab, line);
        assert_eq!(code(&output), 0, "{line}: {output:?}");
        assert!(out(&output).contains(words), "{line}: {output:?}");
        assert!(!out(&output).contains('\x1b'), "{line}: {output:?}");
        let output = run(&lab, &format!("{line} --json"));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["schema"], 1, "{line}");
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
    }
}

#[test]
fn an_incident_is_shown_with_all_of_its_seconds() {
    let lab = Lab::new(As::Reader);
    let output = run(&lab, "incident show 3 --json");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    // To a minute behind its end.
    assert_eq!(value["seconds"].as_array().unwrap().len(), 100);
    assert_eq!(value["next"], Value::Null);
    assert_eq!(value["incident"]["vectors"][0]["vector"], "syn");
    let output = run(&lab, "incident show 4");
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(err(&output).contains("no incident 4"), "{output:?}");
    assert_eq!(code(&run(&lab, "incident show x")), 2);
    assert_eq!(code(&run(&lab, "incident")), 2);
}

#[test]
fn what_changes_reaches_the_daemon() {
    let lab = Lab::new(As::Admin);
    for line in [
        "block add 192.0.2.1 --for 1h --reason scan",
        "block del 192.0.2.1",
        "block flush --yes",
        "allow add 192.0.2.1",
        "allow del 192.0.2.1",
        "limit set source.syn 20k/s burst 400",
        "limit set service.web.bytes 1Gbit/s burst 250MB",
        "limit auto source.syn",
        "defence set closed-ports on --for 1h --reason scan",
        "defence set cookies on --port 443 --service web",
        "defence auto sockets",
        "rule add drop udp sport 123 length > 400 --for 1h",
        "rule del 7",
        "mode monitor",
        "mode enforce blocked",
        "reload",
        "attach eth0",
        "detach eth0",
        "detach",
    ] {
        let before = lab.notes().len();
        let output = run(&lab, line);
        assert_eq!(code(&output), 0, "{line}: {output:?}");
        assert_eq!(out(&output), "noted\n", "{line}");
        assert_eq!(lab.notes().len(), before + 1, "{line}");
    }
}

#[test]
fn every_page_of_a_long_list_is_printed() {
    let lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().entries = 25_000;
    let output = run(&lab, "block list");
    assert_eq!(out(&output).lines().count(), 25_001);
    let page: EntryPage = serde_json::from_slice(&run(&lab, "block list --json").stdout).unwrap();
    assert_eq!(
        (page.entries.len(), page.total, page.next),
        (25_000, 25_000, None)
    );
    let output = run(&lab, "block list --limit 3");
    assert_eq!(out(&output).lines().count(), 5);
    let page = run(&lab, "block list --json --limit 10001");
    let page: EntryPage = serde_json::from_slice(&page.stdout).unwrap();
    assert_eq!(page.entries.len(), 10_001);
    lab.book.lock().unwrap().entries = 0;
    let page: EntryPage = serde_json::from_slice(&run(&lab, "block list --json").stdout).unwrap();
    assert!(page.entries.is_empty());
}

#[test]
fn a_refusal_is_exit_5_and_told_on_stderr_or_as_json() {
    let lab = Lab::new(As::Admin);
    for (kind, expected) in [
        (ErrorKind::Failed, 1),
        (ErrorKind::NotFound, 1),
        (ErrorKind::Invalid, 2),
        (ErrorKind::NotPermitted, 4),
        (ErrorKind::Refused, 5),
    ] {
        let refusal = || {
            Some(Refusal {
                kind,
                message: "be\u{1b}cause".to_owned(),
            })
        };
        lab.book.lock().unwrap().refuse = refusal();
        let output = run(&lab, "block add 192.0.2.1");
        assert_eq!(code(&output), expected);
        assert_eq!(out(&output), "");
        assert_eq!(err(&output), "floodwall: be\\u{1b}cause\n");
        lab.book.lock().unwrap().refuse = refusal();
        let output = run(&lab, "block add 192.0.2.1 --json");
        assert_eq!(code(&output), expected);
        let body: ErrorBody = serde_json::from_slice(&output.stdout).unwrap();
        let said = (body.error, body.message.as_str());
        assert_eq!(said, (kind, "be\\u{1b}cause"));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_usage_error_is_exit_2_even_without_a_daemon() {
    let lab = Lab::new(As::Admin);
    for line in [
        "block add nonsense",
        "mode loud",
        "limit set source.syn fast",
        "defence set cookies perhaps",
        "defence set sokcets on",
        "limit set source.bytes 200k/s",
        "limit set prefix.udp 100MB/s",
        "block flush",
    ] {
        let output = floodwall(&lab, line)
            .env("FLOODWALL_SOCKET", "/nonexistent")
            .output()
            .unwrap();
        assert_eq!(code(&output), 2, "{line}: {output:?}");
        assert!(!err(&output).is_empty());
        let json = floodwall(&lab, &format!("{line} --json"))
            .env("FLOODWALL_SOCKET", "/nonexistent")
            .output()
            .unwrap();
        assert_eq!(code(&json), 2, "{line}");
        let body: ErrorBody = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(body.error, ErrorKind::Invalid);
    }
    assert!(lab.notes().is_empty());
}

#[test]
fn no_daemon_is_exit_3_with_the_remedy() {
    let mut lab = Lab::new(As::Admin);
    lab.stop();
    let socket = lab.socket.display().to_string();
    for line in [
        "stats",
        "block list",
        "block add ::1",
        "mode enforce",
        "reload",
        "events --follow",
    ] {
        let output = run(&lab, line);
        assert_eq!(code(&output), 3, "{line}: {output:?}");
        let told = err(&output);
        assert!(
            told.contains(&format!("no daemon listens on {socket}")),
            "{line}: {told}"
        );
        assert!(
            told.contains("floodwall run --config FILE"),
            "{line}: {told}"
        );
        assert!(told.contains("--socket"), "{line}: {told}");
        let output = run(&lab, &format!("{line} --json"));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"], "no_daemon", "{line}");
    }
}

#[test]
fn a_reader_who_changes_something_is_exit_4() {
    let lab = Lab::new(As::Reader);
    let output = run(&lab, "block add ::1");
    assert_eq!(code(&output), 4);
    assert!(err(&output).contains("usermod -aG"), "{output:?}");
    std::fs::write(
        lab.folder.path().join("feed.txt"),
        "192.0.2.1\n".repeat(300_000),
    )
    .unwrap();
    let output = run(&lab, "block import feed.txt");
    assert_eq!(code(&output), 4, "{output:?}");
}

#[test]
fn a_file_is_streamed_under_its_own_name() {
    let lab = Lab::new(As::Admin);
    std::fs::write(
        lab.folder.path().join("My Feed.txt"),
        "# x\r\n192.0.2.1\r\n::/64\n",
    )
    .unwrap();
    let mut process = floodwall(&lab, "block import --for 1h --reason daily");
    let output = process.arg("My Feed.txt").output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let output = with_stdin(&lab, "allow import - --dry-run", b"192.0.2.1");
    assert_eq!(code(&output), 0, "{output:?}");
    let notes = lab.notes();
    let name = |index: usize| {
        let command = &notes[index].command;
        let Command::Import {
            name,
            prefixes,
            duration,
            reason,
            ..
        } = command
        else {
            panic!("{command:?}");
        };
        (name.clone(), prefixes.len(), *duration, reason.clone())
    };
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(name(0), ("my-feed".to_owned(), 2, hour, "daily".to_owned()));
    assert_eq!(name(1), ("stdin".to_owned(), 1, None, String::new()));
    assert!(notes[1].dry_run);
}

#[test]
fn a_bad_list_is_told_by_line_and_file_and_changes_nothing() {
    let lab = Lab::new(As::Admin);
    // So long that the daemon finds the error while most of it has not been sent.
    let text = format!("192.0.2.1\nrubbish\n{}", "# comment\n".repeat(1_000_000));
    std::fs::write(lab.folder.path().join("feed.txt"), text).unwrap();
    let output = run(&lab, "block import feed.txt");
    assert_eq!(code(&output), 2, "{output:?}");
    for words in ["line 2", "rubbish", "feed.txt"] {
        assert!(err(&output).contains(words), "{output:?}");
    }
    let output = run(&lab, "block import missing.txt");
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("missing.txt"), "{output:?}");
    std::fs::create_dir(lab.folder.path().join("folder")).unwrap();
    let output = run(&lab, "block import folder");
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("is a folder"), "{output:?}");
    assert!(lab.notes().is_empty());
}

#[test]
fn a_flush_without_a_terminal_demands_yes() {
    let lab = Lab::new(As::Admin);
    let output = with_stdin(&lab, "block flush", b"y\n");
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("block flush --yes"), "{output:?}");
    assert!(lab.notes().is_empty());
}

#[test]
fn samples_are_saved_for_other_tools() {
    let lab = Lab::new(As::Reader);
    let output = run(&lab, "samples --pcap out.pcap");
    assert_eq!(code(&output), 0, "{output:?}");
    let bytes = std::fs::read(lab.folder.path().join("out.pcap")).unwrap();
    assert_eq!(bytes.len(), 24 + 16 + 2);
    let output = run(&lab, "samples --pcap no/such/folder.pcap");
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("no/such/folder.pcap"), "{output:?}");
}

#[test]
fn following_prints_events_until_the_daemon_goes() {
    let mut lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().events = vec![event(1)];
    let mut process = floodwall(&lab, "events --follow --json");
    let child = process
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    lab.handle.publish(event(2));
    std::thread::sleep(Duration::from_millis(500));
    lab.stop();
    let output = child.wait_with_output().unwrap();
    let ids: Vec<_> = out(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|value| value.get("id").and_then(Value::as_i64))
        .take(2)
        .collect();
    assert_eq!(ids, [Some(1), Some(2)], "{output:?}");
    assert_eq!(code(&output), 3, "{output:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().entries = 50_000;
    let mut process = floodwall(&lab, "block list");
    let mut child = process
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(err(&output), "");
}

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let lab = Lab::new(As::Reader);
    let file = lab.folder.path().join("f.toml");
    std::fs::write(&file, "interfaces = [\"eth0\"]\n").unwrap();
    let output = run(&lab, "config check f.toml");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(
        out(&output),
        "f.toml is good\nmode: monitor; interfaces: eth0\n"
    );
    std::fs::write(&file, "\ninterfases = [\"eth0\"]\n").unwrap();
    let output = run(&lab, "config check f.toml");
    assert_eq!(code(&output), 1, "{output:?}");
    for words in ["f.toml", "2", "interfases", "interfaces"] {
        assert!(err(&output).contains(words), "{words}: {output:?}");
    }
    // Named with --config it is an error for every command, so that nobody talks to the wrong one.
    let output = run(&lab, "status --config f.toml");
    assert_eq!(code(&output), 1, "{output:?}");
}

#[test]
fn a_daemon_that_hangs_is_not_waited_for_when_it_is_urgent() {
    let lab = Lab::new(As::Root);
    let silent = lab.folder.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    for line in ["status", "mode monitor", "detach eth0"] {
        let output = floodwall(&lab, line)
            .env("FLOODWALL_SOCKET", &silent)
            .output()
            .unwrap();
        assert_eq!(code(&output), 3, "{line}: {output:?}");
        // Nothing is pinned where this test looks, and it says so.
        for words in ["has not answered within 5 seconds", "without it: "] {
            assert!(err(&output).contains(words), "{line}: {output:?}");
        }
    }
}

#[test]
fn a_rule_that_is_not_understood_is_pointed_at() {
    let lab = Lab::new(As::Admin);
    let output = run(&lab, "rule add drop udp sprot 123");
    assert_eq!(code(&output), 2, "{output:?}");
    let expected = "\
floodwall: \"sprot\" is no word of a rule: did you mean `sport`?
  drop udp sprot 123
           ^^^^^
";
    assert_eq!(err(&output), expected);
    assert!(lab.notes().is_empty(), "nobody was asked");
    let output = run(&lab, "rule del seven");
    assert_eq!(code(&output), 2, "{output:?}");
}
