use std::sync::Arc;

use filter_common::abi::{defence::Defence, reason::Reason, settings::Class};
use ipnet::IpNet;

use super::*;
use crate::{
    api::types::{ListKind, Mode},
    config::{
        bytes::ByteRate,
        defence::DefenceMode,
        limit::{LimitName, LimitRate, Measure, Sender},
        units::Rate,
    },
    core::{
        held::Veto,
        lists::{Imported, Note},
        rules::AddedRule,
        state::{ModeChoice, Set},
        trial::{Inverse, Texts, Trial},
    },
};

fn now() -> Timestamp {
    "2025-11-28T09:00:00.25Z".parse().expect("a time")
}

fn open(folder: &Path) -> (Store, Restored) {
    Store::open(folder, now()).expect("the state folder can be opened")
}

/// Opens a folder in which nothing is amiss.
fn open_whole(folder: &Path) -> (Store, State) {
    let (store, restored) = open(folder);
    assert_eq!(restored.losses, Vec::<String>::new());
    (store, restored.state)
}

#[test]
fn a_state_folder_that_is_made_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (store, _) = open(&state);
    for made in [&state, &state.join(lists::FOLDER)] {
        let mode = fs::metadata(made).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", made.display());
    }
    drop(store);
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn note(reason: &str, until: Option<&str>) -> Note {
    Note {
        reason: reason.to_owned(),
        by: "uid 1000 (ada)".to_owned(),
        since: now(),
        until: until.map(|until| until.parse().expect("a time")),
    }
}

fn set<T>(value: T) -> Option<Set<T>> {
    Some(Set {
        value,
        by: "uid 0 (root)".to_owned(),
        since: now(),
        until: Some("2031-01-01T00:00:00Z".parse().expect("a time")),
    })
}

fn import(prefixes: &[&str]) -> Option<Imported> {
    Some(Imported {
        prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
        note: note("from the exchange", None),
        number: Some(7),
    })
}

fn rule(place: u64, text: &str) -> AddedRule {
    AddedRule {
        place,
        rule: text.parse().expect("a rule"),
        note: note("it floods", Some("2030-02-03T04:05:06.789Z")),
    }
}

/// One of each kind.
fn every_change() -> Vec<Change> {
    let enforce = |reasons: &[Reason]| ModeChoice {
        mode: Mode::Enforce,
        reasons: reasons.to_vec(),
    };
    vec![
        Change::Manual(
            ListKind::Block,
            prefix("192.0.2.0/24"),
            Some(note("it floods", None)),
        ),
        Change::Manual(
            ListKind::Block,
            prefix("2001:db8::/32"),
            Some(note("", Some("2030-02-03T04:05:06.789Z"))),
        ),
        Change::Manual(
            ListKind::Allow,
            prefix("192.0.2.0/24"),
            Some(note("ünïcode", None)),
        ),
        Change::Import(
            ListKind::Block,
            "feed".to_owned(),
            import(&["10.0.0.0/8", "::/3"]),
        ),
        Change::Import(
            ListKind::Allow,
            "feed".to_owned(),
            import(&["203.0.113.9/32"]),
        ),
        Change::Mode(set(enforce(&[Reason::Blocked, Reason::LimitSyn]))),
        Change::Limit(LimitName::Source(Class::All), set(None)),
        Change::Limit(
            LimitName::Source(Class::Syn),
            set(Some(LimitRate::Packets(Rate {
                packets: 20,
                burst: 400,
            }))),
        ),
        Change::Limit(
            LimitName::Service("web".to_owned(), Measure::Bytes),
            set(Some(LimitRate::Bytes(ByteRate::per_second(1_500_000)))),
        ),
        Change::Limit(LimitName::Connections(Sender::Prefix), set(None)),
        Change::Defence(Defence::ClosedPorts, set(DefenceMode::On)),
        Change::Defence(Defence::Cookies, set(DefenceMode::Off)),
        Change::CookiePort(443, set(true)),
        Change::CookiePort(80, set(false)),
        Change::Detached("eth0.100".to_owned(), set(())),
        Change::Rule(7, Some(rule(u64::MAX, "drop udp sport 123 length > 400"))),
        Change::Rule(
            u32::MAX,
            Some(rule(1, "shadow limit 5/s burst 7 per source icmp6")),
        ),
        Change::NextRule(8),
        Change::Trial(Some(Box::new(trial()))),
        Change::Unconfirmed(Some(Box::new(texts()))),
    ]
}

