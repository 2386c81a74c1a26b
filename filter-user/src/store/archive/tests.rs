use std::time::Duration;

use filter_common::abi::counter::Counter;
use proptest::prelude::*;

use super::*;
use crate::{
    config::incidents::Incidents,
    detect::{
        output::{Spoofed, VectorReport},
        vector::{Phase, Target, Vector},
    },
};

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn open(folder: &Path) -> Archive {
    let (archive, loss) = Archive::open(folder, now()).expect("it can be opened");
    assert_eq!(loss, None);
    archive
}

fn second(at: i64) -> Second {
    Second {
        at,
        received: Counter {
            packets: at.cast_unsigned(),
            bytes: 7,
        },
        ..Second::default()
    }
}

fn report(id: u64, first: i64, end: Option<i64>) -> Report {
    Report {
        id,
        first: at(first),
        detected: at(first),
        peak: at(first),
        end: end.map(at),
        vectors: vec![VectorReport {
            vector: Vector::Syn,
            target: Target::Host,
            phase: Phase::Attack,
            spoofed: Spoofed::Forged,
            usual: 10.5,
            peak_packets: 1e6,
            peak_bits: 5e8,
            mean_packets: 0.1,
            mean_bits: 1.0 / 3.0,
            evidence: "a \"lot\" of it".to_owned(),
        }],
        ..Report::default()
    }
}

fn batch(reports: impl IntoIterator<Item = Report>, seconds: Vec<Second>) -> Batch {
    let reports = reports.into_iter().map(|report| (report.id, report));
    Batch {
        incidents: reports.collect(),
        seconds,
        ..Batch::default()
    }
}

#[test]
fn what_is_written_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbered = |mut memory: Memory| {
        memory.next_incident = 9;
        memory
    };
    let memory = numbered(Memory::default());
    let mut archive = open(folder.path());
    assert_eq!(archive.memory().expect("nothing is amiss"), None);
    assert_eq!(archive.next_incident().expect("none yet"), 1);
    let mut all = batch(
        [report(7, NOW, None), report(8, NOW, Some(NOW + 5))],
        (0..150).map(|age| second(NOW + age)).collect(),
    );
    all.memory = Some(memory.clone());
    archive.write(&all).expect("it is written");
    // The newest report counts.
    let end = batch([report(7, NOW, Some(NOW + 60))], Vec::new());
    archive.write(&end).expect("it is written");
    drop(archive);

    let archive = open(folder.path());
    assert_eq!(archive.memory().expect("it is whole"), Some(memory));
    assert_eq!(archive.next_incident().expect("a number"), 9);
    assert_eq!(archive.open_incidents().expect("none is open"), []);
    assert_eq!(
        archive.incident(7).expect("it is whole"),
        Some(report(7, NOW, Some(NOW + 60)))
    );
    assert_eq!(archive.incident(6).expect("there is none"), None);
    let reader = Archive::reader(folder.path()).expect("a second look");
    for file in fs::read_dir(folder.path()).expect("a folder") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file:?} names addresses");
    }
    let found = reader.seconds(NOW + 10, NOW + 99, 1_000).expect("seconds");
    let expected: Vec<Second> = (10..100).map(|age| second(NOW + age)).collect();
    assert_eq!((found.seconds, found.next), (expected, None));
}

#[test]
fn incidents_and_seconds_come_in_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    let seconds = (0..200).map(|age| second(NOW + age)).collect();
    let reports = (1..=5).map(|id| report(id, NOW, (id != 3).then_some(NOW)));
    archive.write(&batch(reports, seconds)).expect("written");
    let page = |before, limit| {
        let page = archive.incidents(before, limit).expect("a page");
        let ids: Vec<u64> = page.reports.iter().map(|report| report.id).collect();
        (ids, page.has_more, page.total)
    };
    assert_eq!(page(None, 2), (vec![5, 4], true, 5));
    assert_eq!(page(Some(4), 3), (vec![3, 2, 1], false, 5));
    assert_eq!(page(Some(1), 3), (vec![], false, 5));
    let open: Vec<u64> = archive
        .open_incidents()
        .expect("some")
        .iter()
        .map(|report| report.id)
        .collect();
    assert_eq!(open, [3]);

    let mut all = Vec::new();
    let mut from = Some(NOW);
    while let Some(start) = from {
        let found = archive.seconds(start, i64::MAX, 70).expect("seconds");
        assert!(found.seconds.len() <= 70);
        all.extend(found.seconds);
        from = found.next;
    }
    assert_eq!(all.len(), 200);
    assert!(all.is_sorted_by_key(|second| second.at));
}

