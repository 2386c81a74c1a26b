//! Lists swapped under traffic.

use std::{fmt::Write as _, fs};

use xtask::lab::{
    attack,
    flood::{Flood, Options, Pace},
};

use crate::common::{Config, Protected};

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
    // Packets go to a port where nobody listens, which a controller would close.
    let config = Config::new("enforce").table("[detection]\nact = \"suggest\"");
    let p = Protected::with(&config);
    let wide = p.file("wide.txt");
    fs::write(
        &wide,
        version("198.18.0.0/16\n198.51.100.0/24\n3fff::/48", 0, 4000),
    )
    .unwrap();
    let narrow = p.file("narrow.txt");
    let halves = "198.18.0.0/17\n198.18.128.0/17\n198.51.100.0/25\n198.51.100.128/25\n3fff::/64";
    fs::write(&narrow, version(halves, 100_000, 9000)).unwrap();
    let import = |file: &std::path::Path| {
        let path = file.to_str().unwrap();
        p.cli_words(&["block", "import", path, "--list", "feed"])
            .ends(0);
    };
    import(&wide);

    let unheard = unheard(&p);
    let flood = Flood::start(
        &p.sandbox,
        &attack::named(ATTACK).unwrap(),
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
    let flooded = flood.finish().unwrap();
    assert_eq!(
        self::unheard(&p),
        unheard,
        "of {flooded} packets from listed sources so many more got through"
    );
    // The ring behind the wire may lose some, where another process has the processor.
    let dropped = p.count("listed");
    assert!(
        dropped > FLOOD,
        "{dropped} of a flood of {flooded} packets met the list"
    );
    assert!(
        report.leaked.is_empty(),
        "listed sources got through: {report:?}"
    );
    assert!(report.lost.is_empty(), "clean sources did not: {report:?}");
    assert!(report.sent > SWAPS as u64, "the stream went on: {report:?}");
    let list = p.json("block list --list feed");
    assert_eq!(list["total"], 4003, "the last version is in force");
}

/// UDP packets that the server's stack took in for ports where nobody listens.
fn unheard(p: &Protected) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let text = p.sandbox.server().run(read).unwrap();
    let mut udp = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (udp.next().unwrap(), udp.next().unwrap());
    let mut columns = names.split(' ').zip(numbers.split(' '));
    let (_, number) = columns.find(|(name, _)| *name == "NoPorts").unwrap();
    number.parse().unwrap()
}
