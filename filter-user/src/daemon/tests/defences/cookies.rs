//! SYN cookies, and the setting of the kernel that is changed for them.

use super::*;

#[test]
fn cookies_are_switched_in_order() {
    let host = host("defences.sockets = \"off\"");
    let mut daemon = host.protecting();
    assert!(!daemon.answers());
    daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect("on");
    assert!(daemon.answers());
    assert_eq!(host.syncookies(), [1, 2]);
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80, 443]));
    assert_eq!(daemon.plane.stamps_cleared, 1);
    let kept = syncookies::read(&host.state()).expect("a file");
    assert_eq!(kept.map(|kept| kept.value), Some(1));
    assert_eq!(daemon.shown(Defence::Cookies).ports, [80, 443]);

    // Off: the answers first, the kernel's setting two minutes later.
    daemon
        .set_defence(Defence::Cookies, DefenceMode::Off)
        .expect("off");
    assert!(
        daemon.answers(),
        "what was switched on a moment ago stays a while"
    );
    daemon.tend_at(Duration::from_secs(11));
    assert!(!daemon.answers());
    daemon.shrink_program();
    let features = daemon.plane.features.last().expect("a program");
    assert_ne!(
        features & Feature::Cookies.bit(),
        0,
        "cookies are still accepted"
    );
    daemon.tend_at(Duration::from_secs(100));
    assert_eq!(host.syncookies(), [1, 2]);
    daemon.tend_at(Duration::from_secs(140));
    assert_eq!(host.syncookies(), [1, 2, 1]);
    assert_eq!(syncookies::read(&host.state()).expect("no file"), None);
    daemon.shrink_program();
    let features = daemon.plane.features.last().expect("a program");
    assert_eq!(features & Feature::Cookies.bit(), 0);
}

#[test]
fn monitor_mode_leaves_the_kernel_as_it_is() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    assert_eq!(host.syncookies(), [1, 2]);
    let set_mode = |daemon: &mut Daemon<Fake>, mode| {
        daemon
            .run(Command::SetMode {
                mode,
                reasons: Vec::new(),
                duration: None,
            })
            .expect("set");
    };
    set_mode(&mut daemon, Mode::Monitor);
    daemon.tend_at(Duration::from_secs(1));
    assert!(matches!(daemon.terrain.switch, Switch::Draining(_)));
    daemon.tend_at(Duration::from_secs(130));
    assert_eq!(host.syncookies(), [1, 2, 1]);
    assert!(daemon.answers(), "what would be answered is counted");
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80, 443]));
    let shown = daemon.shown(Defence::Cookies);
    assert!(shown.notes[0].contains("only watched"), "{shown:?}");

    // Nothing is answered before all is ready.
    set_mode(&mut daemon, Mode::Enforce);
    assert!(!daemon.answers());
    daemon.tend_at(Duration::from_secs(131));
    assert!(daemon.answers());
    assert_eq!(host.syncookies(), [1, 2, 1, 2]);
}

#[test]
fn the_ceiling_of_answers_is_divided_among_those_that_receive() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    let mut interval = |queues| {
        let mut scene = host.surroundings.scene();
        (scene.network.online, scene.queues) = (8, queues);
        drop(scene);
        daemon.tend_at(Duration::from_secs(1));
        daemon.plane.settings.cookies.answers.interval
    };
    let whole = interval(Some(1));
    let mut parts = |queues| (interval(queues) + whole / 2) / whole;
    assert_eq!(parts(Some(2)), 2);
    assert_eq!(parts(Some(64)), 8, "no more than run");
    assert_eq!(parts(None), 8);
}

#[test]
fn where_the_setting_cannot_be_written_nothing_is_answered() {
    let host = host("");
    host.surroundings.scene().network.fixed_syncookies =
        Some("/proc/sys is read-only: mend it so".to_owned());
    let mut daemon = host.protecting();
    let refusal = daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect_err("refused");
    assert!(refusal.message.contains("mend it so"), "{refusal}");
    drop(daemon);

    // Nor where it only turns out when it is tried.
    let host = super::defences::host("defences.cookies = \"on\"");
    host.surroundings.scene().is_fixed = true;
    let daemon = host.protecting();
    assert!(!daemon.answers());
    assert!(
        daemon.troubles["syncookies"].contains("tcp_syncookies"),
        "{:?}",
        daemon.troubles
    );
}

#[test]
fn cards_that_hide_tags_get_no_answers() {
    let host = host("defences.cookies = \"on\"");
    let mut scene = host.surroundings.scene();
    scene.hides_tags = true;
    scene.links.push(Link {
        kind: Some("vlan".to_owned()),
        below: Some(2),
        ..link(5, "eth0.7")
    });
    drop(scene);
    let mut daemon = host.protecting();
    assert!(!daemon.answers());
    let shown = daemon.shown(Defence::Cookies);
    assert!(shown.notes[0].contains("rxvlan off"), "{shown:?}");
    host.surroundings.scene().hides_tags = false;
    daemon.tend_at(Duration::from_secs(1));
    assert!(daemon.answers());
}

