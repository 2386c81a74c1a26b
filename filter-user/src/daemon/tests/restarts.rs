//! What the next daemon finds, after a damage, too; and what a reload takes.

use super::*;

#[test]
fn a_restart_restores_everything_and_no_bit_is_missing_meanwhile() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "2001:db8::/48", "3ff0::/19"])
        .expect("added");
    daemon
        .import("feed", &["198.51.100.0/24", "203.0.113.0/24"])
        .expect("imported");
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    let key_before = daemon.plane.settings.key;
    let gate_before = daemon.plane.gate.clone();
    let before = daemon.snapshot_of_lists();

    let mut daemon = host.again(daemon);
    assert_eq!(daemon.snapshot_of_lists(), before);
    assert_eq!(daemon.plane.gate, gate_before);
    assert!(
        daemon.plane.settings.key == key_before,
        "the secret belongs to the maps"
    );
    for (line, words) in &daemon.plane.gate_writes {
        let wanted = gate_before.get(line).copied().unwrap_or_default();
        let kept = words
            .iter()
            .zip(wanted)
            .all(|(word, wanted)| word & wanted == wanted);
        assert!(kept, "line {line} had no bits for a moment");
    }
}

impl Daemon<Fake> {
    fn snapshot_of_lists(&mut self) -> (State, Vec<Vec<IpNet>>, [u64; 3]) {
        let lists = ListKind::ALL.map(|kind| self.entries_of(kind)).into();
        let counts = ListKind::ALL.map(|kind| self.tables.entries(kind));
        (self.state.clone(), lists, counts)
    }
}

#[test]
fn new_maps_are_filled_with_what_is_kept() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    daemon
        .import("feed", &["198.51.100.0/24"])
        .expect("imported");
    drop(stop(daemon));
    let mut daemon = host.start(fake(), false);
    assert_eq!(daemon.entries_of(Block), prefixes(&["192.0.2.1/32"]));
    assert!(daemon.meets(Block, "198.51.100.7"));
}

#[test]
fn what_the_kernel_has_and_nobody_knows_is_taken_out() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon
        .add(Block, &["192.0.2.1/32", "192.0.2.2/32"])
        .expect("added");
    let mut fake = stop(daemon);
    let stranger = EntryValue {
        until: EntryValue::NEVER,
        ..EntryValue::default()
    };
    fake.set_entry(ListId::Block, &key(&prefix("192.0.2.3/32")), &stranger)
        .expect("room");
    let mut daemon = host.start(fake, true);
    assert_eq!(
        daemon.entries_of(Block),
        prefixes(&["192.0.2.1/32", "192.0.2.2/32"])
    );
    assert!(daemon.meets(Block, "192.0.2.1"));
}

#[test]
fn after_damage_to_the_state_the_kernel_is_asked_what_it_has() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
    daemon
        .add_for(Block, &["192.0.2.1/32"], Some(Duration::from_secs(600)))
        .expect("added");
    daemon
        .import_to(Allow, "feed", &["198.51.100.0/24"])
        .expect("imported");
    let fake = stop(daemon);
    fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");

    let mut daemon = host.start(fake, true);
    assert!(
        daemon.meets(Allow, "203.0.113.9"),
        "never an empty allowlist in silence"
    );
    assert!(daemon.meets(Block, "192.0.2.1") && daemon.meets(Allow, "198.51.100.7"));
    let status = daemon.status().expect("a status");
    let told = |part: &str| status.warnings.iter().any(|warning| warning.contains(part));
    assert!(
        told("set aside") && told("recovered"),
        "{:?}",
        status.warnings
    );
    let note = &daemon.state.list(Block).manual[&prefix("192.0.2.1/32")];
    let left = note
        .until
        .expect("an end")
        .duration_since(clock::now())
        .as_secs();
    assert!((500..=600).contains(&left), "its end was kept: {left} s");

    // What was recovered is kept.
    let mut daemon = host.again(daemon);
    assert!(daemon.losses.is_empty());
    assert_eq!(
        daemon.entries_of(Allow),
        prefixes(&["198.51.100.0/24", "203.0.113.9/32"])
    );
}

