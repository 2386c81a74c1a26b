//! Lists swapped under traffic.

use std::{fmt::Write as _, fs};

use xtask::lab::{
    attack,
    flood::{Flood, Options, Pace},
};

use crate::common::Protected;

/// How often a list is replaced.
const SWAPS: usize = 100;
/// Packets a second of the flood meanwhile, all of it from listed sources.
const FLOOD: u64 = 20_000;

/// The flood: it goes to a port where nobody listens, from 198.18.0.0/16.
const ATTACK: &str = "udp-64k";

/// A version of a list: what all versions list, each in its own spelling, and so many others.
fn version(spelling: &str, from: u32, entries: u32) -> String {
    (from..from + entries).fold(format!("{spelling}\n"), |mut text, entry| {
        writeln!(
            text,
            "10.{}.{}.{}",
            entry >> 16,
            entry >> 8 & 255,
            entry & 255
        )
        .unwrap();
        text
    })
}

#[test]
fn a_list_swapped_100_times_under_a_flood_leaks_nothing_and_loses_nothing() {
    let p = Protected::enforcing();
    let wide = p.file("wide.txt");
    fs::write(&wide, version("198.51.100.0/24\n3fff::/48", 0, 4000)).unwrap();
    let narrow = p.file("narrow.txt");
    let halves = "198.51.100.0/25\n198.51.100.128/25\n3fff::/64";
    fs::write(&narrow, version(halves, 100_000, 9000)).unwrap();
    let import = |file: &std::path::Path| {
        let path = file.to_str().unwrap();
        p.cli_words(&["block", "import", path, "--list", "feed"])
            .ends(0);
    };
    import(&wide);

    let flood = Flood::start(
        &p.sandbox,
        &attack::named("udp-random").unwrap(),
        Options {
            pace: Pace::PerSecond(FLOOD),
            cpu: None,
            first: false,
        },
    )
    .unwrap();
    let stream = p.stream(
        &["198.51.100.66", "3fff::66"],
        &["192.0.2.1", "2001:db8:77::1"],
        200,
    );
    for swap in 0..SWAPS {
        import(if swap % 2 == 0 { &narrow } else { &wide });
    }
    let report = stream.finish();
    flood.finish().unwrap();
    assert!(
        report.leaked.is_empty(),
        "listed sources got through: {report:?}"
    );
    assert!(report.lost.is_empty(), "clean sources did not: {report:?}");
    assert!(report.sent > SWAPS as u64, "the stream went on: {report:?}");
    let list = p.json("block list --list feed");
    assert_eq!(list["total"], 4002, "the last version is in force");
}