#[test]
fn a_setting_that_somebody_changes_is_set_again_and_comes_back_as_theirs() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    host.surroundings.scene().syncookies.push(0);
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(host.syncookies(), [1, 2, 0, 2]);
    let kept = syncookies::read(&host.state()).expect("a file");
    assert_eq!(kept.map(|kept| kept.value), Some(0));
}

/// Takes a round of the daemon while nothing can be written to a folder in place of its state.
fn tend_where_nothing_is_written(daemon: &mut Daemon<Fake>, folder: &Path, later: Duration) {
    let state = std::mem::replace(&mut daemon.config.paths.state, folder.to_owned());
    let nobody = nix::unistd::Uid::from_raw(65_534);
    let before = nix::unistd::setfsuid(nobody);
    daemon.tend_at(later);
    nix::unistd::setfsuid(before);
    daemon.config.paths.state = state;
}

#[test]
fn a_full_disk_does_not_end_cookies_whose_setting_is_kept() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    let full = host.folder.path().join("full");
    fs::create_dir(&full).expect("a folder");
    let [kept, copy] = [host.state(), full.clone()].map(|it| it.join("tcp_syncookies.json"));
    fs::copy(kept, &copy).expect("a copy");
    for (path, mode) in [
        (host.folder.path(), 0o755),
        (&full, 0o555),
        (copy.as_path(), 0o644),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    host.surroundings.scene().syncookies.push(0);
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(1));
    assert_eq!(host.syncookies(), [1, 2, 0, 2]);
    assert!(daemon.answers());
    let trouble = &daemon.troubles["keeping syncookies"];
    assert!(trouble.contains("will be 1 again"), "{trouble}");
}

#[test]
fn a_full_disk_does_not_keep_cookies_from_beginning() {
    let host = host("");
    let mut daemon = host.protecting();
    let full = host.folder.path().join("full");
    fs::create_dir(&full).expect("a folder");
    for (path, mode) in [(host.folder.path(), 0o755), (&full, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let set = |mode| crate::core::state::Set {
        value: mode,
        by: "a test".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        until: None,
    };
    let on = set(DefenceMode::On);
    daemon.state.defences.insert(Defence::Cookies, on.clone());
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(1));
    assert_eq!(host.syncookies(), [1, 2]);
    assert!(daemon.answers());
    let trouble = daemon.troubles["keeping syncookies"].clone();
    assert!(trouble.contains("was 1"), "{trouble}");
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(2));
    assert_eq!(daemon.troubles["keeping syncookies"], trouble, "said once");

    // It comes back though nothing was written.
    let off = set(DefenceMode::Off);
    daemon.state.defences.insert(Defence::Cookies, off);
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(30));
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(200));
    assert_eq!(host.syncookies(), [1, 2, 1]);

    // And what there is room for again outlives a crash.
    daemon.state.defences.insert(Defence::Cookies, on);
    tend_where_nothing_is_written(&mut daemon, &full, Duration::from_secs(210));
    assert_eq!(syncookies::read(&host.state()).expect("no file"), None);
    daemon.tend_at(Duration::from_secs(211));
    let kept = syncookies::read(&host.state()).expect("a file");
    assert_eq!(kept.map(|kept| kept.value), Some(1));
    assert!(!daemon.troubles.contains_key("keeping syncookies"));
}

#[test]
fn a_disk_that_hangs_leaves_no_setting_changed_and_nothing_behind() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    let [old, new] = [0, 1].map(|value| syncookies::Kept::new(value, 7));
    let (writing, done) = syncookies::Writing::hanging(old);
    daemon.terrain.writing = Some(writing);
    daemon.terrain.unkept = Some(new);
    daemon.terrain.switch = Switch::Draining(clock::monotonic());
    daemon.end_draining();
    assert_eq!(host.syncookies(), [1, 2, 1], "from memory");
    assert!(daemon.terrain.writing.is_some());
    done.send(Ok(())).expect("a receiver");
    daemon.end_draining();
    assert_eq!(host.syncookies(), [1, 2, 1, 1]);
    assert_eq!(syncookies::read(&host.state()).expect("no file"), None);
}

