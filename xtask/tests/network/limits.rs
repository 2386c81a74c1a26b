//! Limits per source.

use std::{thread, time::Duration};

use crate::common::{Config, Protected, Report};

/// Streams for a while from one source.
fn stream(p: &Protected, source: &str, pps: u64, time: Duration) -> (u64, Report) {
    let stream = p.stream(&[], &[source], pps);
    thread::sleep(time);
    let report = stream.finish();
    (report.passed(source), report)
}

#[test]
fn a_limit_set_by_hand_holds_in_calm_and_is_given_back() {
    let p = Protected::enforcing();
    let (arrived, report) = stream(&p, "198.51.100.66", 1000, Duration::from_millis(500));
    assert_eq!(
        arrived, report.sent,
        "the default bites under pressure only"
    );

    p.cli("limit set source.udp 100/s").ends(0).says("100/s");
    let change = p.override_of("limit.source.udp");
    assert_eq!(change["value"], "100/s");
    assert_eq!(change["file"], "20k/s");
    p.cli("limit show").ends(0).says("100/s").says("always");

    for source in ["198.51.100.66", "2001:db8:c1::66"] {
        let before = p.count("limit_udp");
        let (arrived, report) = stream(&p, source, 1000, Duration::from_secs(3));
        let allowed = 100 + (report.time.as_secs_f64() * 100.0).ceil() as u64 + 1;
        assert!(
            arrived <= allowed,
            "{arrived} of {report:?}, {allowed} at most"
        );
        let fair = (report.time.as_secs_f64() * 100.0 * 0.9) as u64;
        assert!(arrived >= fair, "{arrived} of {report:?}, {fair} at least");
        assert_eq!(p.count("limit_udp") - before, report.sent - arrived);
    }
    // Others have limits of their own.
    assert!(p.passes("198.51.100.67"));

    p.cli("limit auto source.udp").ends(0).says("20k/s");
    assert!(p.override_of("limit.source.udp").is_null());
    let (arrived, report) = stream(&p, "198.51.100.66", 1000, Duration::from_millis(500));
    assert_eq!(arrived, report.sent);
}

#[test]
fn a_limit_in_the_file_holds_in_calm_too_and_one_by_hand_goes_before_it() {
    let p = Protected::with(
        &Config::new("enforce").table("[limits.source]\npackets = \"50/s burst 10\""),
    );
    let (arrived, report) = stream(&p, "198.51.100.66", 500, Duration::from_secs(1));
    let allowed = 10 + (report.time.as_secs_f64() * 50.0).ceil() as u64 + 1;
    assert!(arrived <= allowed, "{arrived} of {report:?}");
    let limits = p.json("limit show");
    let packets = limits["limits"].as_array().unwrap();
    let packets = packets.iter().find(|it| it["name"] == "source.packets");
    assert_eq!(packets.unwrap()["by"], "file");
    assert_eq!(packets.unwrap()["rate"], "50/s burst 10");

    p.cli("limit set source.packets off").ends(0);
    let (arrived, report) = stream(&p, "198.51.100.66", 500, Duration::from_millis(500));
    assert_eq!(arrived, report.sent);
}

#[test]
fn a_limit_of_nothing_or_nonsense_is_refused() {
    let p = Protected::enforcing();
    p.cli("limit set source.udp 0/s")
        .ends(2)
        .says("lets nothing pass")
        .says("`off`");
    p.cli("limit set source.udp 100/s burst 0")
        .ends(2)
        .says("burst of 0");
    p.cli("limit set source.udp fast")
        .ends(2)
        .says("is no rate");
    p.cli("limit set source.upd 100/s")
        .ends(2)
        .says("source.udp");
    assert!(p.override_of("limit.source.udp").is_null());
}

#[test]
fn a_limit_for_some_time_falls_back() {
    let p = Protected::enforcing();
    p.cli("limit set source.udp 1/s burst 1 --for 4s").ends(0);
    assert!(p.override_of("limit.source.udp")["until"].is_string());
    crate::common::wait_until("the limit falls back", || {
        p.override_of("limit.source.udp").is_null()
    });
    assert!(p.passes("198.51.100.66"));
}

#[test]
fn an_allowed_source_has_no_limit() {
    let p = Protected::enforcing();
    p.cli("limit set source.udp 10/s").ends(0);
    p.cli("allow add 198.51.100.66").ends(0);
    let (arrived, report) = stream(&p, "198.51.100.66", 500, Duration::from_millis(500));
    assert_eq!(arrived, report.sent);
}
