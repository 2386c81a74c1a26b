use super::*;

const WITHIN: Duration = Duration::from_secs(120);

fn tried(command: Command) -> Command {
    Command::Try {
        command: Box::new(command),
        within: WITHIN,
    }
}

fn block(texts: &[&str], seconds: Option<u64>) -> Command {
    Command::Add {
        list: Block,
        prefixes: prefixes(texts),
        duration: seconds.map(Duration::from_secs),
        reason: "a test".to_owned(),
        force: false,
    }
}

fn mode(mode: Mode) -> Command {
    Command::SetMode {
        mode,
        reasons: Vec::new(),
        duration: None,
    }
}

#[test]
fn a_change_on_trial_is_in_force_and_says_how_it_is_kept() {
    let mut host = Host::new();
    let outcome = host
        .run(tried(block(&["192.0.2.1/32"], None)))
        .expect("done");
    assert_eq!(outcome.added, 1);
    let last = outcome.notes.last().expect("a note");
    assert_eq!(
        last,
        "this is taken back at 09:02:00 UTC, in 2m, unless you say `floodwall confirm`"
    );
    assert!(host.state.list(Block).manual.len() == 1 && host.state.trial.is_some());
    host.run(Command::Confirm).expect("kept");
    assert!(host.state.list(Block).manual.len() == 1 && host.state.trial.is_none());
    let refusal = host.run(Command::Confirm).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::NotFound);
}

#[test]
fn what_waits_for_confirmation_is_undone_as_one() {
    let mut host = Host::new();
    host.add(Block, &["192.0.2.1/32"]).expect("added");
    let original = host.state.clone();
    host.run(tried(block(&["192.0.2.2/32"], None)))
        .expect("done");
    host.now += 60.seconds();
    let removal = Command::Remove {
        list: Block,
        prefixes: prefixes(&["192.0.2.1/32", "192.0.2.2/32"]),
    };
    let outcome = host.run(tried(removal)).expect("done");
    let last = outcome.notes.last().expect("a note");
    assert!(
        last.starts_with(
            "this and what waited for confirmation before it are taken back at 09:03:00"
        )
    );
    assert!(host.state.list(Block).manual.is_empty());
    host.run(Command::Undo).expect("undone");
    assert_eq!(host.state, original);
}

#[test]
fn nothing_else_is_changed_while_something_waits() {
    let mut host = Host::new();
    host.run(tried(block(&["192.0.2.1/32"], None)))
        .expect("done");
    for command in [
        block(&["192.0.2.9/32"], None),
        mode(Mode::Enforce),
        Command::Reload,
        Command::Attach {
            interface: "eth0".to_owned(),
        },
    ] {
        let refusal = host.run(command).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Refused);
        assert!(
            refusal.message.starts_with(
                "a change waits for confirmation until 09:02:00 UTC (by uid 1000: 192.0.2.1/32 on \
                 the blocklist): `floodwall confirm`"
            ),
            "{refusal}"
        );
    }
    // floodwall itself goes on, and so does what makes things safer.
    let hold = Command::Hold {
        defence: filter_common::abi::defence::Defence::Icmp,
        ports: Vec::new(),
        duration: Duration::from_secs(30),
        reason: "a test".to_owned(),
    };
    host.run_by(&Actor::Controller, hold).expect("held");
    host.run(Command::Detach {
        interface: None,
        duration: None,
    })
    .expect("detached");
}

#[test]
fn monitor_mode_outlasts_what_waits() {
    let mut host = Host::new();
    host.config.mode = Mode::Monitor;
    host.run(tried(mode(Mode::Enforce))).expect("done");
    host.run(tried(block(&["192.0.2.1/32"], None)))
        .expect("done");
    host.run(Command::SetMode {
        mode: Mode::Monitor,
        reasons: Vec::new(),
        duration: Some(Duration::from_secs(3600)),
    })
    .expect("monitor mode");
    let monitor = host.state.mode.clone();
    assert!(host.state.trial.is_some());
    host.run(Command::Undo).expect("undone");
    assert!(host.state.list(Block).manual.is_empty());
    assert_eq!(host.state.mode, monitor);
}

#[test]
fn what_cannot_be_tried_is_refused_with_the_way_out() {
    let mut host = Host::new();
    host.import("feed", &["192.0.2.0/24"]).expect("imported");
    let import = Command::Import {
        list: Block,
        name: "feed".to_owned(),
        prefixes: prefixes(&["192.0.2.1/32"]).into(),
        duration: None,
        reason: String::new(),
        force: false,
    };
    for (command, word) in [
        (import, "`--for`"),
        (
            Command::Flush { list: Block },
            "imported lists are among this",
        ),
        (
            Command::Attach {
                interface: "eth0".to_owned(),
            },
            "floodwall mode enforce --confirm 120s",
        ),
        (
            Command::Detach {
                interface: None,
                duration: None,
            },
            "cuts nobody off",
        ),
        (mode(Mode::Monitor), "cuts nobody off"),
        (
            block(&["198.51.100.1/32"], Some(120)),
            "ends by itself before",
        ),
    ] {
        let before = host.state.clone();
        let refusal = host.run(tried(command)).unwrap_err();
        assert!(refusal.message.contains(word), "{refusal}");
        assert_eq!(host.state, before);
    }
    host.run(tried(block(&["198.51.100.1/32"], Some(121))))
        .expect("it outlasts the trial");
    let too_long = Command::Try {
        command: Box::new(block(&["198.51.100.2/32"], None)),
        within: Duration::from_secs(3601),
    };
    assert_eq!(host.run(too_long).unwrap_err().kind, ErrorKind::Invalid);
    let controllers = tried(Command::Release {
        defence: filter_common::abi::defence::Defence::Icmp,
    });
    assert!(host.run_by(&Actor::Controller, controllers).is_err());
}

#[test]
fn an_undo_without_a_trial_takes_the_last_change_back() {
    let mut host = Host::new();
    let nothing = host.run(Command::Undo).unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::NotFound);
    let command = block(&["192.0.2.1/32"], Some(60));
    let decision = decide(host.situation(), &OPERATOR, &command).expect("decided");
    let inverse = crate::core::trial::Inverse::of(&decision.changes, &host.state);
    let last = Last {
        text: decision.event.1.clone(),
        inverse: Ok(inverse),
    };
    let original = host.state.clone();
    host.run(command).expect("added");
    host.last = Some(last.clone());
    let outcome = host.run(Command::Undo).expect("undone");
    assert!(outcome.notes[0].starts_with("taken back: 192.0.2.1/32 on the blocklist"));
    assert_eq!(host.state, original);
    host.last = Some(Last {
        inverse: Err("do this".to_owned()),
        ..last
    });
    let refusal = host.run(Command::Undo).unwrap_err();
    assert!(refusal.message.ends_with("`undo`: do this"), "{refusal}");
}