fn texts() -> Texts {
    Texts {
        before: "mode = \"monitor\"\n# ünïcode\n".to_owned(),
        after: String::new(),
    }
}

/// With something of each kind that can be tried, set and unset.
fn trial() -> Trial {
    let limit = || LimitName::Source(Class::Syn);
    let place = (ListKind::Block, prefix("192.0.2.7/32"));
    Trial {
        by: "uid 1000 (ada)".to_owned(),
        since: now(),
        until: "2031-01-01T00:00:00Z".parse().expect("a time"),
        texts: vec!["this".to_owned(), "that".to_owned()],
        inverse: Inverse {
            entries: [
                (place, Some(note("it floods", Some("2032-01-01T00:00:00Z")))),
                ((ListKind::Allow, prefix("2001:db8::/32")), None),
            ]
            .into(),
            others: vec![
                Change::Mode(None),
                Change::Mode(set(ModeChoice {
                    mode: Mode::Monitor,
                    reasons: Vec::new(),
                })),
                Change::Limit(limit(), None),
                Change::Limit(limit(), set(None)),
                Change::Defence(Defence::Icmp, set(DefenceMode::On)),
                Change::Defence(Defence::Icmp, None),
                Change::CookiePort(443, set(true)),
                Change::CookiePort(443, None),
                Change::Rule(7, Some(rule(3, "drop udp sport 123 length > 400"))),
                Change::Rule(8, None),
            ],
        },
        config: Some(texts()),
    }
}

/// What the controller held is not kept, and all else of a trial is.
#[test]
fn a_trial_forgets_what_was_held() {
    let mut trial = trial();
    let kept = trial::as_set(&trial);
    let veto = Veto::Defence(Defence::Icmp);
    trial.inverse.others.push(Change::Veto(veto, None));
    assert_eq!(trial::as_set(&trial).value, kept.value);
}

fn write(store: &mut Store, changes: &[Change]) {
    store.begin().expect("a change begins");
    store.write(changes).expect("changes are written");
    store.commit().expect("a change is made to last");
}

fn applied(changes: Vec<Change>) -> State {
    let mut state = State::default();
    for change in changes {
        let _ = state.apply(change);
    }
    state
}

fn lists_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join(lists::FOLDER)).expect("the folder of lists");
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.collect()
}

#[test]
fn every_change_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, state) = open_whole(folder.path());
    assert_eq!(state, State::default());
    write(&mut store, &every_change());
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, applied(every_change()));
    assert_eq!(lists_in(folder.path()).len(), 2);
}

#[test]
fn the_inverse_of_every_change_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, mut state) = open_whole(folder.path());
    let mut inverse: Vec<Change> = every_change()
        .into_iter()
        .map(|change| state.apply(change))
        .collect();
    inverse.reverse();
    write(&mut store, &every_change());
    write(&mut store, &inverse);
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, State::default());
    assert_eq!(
        lists_in(folder.path()),
        Vec::<String>::new(),
        "no list is left over"
    );
}

#[test]
fn what_ended_meanwhile_is_not_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    let ended = note("", Some("2025-11-28T09:00:00Z"));
    write(
        &mut store,
        &[Change::Manual(
            ListKind::Block,
            prefix("192.0.2.1/32"),
            Some(ended),
        )],
    );
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, State::default());
}