#[test]
fn a_clock_that_was_set_back_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    let seconds = [10, 11, 5, 6, 4_000].map(|age| second(NOW + age)).to_vec();
    archive.write(&batch([], seconds)).expect("written");
    let found = archive.seconds(i64::MIN, i64::MAX, 100).expect("seconds");
    let ages: Vec<i64> = found.seconds.iter().map(|second| second.at - NOW).collect();
    assert_eq!(ages, [5, 6, 10, 11, 4_000]);
}

#[test]
fn what_is_too_old_goes_and_incidents_keep_their_seconds() {
    const DAY: i64 = 86_400;
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    let keep = Incidents::default();
    let (old, older) = (NOW - 8 * DAY, NOW - 91 * DAY);
    let around = |start: i64| -> Vec<Second> { (0..10).map(|age| second(start + age)).collect() };
    for start in [older, old, NOW - DAY] {
        archive.write(&batch([], around(start))).expect("written");
    }
    let mut incident = batch(
        [
            report(1, older, Some(older)),
            report(2, old + 100, Some(old + 105)),
        ],
        around(old + 100),
    );
    incident.is_kept = true;
    archive.write(&incident).expect("written");
    // It began before it was noticed.
    let before = Batch {
        keep_from: Some(old + 9),
        ..batch([report(3, older, None)], Vec::new())
    };
    archive.write(&before).expect("written");
    while archive.prune(&keep, now()).expect("pruned") {}
    let found = archive.seconds(0, i64::MAX, 1_000).expect("seconds");
    let starts: Vec<i64> = found.seconds.iter().step_by(10).map(|s| s.at).collect();
    assert_eq!(starts, [old, old + 100, NOW - DAY]);
    let ids: Vec<u64> = archive
        .incidents(None, 9)
        .expect("a page")
        .reports
        .iter()
        .map(|report| report.id)
        .collect();
    assert_eq!(ids, [3, 2], "an open one stays, however old it is");
}

#[test]
fn what_is_too_much_goes_the_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    // A block of a minute each, 600 of them.
    let hours = (0..36_000).map(|age| second(NOW + age)).collect();
    let reports = [report(1, NOW, Some(NOW)), report(2, NOW, None)];
    let all = Batch {
        is_kept: true,
        ..batch(reports, hours)
    };
    archive.write(&all).expect("written");
    let calm = (36_000..39_600).map(|age| second(NOW + age)).collect();
    archive.write(&batch([], calm)).expect("written");
    let left = |archive: &mut Archive, room: u64| {
        let keep = Incidents {
            room,
            keep: Duration::from_secs(1 << 40),
            seconds: Duration::from_secs(1 << 40),
        };
        let mut steps = 0;
        while archive.prune(&keep, now()).expect("pruned") {
            steps += 1;
            assert!(steps < 100, "it comes to an end");
        }
        let found = archive.seconds(0, i64::MAX, 100_000).expect("seconds");
        let ages = |s: Option<&Second>| s.map_or(0, |s| s.at - NOW);
        let page = archive.incidents(None, 9).expect("a page");
        (
            ages(found.seconds.first()),
            ages(found.seconds.last()),
            page.reports.len(),
        )
    };
    let size = |archive: &Archive| -> u64 {
        let sum = "SELECT sum(octet_length(data)) FROM seconds";
        let size: i64 = archive
            .database
            .query_row(sum, [], |row| row.get(0))
            .expect("a size");
        size.cast_unsigned()
    };
    let whole = size(&archive);
    let (first, last, incidents) = left(&mut archive, whole * 10 / 11 + 1_000);
    assert!(first == 0 && last < 39_599 && incidents == 2, "calm went");
    let (first, last, incidents) = left(&mut archive, whole / 2);
    assert!(first > 0 && last == 35_999 && incidents == 2);
    assert_eq!(left(&mut archive, 100), (0, 0, 1), "what is open stays");
}