#[test]
fn monitor_mode_that_was_set_without_a_daemon_is_an_override() {
    let host = Host::new("mode = \"enforce\"");
    let daemon = host.first();
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
    let mut fake = stop(daemon);
    fake.settings.enforced = 0;
    fake.settings.emergency = 1_764_320_400;

    let daemon = host.start(fake, true);
    let set = daemon.state.mode.clone().expect("an override");
    assert_eq!(set.value.mode, Mode::Monitor);
    assert_eq!(set.since.as_second(), 1_764_320_400);
    assert_eq!(
        (
            daemon.plane.settings.enforced,
            daemon.plane.settings.emergency
        ),
        (0, 0)
    );
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.plane.settings.enforced, 0, "and outlives a restart");
    daemon
        .run(Command::SetMode {
            mode: Mode::Enforce,
            reasons: Vec::new(),
            duration: None,
        })
        .expect("set");
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
}

#[test]
fn a_reload_takes_all_of_a_good_file() {
    let host = Host::new("");
    let mut daemon = host.first();
    assert_eq!(daemon.plane.settings.enforced, 0);
    host.configure("mode = \"enforce\"\n[[lifeline]]\nfrom = [\"192.0.2.0/24\"]\nprotocol = \"tcp\"\nport = 22\n");
    daemon.run(Command::Reload).expect("read again");
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
    assert_eq!(daemon.plane.lifelines.count, 1);
}

#[test]
fn a_reload_takes_nothing_of_a_bad_file() {
    let host = Host::new("");
    let mut daemon = host.first();
    let before = daemon.snapshot();
    let many: Vec<String> = (0..17)
        .map(|number| format!("\"192.0.2.{number}\""))
        .collect();
    let many = format!(
        "mode = \"enforce\"\n[[lifeline]]\nfrom = [{}]\nprotocol = \"tcp\"\nport = 22\n",
        many.join(", ")
    );
    let bad = [
        ("mode = \"enforce\"\nmoed = 1", "moed"),
        ("mode = \"enforce\"\n[limits.source]\nsyn = \"0/s\"", "syn"),
        ("mode = \"enforce\"\n[tables]\nblock = 4096", "tables"),
        ("mode = \"enforce\"\nattach = \"generic\"", "attach"),
        (many.as_str(), "lifeline"),
    ];
    for (config, says) in bad {
        host.configure(config);
        let refusal = daemon.run(Command::Reload).expect_err(config);
        assert!(
            refusal.message.contains(says),
            "{says:?} is missing in {refusal}"
        );
        assert_eq!(daemon.snapshot(), before, "{config}");
    }
    fs::remove_file(host.file()).expect("the file");
    daemon.run(Command::Reload).expect_err("there is no file");
    assert_eq!(daemon.snapshot(), before);
}

#[test]
fn a_second_daemon_on_the_state_is_refused() {
    let host = Host::new("");
    let daemon = host.first();
    let error = Store::open(Path::new(&host.state()), clock::now()).expect_err("it is taken");
    assert!(error.to_string().contains("another floodwall"), "{error}");
    drop(daemon);
}

#[test]
fn a_detach_without_a_daemon_hides_no_loss() {
    let detached = ["eth0".to_owned()];
    let damages: [fn(&Path); 2] = [
        |state| fs::write(state.join("floodwall.db"), b"what is this").expect("damage"),
        |state| fs::remove_dir_all(state).expect("it is gone"),
    ];
    for damage in damages {
        let host = Host::new("");
        let mut daemon = host.first();
        daemon.add(Allow, &["203.0.113.9/32"]).expect("added");
        let fake = stop(daemon);
        damage(&host.state());
        let told = crate::dataplane::pins::remember(&host.state(), &detached).expect("kept");
        assert_eq!(told.len(), 1, "{told:?}");

        let mut daemon = host.start(fake, true);
        assert!(
            daemon.meets(Allow, "203.0.113.9"),
            "never an empty allowlist in silence"
        );
        assert!(daemon.state.detached.contains_key("eth0"));
        let warnings = daemon.status().expect("a status").warnings;
        assert!(
            warnings.iter().any(|warning| warning.contains("recovered")),
            "{warnings:?}"
        );
        // It is the daemon's again: what it does not know goes.
        let mut daemon = host.again(daemon);
        assert!(daemon.losses.is_empty());
        assert_eq!(daemon.entries_of(Allow), prefixes(&["203.0.113.9/32"]));
        drop(stop(daemon));
        let told = crate::dataplane::pins::remember(&host.state(), &detached).expect("kept");
        assert_eq!(told, Vec::<String>::new());
    }
}

