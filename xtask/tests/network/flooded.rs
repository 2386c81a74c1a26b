//! What must not give way while forged sources pour in as fast as this machine makes them.

use std::{thread, time::Duration};

use xtask::lab::{
    attack,
    flood::{Flood, Options, Pace},
    thread::last_cpu,
};

use crate::common::Protected;

/// Packets a second that a source may send.
const LIMIT: u64 = 200;
/// How long that is measured.
const TIME: Duration = Duration::from_secs(4);

#[test]
fn a_flood_of_forged_sources_lifts_no_limit_no_block_and_no_ban() {
    let p = Protected::enforcing();
    p.cli(&format!("limit set source.udp {LIMIT}/s burst 20"))
        .ends(0);
    p.cli("block add 198.51.100.66").ends(0);
    p.cli("ban add 198.51.100.67 --for 1h").ends(0);
    p.cli_fed("block import - --list feed", b"198.51.100.68\n3fff::66\n")
        .ends(0);
    let flood = Flood::start(
        &p.sandbox,
        &attack::named("udp-random").unwrap(),
        Options {
            pace: Pace::Full,
            cpu: Some(last_cpu().unwrap()),
            first: false,
        },
    )
    .unwrap();
    // Tables are full of others before anything is measured.
    thread::sleep(Duration::from_secs(2));

    let (source, also) = ("198.51.100.99", "2001:db8:c1::99");
    let listed = [
        "198.51.100.66",
        "198.51.100.67",
        "198.51.100.68",
        "3fff::66",
    ];
    let stream = p.stream(&listed, &[source, also], 2 * LIMIT);
    thread::sleep(TIME);
    let report = stream.finish();
    let sent = flood.finish().unwrap();
    assert!(
        sent > 1_000_000,
        "a flood worth its name: {sent} packets, {report:?}"
    );
    assert!(
        report.leaked.is_empty(),
        "listed sources got through: {report:?}"
    );
    let due = 20.0 + LIMIT as f64 * report.time.as_secs_f64();
    for source in [source, also] {
        let lost = report.lost.get(&source.parse().unwrap()).copied();
        let passed = (report.sent - lost.unwrap_or_default()) as f64;
        assert!(
            passed <= due * 1.05 && passed >= due * 0.95,
            "{source} at twice its limit: {passed} packets passed, {due} were due: {report:?}"
        );
    }
    assert!(
        p.listed("block").contains(&"198.51.100.66/32".to_owned()),
        "the operator's entry is there"
    );
    assert_eq!(p.listed("ban"), ["198.51.100.67/32"]);
}
