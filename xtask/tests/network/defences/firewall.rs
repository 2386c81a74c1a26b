//! What cookies change on this host, and what keeps them from working.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use xtask::lab::sandbox::Ns;

use super::{
    FAMILIES, PORT, Server, as_client, ask, call, defended, has_cookies, nft, set_setting, setting,
};
use crate::common::{Config, Protected, wait_until};

/// Drops what one address sends.
const JAIL: &str = "
table inet jail {
    chain input {
        type filter hook input priority 0
        ip saddr 198.51.100.7 tcp dport 8080 drop
    }
}
";

/// Drops what begins without a SYN, as the stack sees it.
const STRICT: &str = "
table inet strict {
    chain input {
        type filter hook input priority 0
        ct state new tcp flags & (fin|syn|rst|ack) != syn drop
    }
}
";

#[test]
fn cookies_go_off_where_a_firewall_wants_to_see_the_syn() {
    let p = defended();
    let server = Server::start(&p, PORT);
    let (to, from) = FAMILIES[0];
    let connect = || call((from, 0).into(), (to, PORT).into());
    let stream = as_client(&p, connect).unwrap();
    ask(&stream, 10).unwrap();

    nft(&p, Ns::Server, STRICT);
    // Each is answered, and none of them gets through.
    let mut calls = Vec::new();
    for host in 1..=5 {
        let from = SocketAddr::from((Ipv4Addr::new(198, 51, 100, host), 0));
        let mut call = as_client(&p, || call(from, (to, PORT).into())).unwrap();
        std::io::Write::write_all(&mut call, &10_u32.to_be_bytes()).unwrap();
        // Kept open: to conntrack, a FIN of what it never saw is not new but invalid, and passes.
        calls.push(call);
    }
    wait_until("cookies go off", || !has_cookies(&p, PORT));
    drop(calls);
    let change = p.override_of(&format!("defence.cookies.{PORT}"));
    assert_eq!(change["value"], "off");
    p.cli("status").ends(0).says("firewall");
    let stream = as_client(&p, connect).unwrap();
    ask(&stream, 10).unwrap();
    drop(stream);
    server.stop(&p);
}

#[test]
fn cookies_stay_on_where_a_rule_blocks_one_address() {
    let p = defended();
    let server = Server::start(&p, PORT);
    let (to, from) = FAMILIES[0];
    nft(&p, Ns::Server, JAIL);
    let before = p.count("cookie_accepted");
    let jailed = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7), 0));
    let mut calls = Vec::new();
    for _ in 0..5 {
        // It is answered, and says what nobody hears, again and again.
        let mut call = as_client(&p, || call(jailed, (to, PORT).into())).unwrap();
        std::io::Write::write_all(&mut call, &10_u32.to_be_bytes()).unwrap();
        calls.push(call);
    }
    thread::sleep(Duration::from_secs(4));
    assert!(p.count("cookie_accepted") >= before + 10);
    assert!(has_cookies(&p, PORT));
    let stream = as_client(&p, || call((from, 0).into(), (to, PORT).into())).unwrap();
    ask(&stream, 10).unwrap();
    drop((stream, calls));
    server.stop(&p);
}

#[test]
fn the_setting_of_cookies_is_changed_meanwhile_and_comes_back_after_a_crash() {
    let mut p = Protected::unstarted(&Config::new("enforce").table("[defences]\ncookies = \"on\""));
    set_setting(&p, "tcp_syncookies", "0");
    p.start();
    wait_until("SYNs are answered", || setting(&p, "tcp_syncookies") == "2");
    p.kill();
    assert_eq!(
        setting(&p, "tcp_syncookies"),
        "2",
        "nobody could put it back"
    );

    // The filter still answers, so that the next daemon goes on.
    p.start();
    assert_eq!(setting(&p, "tcp_syncookies"), "2");
    p.kill();

    // What was taken off by hand does not answer, and cookies are not wanted any more.
    fs::remove_dir_all(p.pins()).unwrap();
    p.write_config(&Config::new("enforce"));
    p.start();
    wait_until("the setting is back", || {
        setting(&p, "tcp_syncookies") == "0"
    });
}