#[test]
fn a_setting_that_changes_while_the_disk_hangs_is_the_one_that_comes_back() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    let netns = daemon.terrain.network.netns;
    let (writing, done) = syncookies::Writing::hanging(syncookies::Kept::new(1, netns));
    daemon.terrain.writing = Some(writing);
    host.surroundings.scene().syncookies.push(0);
    daemon.tend_at(Duration::from_secs(1));
    assert_eq!(host.syncookies(), [1, 2, 0, 2]);
    let trouble = daemon.troubles["keeping syncookies"].clone();
    assert!(
        trouble.contains("was 0") && trouble.contains("slow"),
        "{trouble}"
    );
    let kept = || {
        let kept = syncookies::read(&host.state()).expect("a file");
        kept.map(|kept| kept.value)
    };
    assert_eq!(kept(), Some(1));
    // The later one is written behind the earlier one, however slow the disk still is.
    done.send(Ok(())).expect("a receiver");
    for second in 2..100 {
        daemon.tend_at(Duration::from_secs(second));
        if !daemon.troubles.contains_key("keeping syncookies") {
            break;
        }
    }
    assert!(!daemon.troubles.contains_key("keeping syncookies"));
    assert_eq!(kept(), Some(0));
}

#[test]
fn a_crash_while_cookies_are_on_loses_nothing() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect("on");
    // They are still wanted: they go on, and what is kept stays.
    let daemon = host.again(daemon);
    assert!(daemon.answers());
    assert_eq!(host.syncookies(), [1, 2]);
    // They are not: whoever was answered has two minutes.
    let mut daemon = daemon;
    let _ = daemon.state.apply(Change::Defence(Defence::Cookies, None));
    daemon
        .store
        .write(&[Change::Defence(Defence::Cookies, None)])
        .expect("written");
    let mut daemon = host.again(daemon);
    assert!(!daemon.answers());
    assert_eq!(host.syncookies(), [1, 2]);
    daemon.protect().expect("protected");
    daemon.tend_at(Duration::from_secs(130));
    assert_eq!(host.syncookies(), [1, 2, 1]);
}

#[test]
fn what_a_dead_daemon_left_changed_is_put_back_if_nothing_is_answered() {
    let host = host("");
    fs::create_dir_all(host.state()).expect("a folder");
    syncookies::write(&host.state(), &syncookies::Kept::new(0, 7)).expect("kept");
    host.surroundings.scene().syncookies.push(2);
    let daemon = host.first();
    assert_eq!(host.syncookies(), [1, 2, 0]);
    assert_eq!(syncookies::read(&host.state()).expect("no file"), None);
    drop(daemon);
    // Another network namespace's is not this daemon's to mend.
    syncookies::write(&host.state(), &syncookies::Kept::new(0, 8)).expect("kept");
    let _daemon = host.first();
    assert_eq!(host.syncookies(), [1, 2, 0]);
}

#[test]
fn a_setting_that_was_lost_is_told_and_nothing_else_is_doubted() {
    let host = host("");
    let daemon = host.protecting();
    let mut fake = stop(daemon);
    fs::write(host.state().join("tcp_syncookies.json"), "{").expect("damaged");
    // Nobody knows of these, and the file says what is enforced.
    let entry = key(&prefix("192.0.2.9/32"));
    let blocked = fake.lists.entry(ListId::Block).or_default();
    blocked.insert(entry, EntryValue::default());
    fake.settings.enforced = 0;
    let mut daemon = host.start(fake, true);
    let [loss] = daemon.losses.as_slice() else {
        panic!("{:?}", daemon.losses);
    };
    assert!(loss.contains("tcp_syncookies"), "{loss}");
    assert_eq!(daemon.entries_of(Block), vec![]);
    assert!(daemon.state.mode.is_none());
    assert_ne!(daemon.plane.settings.enforced, 0);
}

#[test]
fn a_daemon_that_stops_leaves_no_setting_changed_for_nothing() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect("on");
    daemon.end_draining();
    assert_eq!(host.syncookies(), [1, 2], "the filter goes on answering");
    daemon
        .set_defence(Defence::Cookies, DefenceMode::Off)
        .expect("off");
    daemon.tend_at(Duration::from_secs(11));
    assert!(!daemon.answers());
    daemon.end_draining();
    assert_eq!(host.syncookies(), [1, 2, 1]);
}

#[test]
fn where_no_interface_is_protected_the_setting_goes_back() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    assert!(daemon.answers());
    daemon
        .run(Command::Detach {
            interface: None,
            duration: None,
        })
        .expect("detached");
    daemon.tend_at(Duration::from_secs(1));
    assert!(!daemon.answers());
    daemon.tend_at(Duration::from_secs(130));
    assert_eq!(host.syncookies(), [1, 2, 1]);
}