#[test]
fn what_is_rolled_back_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    store.begin().expect("a change begins");
    store.write(&every_change()).expect("changes are written");
    store
        .journal(now(), &Actor::Daemon, "test", "never happened")
        .expect("it is noted");
    store.rollback();
    assert_eq!(store.events(None, 10).expect("events").0, vec![]);
    assert_eq!(lists_in(folder.path()), Vec::<String>::new());
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, State::default());
}

#[test]
fn a_crash_before_the_commit_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    let kept = vec![Change::Import(
        ListKind::Block,
        "feed".to_owned(),
        import(&["192.0.2.0/24"]),
    )];
    write(&mut store, &kept);
    store.begin().expect("a change begins");
    store.write(&every_change()).expect("changes are written");
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, applied(kept));
    assert_eq!(
        lists_in(folder.path()).len(),
        1,
        "the lists of the change are swept away"
    );
}

#[test]
fn a_second_store_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open_whole(folder.path());
    let error = Store::open(folder.path(), now()).expect_err("the folder is taken");
    assert!(error.0.contains("another floodwall holds"), "{error}");
    drop(store);
    open_whole(folder.path());
}

#[test]
fn the_database_of_a_newer_floodwall_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open_whole(folder.path());
    store
        .database
        .pragma_update(None, "user_version", 7)
        .expect("a version");
    drop(store);
    let before = fs::read(folder.path().join(DATABASE)).expect("the database");
    let error = Store::open(folder.path(), now()).expect_err("it is newer");
    assert!(error.0.contains("newer floodwall (schema 7"), "{error}");
    assert_eq!(
        fs::read(folder.path().join(DATABASE)).expect("the database"),
        before
    );
}

#[test]
fn what_is_noted_does_not_wait_for_the_disk_and_what_operators_say_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    let safety = |store: &Store| -> i64 {
        let asked = store
            .database
            .query_row("PRAGMA synchronous", [], |row| row.get(0));
        asked.expect("a pragma")
    };
    const FULL: i64 = 2;
    assert_eq!(safety(&store), FULL);
    let by = Actor::Controller;
    let event = store.note(now(), &by, "a.kind", "a text").expect("noted");
    assert_eq!(safety(&store), FULL);
    // Within a transaction it goes with that.
    store.begin().expect("begun");
    store.note(now(), &by, "a.kind", "another").expect("noted");
    store.rollback();
    assert_eq!(safety(&store), FULL);
    let (events, _) = store.events(None, 10).expect("events");
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, [event.id]);
    // A full disk leaves it as it was, too.
    store.refuse_writes();
    store
        .note(now(), &by, "a.kind", "a third")
        .expect_err("no room");
    assert_eq!(safety(&store), FULL);
}

#[test]
fn events_come_in_pages_behind_an_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    for number in 0..10 {
        let text = format!("event {number}");
        store
            .journal(now(), &Actor::Daemon, "test", &text)
            .expect("it is noted");
    }
    let texts = |after, limit| -> (Vec<String>, i64) {
        let (events, last) = store.events(after, limit).expect("events");
        (events.into_iter().map(|event| event.text).collect(), last)
    };
    assert_eq!(
        texts(None, 2),
        (vec!["event 8".to_owned(), "event 9".to_owned()], 10)
    );
    assert_eq!(texts(Some(0), 1), (vec!["event 0".to_owned()], 10));
    assert_eq!(texts(Some(10), 5), (vec![], 10));
}

#[test]
fn events_of_a_time_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    let at = |second: i64| now() + jiff::SignedDuration::from_secs(second);
    assert_eq!(store.events_between(at(0), at(9), 5).expect("none"), []);
    for number in 0..100 {
        let text = format!("event {number}");
        store
            .journal(at(number), &Actor::Daemon, "test", &text)
            .expect("it is noted");
    }
    // Ids need not be without gaps.
    let gap = "DELETE FROM events WHERE id BETWEEN 40 AND 60";
    store.database.execute_batch(gap).expect("a gap");
    let found = |from, to, limit| -> Vec<String> {
        let events = store.events_between(at(from), at(to), limit);
        let events = events.expect("events").into_iter();
        events.map(|event| event.text).collect()
    };
    assert_eq!(found(10, 12, 9), ["event 10", "event 11", "event 12"]);
    assert_eq!(found(10, 12, 2), ["event 11", "event 12"]);
    assert_eq!(found(38, 60, 9), ["event 38", "event 60"]);
    assert_eq!(found(98, 1_000, 9), ["event 98", "event 99"]);
    assert!(found(-9, -1, 9).is_empty());
    assert!(found(100, 200, 9).is_empty());
}