/// What `floodwall mode monitor` does when no daemon answers.
fn emergency(fake: &mut Fake) {
    fake.settings.enforced = 0;
    fake.settings.emergency = 1_764_320_400;
}

impl Daemon<Fake> {
    fn is_monitoring_by_emergency(&self) -> bool {
        let set = self.state.mode.as_ref();
        let settings = self.plane.settings;
        set.is_some_and(|set| {
            set.value.mode == Mode::Monitor && set.by.contains("without a daemon")
        }) && (settings.enforced, settings.emergency) == (0, 0)
            && self.settings.enforced == 0
    }

    fn enforce(&mut self) {
        self.run(Command::SetMode {
            mode: Mode::Enforce,
            reasons: Vec::new(),
            duration: None,
        })
        .expect("set");
        assert_eq!(self.plane.settings.enforced, Reason::all_drops());
    }
}

#[test]
fn monitor_mode_that_was_set_while_the_daemon_hung_is_an_override() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    emergency(&mut daemon.plane);
    daemon.work();
    assert!(daemon.is_monitoring_by_emergency());
    let (events, _) = daemon.store.events(None, 9).expect("events");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, "mode.set");
    assert_eq!(daemon.status().expect("a status").mode, Mode::Monitor);
    daemon.enforce();

    // Once more, at the same moment, and noticed by a command.
    emergency(&mut daemon.plane);
    daemon.add(Block, &["192.0.2.1/32"]).expect("added");
    assert!(daemon.is_monitoring_by_emergency());
    let mut daemon = host.again(daemon);
    assert_eq!(daemon.plane.settings.enforced, 0, "it outlives a restart");
    emergency(&mut daemon.plane);
    daemon.enforce();
}

#[test]
fn settings_that_are_written_meanwhile_end_no_emergency() {
    let host = Host::new("mode = \"enforce\"");
    let mut daemon = host.first();
    emergency(&mut daemon.plane);
    daemon.put_settings().expect("written");
    assert_eq!(daemon.plane.settings.enforced, 0);
    assert!(daemon.plane.settings.emergency > 0, "it is still to heed");
    daemon.plane.fails_in = Some(0);
    daemon.heed_emergency();
    assert!(daemon.troubles.contains_key("emergency"));
    assert_eq!(daemon.plane.settings.enforced, 0);
    daemon.heed_emergency();
    assert!(daemon.is_monitoring_by_emergency());
    assert!(!daemon.troubles.contains_key("emergency"));
    let (events, _) = daemon.store.events(None, 9).expect("events");
    assert_eq!(events.len(), 1, "it is told once: {events:?}");
}

#[test]
fn after_damage_to_the_state_what_the_kernel_enforced_stays_enforced() {
    let choices = [
        ("enforce", Mode::Monitor, vec![]),
        ("monitor", Mode::Enforce, vec![]),
        ("enforce", Mode::Enforce, vec![Reason::Blocked]),
    ];
    for (file, mode, reasons) in choices {
        let host = Host::new(&format!("mode = \"{file}\""));
        let mut daemon = host.first();
        daemon
            .run(Command::SetMode {
                mode,
                reasons,
                duration: None,
            })
            .expect("set");
        let before = daemon.state.mode.clone().expect("an override").value;
        let enforced = daemon.plane.settings.enforced;
        let fake = stop(daemon);
        fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");

        let mut daemon = host.start(fake, true);
        let set = daemon.state.mode.clone().expect("an override");
        assert_eq!(set.value, before);
        assert_eq!(set.by, "recovered from the kernel");
        assert_eq!(daemon.plane.settings.enforced, enforced);
        let warnings = daemon.status().expect("a status").warnings;
        let told = |warning: &String| warning.contains(&format!("the file says {file}"));
        assert!(warnings.iter().any(told), "{warnings:?}");
        let daemon = host.again(daemon);
        assert_eq!(daemon.plane.settings.enforced, enforced, "and is kept");
    }
}

#[test]
fn a_mode_that_is_the_files_is_no_override_after_damage() {
    let host = Host::new("mode = \"enforce\"");
    let fake = stop(host.first());
    fs::write(host.state().join("floodwall.db"), b"what is this").expect("damage");
    let daemon = host.start(fake, true);
    assert_eq!(daemon.state.mode, None);
    assert_eq!(daemon.plane.settings.enforced, Reason::all_drops());
}