#[test]
fn cookies_of_which_no_connection_comes_go_off_at_that_port() {
    let host = host("defences.cookies = \"on\"");
    let mut daemon = host.protecting();
    let handshakes = |daemon: &mut Daemon<Fake>, second, port: u16, accepted, completed| {
        let cookies = CookiePort {
            accepted,
            completed,
            // Another source each time.
            sources: (1_u64 << second) - 1,
            ..CookiePort::default()
        };
        daemon.plane.cookie_ports.insert(port, cookies);
        daemon.tend_at(Duration::from_secs(second));
    };
    for second in 1..6 {
        handshakes(&mut daemon, second, 80, second * 10, second * 10);
    }
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80, 443]));
    for second in 6..10 {
        handshakes(&mut daemon, second, 443, second * 10, 0);
    }
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80]));
    assert!(daemon.answers());
    let (events, _) = daemon.store.events(None, 1).expect("events");
    assert_eq!(events[0].kind, "cookies.failed");
    let status = daemon.status().expect("a status");
    let warning = status.warnings.iter().find(|it| it.contains("TCP 443"));
    assert!(
        warning.is_some_and(|it| it.contains("firewall") && it.contains("--port 443")),
        "{:?}",
        status.warnings
    );
    assert_eq!(status.overrides[0].name, "defence.cookies.443");
    assert_eq!(status.overrides[0].value, "off");

    // It ends by itself, and stays so over a restart until then, unless an operator says otherwise.
    let ends = status.overrides[0].until.expect("an end");
    assert!(ends <= clock::now() + Duration::from_secs(60));
    let mut daemon = host.again(daemon);
    daemon.protect().expect("protected");
    daemon.tend();
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80]));
    daemon
        .set_cookies(Defence::Cookies, DefenceMode::On, &[443])
        .expect("on again");
    assert_eq!(daemon.told(PortSet::Cookies), set(&[80, 443]));
}

#[test]
fn where_not_all_handshakes_are_seen_those_of_others_prove_nothing() {
    let host = host("defences.cookies = \"on\"");
    host.surroundings.scene().is_container = true;
    let mut daemon = host.protecting();
    let cookies = |accepted: u64, completed| CookiePort {
        accepted,
        completed,
        sources: (1 << (accepted / 10)) - 1,
        ..CookiePort::default()
    };
    daemon.plane.cookie_ports.insert(80, cookies(0, 1));
    for second in 1..6 {
        daemon
            .plane
            .cookie_ports
            .insert(80, cookies(second * 10, 1));
        daemon
            .plane
            .cookie_ports
            .insert(443, cookies(second * 10, 0));
        daemon.tend_at(Duration::from_secs(second));
    }
    assert_eq!(
        daemon.told(PortSet::Cookies),
        set(&[443]),
        "a listener of this group completed handshakes before, and another is not seen"
    );
    for defence in [Defence::Cookies, Defence::Connections] {
        let notes = daemon.shown(defence).notes;
        let is_told = notes.iter().any(|it| it.contains("below /sys/fs/cgroup"));
        assert!(is_told, "{notes:?}");
    }
}

#[test]
fn what_an_operator_set_of_a_port_is_back_after_a_pause() {
    let host = host("");
    let mut daemon = host.protecting();
    daemon
        .set_cookies(Defence::Cookies, DefenceMode::On, &[443])
        .expect("on");
    daemon.tend();
    for second in 1..5_u64 {
        let cookies = CookiePort {
            accepted: second,
            sources: (1 << second) - 1,
            ..CookiePort::default()
        };
        daemon.plane.cookie_ports.insert(443, cookies);
        daemon.tend_at(Duration::from_secs(second));
    }
    assert_eq!(daemon.told(PortSet::Cookies), set(&[]));
    let _ = daemon.state.apply(Change::CookiePort(443, None));
    daemon.tend_at(Duration::from_secs(70));
    assert_eq!(daemon.told(PortSet::Cookies), set(&[443]));
    assert!(daemon.state.cookie_ports[&443].value);
}

#[test]
fn where_answers_reach_nobody_nothing_is_answered_for_a_while() {
    let host = host("");
    let mut daemon = host.protecting();
    let look = |daemon: &mut Daemon<Fake>, second, answered, completed| {
        let cookies = CookiePort {
            completed,
            ..CookiePort::default()
        };
        daemon.plane.cookie_ports.insert(443, cookies);
        let at = usize::from(Reason::CookieAnswered.code());
        let mut counters = daemon.plane.counters().expect("counters");
        counters[at].packets = answered;
        daemon.plane.counters = Some(counters);
        daemon.tend_at(Duration::from_secs(second));
    };
    for second in 1..20 {
        look(&mut daemon, second, 0, second);
    }
    daemon
        .set_defence(Defence::Cookies, DefenceMode::On)
        .expect("on");
    for second in 1..14 {
        look(&mut daemon, second, second * 100, 19);
    }
    assert!(!daemon.answers());
    let warnings = daemon.status().expect("a status").warnings;
    assert!(
        warnings.iter().any(|it| it.contains("XDP sends back")),
        "{warnings:?}"
    );
    daemon.tend_at(Duration::from_secs(700));
    assert!(daemon.answers(), "they are tried again");
}
