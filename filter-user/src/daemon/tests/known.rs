//! Who is known good outlives the host's restart, and no day outlives its fortnight.

use filter_common::logic::{
    hash::HashKey,
    known::{self, Line, column},
};

use super::*;
use crate::{
    daemon::known::{DOUBT, PERIOD},
    store::known::{Known, save},
};

/// A table in which somebody has days.
fn table(days: u64) -> Vec<Line> {
    let mut lines = vec![Line::default(); 1 << known::LINES_LOG2];
    lines[5][2] = days;
    lines
}

fn today(daemon: &Daemon<Fake>) -> u32 {
    daemon.plane.settings.day
}

#[test]
fn new_maps_get_the_table_that_was_kept_and_its_key() {
    let host = Host::new("");
    let mut daemon = host.first();
    let day = today(&daemon);
    let days = column(day) | column(day - 1);
    daemon.plane.companions.known = table(days);
    daemon.rest();
    let key = stop(daemon).settings.key;

    let daemon = host.first();
    assert_eq!(daemon.plane.companions.known, table(days));
    assert!(daemon.plane.settings.key == key, "another key");
    assert_eq!(daemon.losses, Vec::<String>::new());
}

#[test]
fn maps_that_were_found_keep_their_own_table() {
    let host = Host::new("");
    let mut daemon = host.first();
    let day = today(&daemon);
    daemon.plane.companions.known = table(column(day));
    daemon.rest();
    let before = table(column(day) | column(day - 2));
    daemon.plane.companions.known.clone_from(&before);
    let daemon = host.again(daemon);
    assert_eq!(daemon.plane.companions.known, before);
}

#[test]
fn where_nobody_is_known_nothing_is_kept_and_the_key_is_new() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.plane.companions.known = table(0);
    daemon.rest();
    let key = stop(daemon).settings.key;
    assert!(host.first().plane.settings.key != key, "the same key");
}

#[test]
fn a_damaged_table_is_told_and_hinders_nobody() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.plane.companions.known = table(1 << 3);
    daemon.rest();
    drop(daemon);
    let path = host.state().join("known.bin");
    let mut bytes = fs::read(&path).expect("it was written");
    bytes[70] ^= 1;
    fs::write(&path, bytes).expect("it can be damaged");
    let daemon = host.first();
    let [loss] = daemon.losses.as_slice() else {
        panic!("{:?}", daemon.losses);
    };
    assert!(loss.contains("known.bin"), "{loss}");
    assert!(daemon.plane.companions.known.is_empty());
}

#[test]
fn days_that_pass_are_forgotten_before_they_come_again() {
    let host = Host::new("");
    let mut daemon = host.first();
    let day = today(&daemon);
    daemon.keep_known(clock::monotonic());
    let cleared = daemon.plane.companions.cleared.len();
    daemon.keep_known(clock::monotonic());
    assert_eq!(
        daemon.plane.companions.cleared.len(),
        cleared,
        "no day passed"
    );

    daemon.plane.companions.known = table(0xffff);
    daemon.keeping.day = day - 3;
    daemon.keep_known(clock::monotonic());
    assert_eq!(today(&daemon), day);
    let kept = daemon.plane.companions.known[5][2];
    for over in day - 2..=day + 1 {
        assert_eq!(kept & column(over), 0, "day {over}");
    }
    assert_eq!(kept.count_ones(), 12);
    assert_eq!(daemon.troubles, BTreeMap::new());
}

#[test]
fn a_clock_that_is_set_back_a_little_makes_nobody_forgotten() {
    let host = Host::new("");
    let mut daemon = host.first();
    let (day, now) = (today(&daemon), clock::monotonic());
    daemon.plane.companions.known = table(0x7fff);
    for earlier in [1, 3, 15] {
        assert_eq!(daemon.pass_to(day - earlier, now), Ok(false));
        assert_eq!(daemon.pass_to(day - earlier, now + 2 * DOUBT), Ok(false));
    }
    assert_eq!(daemon.keeping.day, day, "until the clock has caught up");
    assert_eq!(daemon.plane.companions.known, table(0x7fff));
    assert_eq!(daemon.pass_to(day + 1, now), Ok(true));
}

#[test]
fn a_calendar_that_is_set_far_back_is_believed_after_a_while() {
    let host = Host::new("");
    let mut daemon = host.first();
    let (day, now) = (today(&daemon), clock::monotonic());
    daemon.plane.companions.known = table(0x7fff);
    let past = day - 100;
    assert_eq!(daemon.pass_to(past, now), Ok(false));
    assert_eq!(daemon.pass_to(day, now + DOUBT / 2), Ok(false));
    assert_eq!(daemon.pass_to(past, now + DOUBT), Ok(false), "doubted anew");
    assert_eq!(daemon.plane.companions.known, table(0x7fff));
    assert_eq!(daemon.pass_to(past, now + 2 * DOUBT), Ok(true));
    assert_eq!(daemon.plane.companions.known, table(0));
    assert_eq!(daemon.keeping.day, past);
}

#[test]
fn before_a_plausible_date_nothing_is_forgotten_and_nothing_written() {
    let host = Host::new("");
    let mut daemon = host.first();
    let (day, now) = (today(&daemon), clock::monotonic());
    daemon.plane.companions.known = table(0x7fff);
    for implausible in [0, 1, 19_000] {
        assert_eq!(daemon.pass_to(implausible, now), Ok(false));
        assert_eq!(daemon.pass_to(implausible, now + 2 * DOUBT), Ok(false));
    }
    assert_eq!(daemon.keeping.day, day);
    assert_eq!(daemon.plane.companions.known, table(0x7fff));
    // New maps have no day before the calendar tells one.
    daemon.keeping.day = 0;
    daemon.rest();
    assert!(!host.state().join("known.bin").exists());
}

#[test]
fn days_that_passed_while_nothing_ran_are_forgotten() {
    let host = Host::new("");
    let day = today(&host.first());
    let kept = Known {
        day: day - 3,
        key: HashKey::from_random([1, 2, 3, 4]),
        lines: table(0xffff),
    };
    save(&host.state(), &kept).expect("it is written");
    let daemon = host.first();
    assert_eq!(today(&daemon), day);
    let days = daemon.plane.companions.known[5][2];
    for over in day - 2..=day + 1 {
        assert_eq!(days & column(over), 0, "day {over}");
    }
    assert_eq!(days.count_ones(), 12);
}

#[test]
fn the_table_is_kept_once_in_a_while() {
    let host = Host::new("");
    let mut daemon = host.first();
    daemon.plane.companions.known = table(1 << 3);
    let path = host.state().join("known.bin");
    let now = clock::monotonic();
    for at in [now, now + PERIOD / 2] {
        daemon.keep_known(at);
        daemon.end_writing_at_last().expect("nothing is amiss");
        assert!(!path.exists(), "the start was a moment ago");
    }
    daemon.keep_known(now + PERIOD * 2);
    daemon.end_writing_at_last().expect("nothing is amiss");
    assert!(path.exists());
    assert_eq!(daemon.troubles, BTreeMap::new());
}