/// A closed state folder with one of everything, and what its database is.
fn filled() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    write(&mut store, &every_change());
    drop(store);
    let database = fs::read(folder.path().join(DATABASE)).expect("the database");
    assert!(
        !folder.path().join(format!("{DATABASE}-wal")).exists(),
        "closed means merged"
    );
    (folder, database)
}

/// Opens a copy of the folder with another database. Either all is there, or losses are told, or
/// the database is taken for that of a newer floodwall and left alone.
fn open_with(folder: &Path, database: &[u8]) -> Result<Restored, StoreError> {
    let copy = tempfile::tempdir().expect("a folder");
    fs::create_dir(copy.path().join(lists::FOLDER)).expect("a folder");
    for name in lists_in(folder) {
        let path = Path::new(lists::FOLDER).join(name);
        fs::copy(folder.join(&path), copy.path().join(&path)).expect("a copy");
    }
    fs::write(copy.path().join(DATABASE), database).expect("a database");
    let (mut store, restored) = Store::open(copy.path(), now())?;
    if restored.losses.is_empty() {
        assert_eq!(restored.state, applied(every_change()), "a loss in silence");
    }
    if restored
        .losses
        .iter()
        .all(|loss| loss.contains("set aside"))
    {
        // From here on all is well.
        write(&mut store, &every_change());
        store.reconciled().expect("it is noted");
        drop(store);
        let (_store, state) = open_whole(copy.path());
        assert_eq!(state, applied(every_change()));
    }
    Ok(restored)
}

#[test]
fn a_truncated_database_is_set_aside_loudly() {
    let (folder, database) = filled();
    let lengths = [
        0,
        1,
        15,
        99,
        100,
        4095,
        4096,
        4097,
        database.len() / 2,
        database.len() - 4096,
    ];
    for length in lengths {
        let restored = open_with(folder.path(), &database[..length]).expect("it is opened");
        assert!(!restored.losses.is_empty(), "truncated to {length}");
        assert_only_lists_are_back(restored.state);
        assert!(
            restored.losses[0].contains("set aside"),
            "{:?}",
            restored.losses
        );
    }
}

#[test]
fn what_is_set_aside_is_all_there() {
    let (folder, mut database) = filled();
    database[..16].copy_from_slice(b"not a database!!");
    fs::write(folder.path().join(DATABASE), &database).expect("a database");
    let lists = lists_in(folder.path()).len();
    let (mut store, restored) = open(folder.path());
    assert_eq!(restored.losses.len(), 1, "{:?}", restored.losses);
    let aside = folder
        .path()
        .join(format!("{DATABASE}.corrupt-{}", now().as_millisecond()));
    assert!(
        restored.losses[0].contains(&aside.display().to_string()),
        "{:?}",
        restored.losses
    );
    assert_eq!(fs::read(aside).expect("the database"), database);
    let aside = folder.path().join(format!(
        "{}.corrupt-{}",
        lists::FOLDER,
        now().as_millisecond()
    ));
    assert_eq!(fs::read_dir(aside).expect("the lists").count(), lists);
    assert_eq!(lists_in(folder.path()).len(), 1, "the block list is back");
    assert_only_lists_are_back(restored.state);
    store.reconciled().expect("it is noted");
    drop(store);
    assert_only_lists_are_back(open_whole(folder.path()).1);
}

