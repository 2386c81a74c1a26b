//! A known good partner in whose name others forge.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use filter_common::logic::{
    address::Address,
    hash::HashKey,
    known::{LINES_LOG2, Line, Places},
};
use filter_user::store::known::{self, Known};
use xtask::lab::{
    attack::{self, PARTNER_V4},
    clock,
    flood::{Flood, Options, Pace},
    http,
    sandbox::hosts,
};

use super::{Server, as_client, ask, call, defend};
use crate::common::{Config, Protected, wait_until};

/// Connections that the partner begins, at least, and SYNs that are forged meanwhile.
const CALLS: usize = 300;
const FORGED: u64 = 600_000;
/// SYNs a second in his name.
const PACE: u64 = 60_000;
/// Answers to one prefix a second, and at once: the default.
const ANSWERS: f64 = 2_000.0;

/// Has the daemon find that a source got data acknowledged on the two days before.
fn know(p: &Protected, source: IpAddr) {
    let key =
        HashKey::from_random([3, 5, 7, 11].map(|it: u64| it.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let day = u32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let mut lines = vec![Line::default(); 1 << LINES_LOG2];
    let places = Places::of(&Address::from(source), &key);
    for mask in &places.masks {
        for day in [day - 2, day - 1] {
            lines[places.line as usize][mask.word as usize] |= mask.bit(day);
        }
    }
    fs::create_dir_all(p.state()).unwrap();
    known::save(&p.state(), &Known { day, key, lines }).unwrap();
}

/// Known good by the days before; of hop limits the kernel knows none yet.
fn protected() -> Protected {
    let mut p = Protected::unstarted(&Config::new("enforce"));
    know(&p, PARTNER_V4.into());
    p.start();
    defend(&p);
    p
}

#[test]
fn a_partner_begins_connections_while_his_address_is_forged() {
    let p = protected();
    let server = Server::start(&p, http::PORT);
    let to = SocketAddr::from((hosts::SERVER.v4, http::PORT));
    let from = SocketAddr::from((PARTNER_V4, 0));
    let options = Options {
        pace: Pace::PerSecond(PACE),
        cpu: None,
        first: false,
    };
    let attack = attack::named("partner-syn").unwrap();
    let flood = Flood::start(&p.sandbox, &attack, options).unwrap();
    wait_until("nothing is left of what there is at once", || {
        p.count("cookie_ceiling") > 50_000
    });
    let (begin, answered) = (clock::now(), p.count("cookie_answered"));
    let sent = flood.sent();
    // Of the first it is not known with which hop limit it comes: it is told by its retransmission.
    let (mut calls, mut failed) = (0, 0);
    while calls < CALLS || flood.sent() < sent + FORGED {
        let called = as_client(&p, || call(from, to).and_then(|it| ask(&it, 1000)));
        calls += 1;
        failed += usize::from(called.is_err());
        assert!(calls > 1 || failed == 0, "the first call: {called:?}");
        thread::sleep(Duration::from_millis(20));
    }
    let seconds = (clock::now() - begin).as_secs_f64();
    let answers = (p.count("cookie_answered") - answered) as f64;
    let pace = (flood.sent() - sent) as f64 / seconds;
    flood.finish().unwrap();
    println!(
        "{failed} of {calls} failed; {pace:.0} SYNs/s, {:.0} answers/s",
        answers / seconds
    );
    assert!(failed * 100 <= calls, "{failed} of {calls} calls failed");
    assert!(
        answers <= ANSWERS * (seconds + 1.0),
        "{answers} in {seconds} s"
    );
    assert_eq!(p.listed("ban"), [""; 0]);
    server.stop(&p);
}