#[test]
fn what_is_damaged_is_told_and_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(DATABASE);
    for damage in [&b"what is this"[..], b"", &[0; 4096]] {
        let mut archive = open(folder.path());
        archive
            .write(&batch([report(1, NOW, None)], vec![second(NOW)]))
            .expect("written");
        drop(archive);
        fs::write(&path, damage).expect("damage");
        let (archive, loss) = Archive::open(folder.path(), now()).expect("it starts anew");
        assert!(loss.is_some_and(|loss| loss.contains("history.db.corrupt-")));
        assert_eq!(archive.next_incident().expect("a number"), 1);
        drop(archive);
        fs::remove_file(&path).expect("the next one begins anew");
    }
}

#[test]
fn a_damaged_row_costs_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    let mut all = batch(
        [report(1, NOW, None), report(2, NOW, None)],
        (0..120).map(|age| second(NOW + age)).collect(),
    );
    all.memory = Some(Memory::default());
    archive.write(&all).expect("written");
    let damage = "UPDATE incidents SET report = replace(report, 'syn', 'udp') WHERE id = 1;
        UPDATE seconds SET data = zeroblob(octet_length(data)) WHERE id = 1;
        UPDATE memory SET memory = replace(memory, '0', '7');";
    archive.database.execute_batch(damage).expect("damage");
    let page = archive.incidents(None, 9).expect("a page");
    assert_eq!((page.reports.len(), page.damaged), (1, vec![1]));
    let error = archive.incident(1).expect_err("it is damaged").to_string();
    assert!(error.contains("incident 1 is damaged"), "{error}");
    let found = archive.seconds(0, i64::MAX, 1_000).expect("seconds");
    assert_eq!((found.seconds.len(), found.damaged), (60, 1));
    let error = archive.memory().expect_err("it is damaged").to_string();
    assert!(error.contains("learned anew"), "{error}");
    archive.write(&all).expect("it is written again");
    assert_eq!(archive.memory().expect("whole"), Some(Memory::default()));
}

#[test]
fn one_of_a_newer_floodwall_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = open(folder.path());
    archive
        .database
        .pragma_update(None, "user_version", 7)
        .expect("a version");
    drop(archive);
    let before = fs::read(folder.path().join(DATABASE)).expect("the database");
    let error = Archive::open(folder.path(), now()).expect_err("it is newer");
    assert!(error.0.contains("newer floodwall (schema 7"), "{error}");
    let after = fs::read(folder.path().join(DATABASE)).expect("the database");
    assert_eq!(before, after);
}

#[test]
fn a_full_database_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = open(folder.path());
    archive
        .write(&batch([report(1, NOW, None)], vec![second(NOW)]))
        .expect("written");
    let pages: i64 = archive
        .database
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("a number");
    archive
        .database
        .pragma_update(None, "max_page_count", pages)
        .expect("a bound");
    let seconds = (1..100_000).map(|age| second(NOW + age)).collect();
    let error = archive
        .write(&batch([report(1, NOW, Some(NOW))], seconds))
        .expect_err("there is no room")
        .to_string();
    assert!(error.contains("disk is full"), "{error}");
    assert_eq!(
        archive.incident(1).expect("whole"),
        Some(report(1, NOW, None)),
        "all or nothing"
    );
    archive
        .database
        .pragma_update(None, "max_page_count", 1_000_000)
        .expect("a bound");
    archive
        .write(&batch([report(1, NOW, Some(NOW))], Vec::new()))
        .expect("it goes on");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Reports are floats, texts and times; none may come back changed.
    #[test]
    fn a_report_comes_back_as_it_was(
        id in 1..u64::MAX / 2,
        rates: [f64; 3],
        evidence in ".{0,80}",
        seconds in -1_000_000_i64..4_000_000_000,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut archive = open(folder.path());
        let mut original = report(id, seconds, None);
        let finite = rates.map(|rate| if rate.is_finite() { rate } else { 0.0 });
        for vector in &mut original.vectors {
            [vector.usual, vector.peak_bits, vector.mean_bits] = finite;
            vector.evidence.clone_from(&evidence);
        }
        archive.write(&batch([original.clone()], Vec::new())).expect("written");
        prop_assert_eq!(archive.incident(id).expect("whole"), Some(original));
    }
}