/// Block lists are files of their own, and come back without their rows.
#[track_caller]
fn assert_only_lists_are_back(mut state: State) {
    let gone = Change::Import(ListKind::Block, "feed".to_owned(), None);
    let Change::Import(_, _, Some(feed)) = state.apply(gone) else {
        panic!("the block list is back");
    };
    assert_eq!((feed.number, feed.prefixes.len()), (Some(0), 2));
    assert_eq!(state, State::default());
}

#[test]
fn a_loss_is_told_until_the_kernel_was_asked() {
    let (folder, _) = filled();
    fs::write(folder.path().join(DATABASE), b"what is this").expect("damage");
    let (store, first) = open(folder.path());
    drop(store);
    let (mut store, second) = open(folder.path());
    assert!(first.is_unreconciled && second.is_unreconciled);
    assert!(!first.losses.is_empty());
    assert_eq!(first.losses, second.losses);
    assert_only_lists_are_back(second.state);
    store.reconciled().expect("it is noted");
    drop(store);
    let (_store, third) = open(folder.path());
    assert!(!third.is_unreconciled && third.losses.is_empty());
}

#[test]
fn no_flipped_bit_changes_anything_in_silence() {
    let (folder, database) = filled();
    // The header, and all that is not zero behind it, each byte at one of its bits.
    let places: Vec<usize> = (0..database.len())
        .filter(|at| *at < 100 || database[*at] != 0)
        .collect();
    assert!(places.len() > 500, "the rows are in this file");
    for (number, at) in places.iter().enumerate() {
        let mut flipped = database.clone();
        flipped[*at] ^= 1 << (number % 8);
        let opened = std::panic::catch_unwind(|| open_with(folder.path(), &flipped));
        let is_told = match &opened {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.0.contains("newer floodwall"),
            Err(_) => false,
        };
        assert!(is_told, "byte {at} is {:#x}: {opened:?}", flipped[*at]);
    }
}

#[test]
fn a_list_that_was_changed_by_hand_is_set_aside_and_the_others_stay() {
    let (folder, _) = filled();
    let name = lists_in(folder.path())
        .into_iter()
        .find(|name| name.starts_with("block-feed"));
    let name = name.expect("the list is a file");
    let path = folder.path().join(lists::FOLDER).join(&name);
    let text = fs::read_to_string(&path).expect("the list");
    assert!(text.starts_with("# floodwall list, crc32 "), "{text}");
    fs::write(&path, text.replace("10.0.0.0/8", "11.0.0.0/8")).expect("it is changed");

    let (store, restored) = open(folder.path());
    let [loss] = restored.losses.as_slice() else {
        panic!("one loss, not {:?}", restored.losses)
    };
    assert!(
        loss.contains("the imported list feed") && loss.contains("checksum"),
        "{loss}"
    );
    let gone = Change::Import(ListKind::Block, "feed".to_owned(), None);
    let rest = every_change().into_iter().chain([gone]).collect();
    assert_eq!(restored.state, applied(rest));
    assert!(path.with_extension("list.corrupt").exists());
    drop(store);
}

#[test]
fn a_list_that_is_gone_is_told() {
    let (folder, _) = filled();
    for name in lists_in(folder.path()) {
        fs::remove_file(folder.path().join(lists::FOLDER).join(name)).expect("it is removed");
    }
    let (_store, restored) = open(folder.path());
    assert_eq!(restored.losses.len(), 2, "{:?}", restored.losses);
}

#[test]
fn a_full_database_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open_whole(folder.path());
    write(&mut store, &every_change());
    let pages: i64 = store
        .database
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("a count");
    store
        .database
        .pragma_update(None, "max_page_count", pages)
        .expect("a bound");
    let many: Vec<Change> = (0..5000_u32)
        .map(|number| {
            let net = IpNet::from(std::net::IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
            Change::Manual(ListKind::Block, net, Some(note("one of many", None)))
        })
        .collect();
    store.begin().expect("a change begins");
    let error = store.write(&many).expect_err("there is no room");
    assert!(error.0.contains("the disk is full"), "{error}");
    store.rollback();
    drop(store);
    let (_store, state) = open_whole(folder.path());
    assert_eq!(state, applied(every_change()));
}

/// With a real file system of half a MiB, where the process may make one.
#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    use nix::{
        mount::{MntFlags, MsFlags, mount, umount2},
        sched::{CloneFlags, unshare},
        unistd::geteuid,
    };
    if !geteuid().is_root() {
        println!("without root only the full database was tried, no full file system");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // In a mount namespace of this thread, so that it goes whatever happens.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
    let path = folder.path();
    mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=512k"),
    )
    .expect("a small file system");

    let (mut store, _) = open_whole(path);
    write(&mut store, &every_change());
    let big: Arc<[IpNet]> = (0..100_000_u32)
        .map(|number| IpNet::from(std::net::IpAddr::from((0x0a00_0000 + number).to_be_bytes())))
        .collect();
    let list = Imported {
        prefixes: big,
        note: note("", None),
        number: Some(0),
    };
    store.begin().expect("a change begins");
    let change = Change::Import(ListKind::Block, "big".to_owned(), Some(list));
    let error = store.write(&[change]).expect_err("there is no room");
    assert!(error.0.contains("the disk is full"), "{error}");
    store.rollback();
    assert_eq!(lists_in(path).len(), 2, "nothing is left of the new list");
    drop(store);
    let (store, state) = open_whole(path);
    assert_eq!(state, applied(every_change()));
    drop(store);
    umount2(path, MntFlags::MNT_DETACH).expect("it is unmounted");
}

#[test]
fn a_database_of_before_there_were_rules_is_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let change = Change::Detached("eth0".to_owned(), set(()));
    {
        let (mut store, _) = open(folder.path());
        store.reconciled().expect("nothing to compare with");
        let mut feed = import(&["192.0.2.0/24"]);
        feed.iter_mut().for_each(|feed| feed.number = None);
        let feed = Change::Import(ListKind::Block, "feed".to_owned(), feed);
        write(&mut store, &[change, feed]);
        let old = "DROP TABLE rules; DROP TABLE rule_slots;
            ALTER TABLE imports DROP COLUMN number; PRAGMA user_version = 1;";
        store.database.execute_batch(old).expect("an old database");
    }
    let (mut store, state) = open_whole(folder.path());
    assert!(state.detached.contains_key("eth0"));
    let feed = &state.list(ListKind::Block).imports["feed"];
    assert_eq!(feed.number, Some(0), "lists had no numbers");
    write(&mut store, &[Change::Rule(1, Some(rule(1, "drop udp")))]);
    drop(store);
    let (_, state) = open_whole(folder.path());
    assert_eq!(state.rules[&1], rule(1, "drop udp"));
}

#[test]
fn a_damaged_rule_is_lost_and_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let (mut store, _) = open(folder.path());
        let rules = [(1, "drop udp"), (2, "drop tcp")];
        for (number, text) in rules {
            write(&mut store, &[Change::Rule(number, Some(rule(1, text)))]);
        }
        let damage = "UPDATE rules SET rule = 'pass udp' WHERE number = '1'";
        store.database.execute_batch(damage).expect("damage");
    }
    let (_, restored) = open(folder.path());
    assert_eq!(restored.losses.len(), 1, "{:?}", restored.losses);
    assert!(
        restored.losses[0].contains("a rule"),
        "{:?}",
        restored.losses
    );
    assert_eq!(
        restored.state.rules.keys().copied().collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn slots_are_kept_and_replaced_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let slots = |all: &[(&str, u32)]| {
        let all = all.iter().map(|(owner, slot)| ((*owner).to_owned(), *slot));
        all.collect::<BTreeMap<_, _>>()
    };
    let (mut store, _) = open(folder.path());
    for kept in [
        slots(&[("1", 0), ("file drop udp", 2047)]),
        slots(&[("2", 5)]),
        slots(&[]),
    ] {
        store.begin().expect("a change begins");
        store.write_slots(&kept).expect("slots are written");
        store.commit().expect("a change is made to last");
        assert_eq!(store.slots().expect("slots are read"), kept);
    }
}
