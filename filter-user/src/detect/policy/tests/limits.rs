//! Which limit, how far down, and back.

use super::*;

/// A flood of datagrams to an open port, by strangers that each send so many.
fn udp(host: &mut Host, sources: usize, each: f64) -> Threat {
    let mut flood = threat(Vector::Udp, UDP, Spoofed::Real);
    for number in 0..sources {
        let source = format!("198.51.{number}.7");
        host.know(&source, |_| {});
        flood.heavy.push(heavy(&source_net(&source), each));
    }
    flood.rate = each * sources as f64;
    flood.passed = flood.rate;
    flood
}

fn source_net(source: &str) -> String {
    format!("{source}/32")
}

#[test]
fn who_sends_most_is_limited_first_and_only_as_far_as_it_helps() {
    let mut host = Host::new();
    let mut flood = udp(&mut host, 4, 100_000.0);
    host.run(1, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.udp 20k/s"]);
    flood.passed = 80_000.0;
    host.run(1, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.udp 10k/s"]);
    flood.passed = 900.0;
    host.run(30, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.udp 10k/s"], "enough");
}

#[test]
fn a_limit_comes_back_step_by_step_within_a_minute() {
    let mut host = Host::new();
    let mut flood = udp(&mut host, 4, 100_000.0);
    for passed in [400_000.0, 80_000.0, 40_000.0, 20_000.0, 8_000.0] {
        flood.passed = passed;
        host.run(2, std::slice::from_ref(&flood));
    }
    assert_eq!(host.limits(), ["source.udp 2k/s"]);
    let mut seen = Vec::new();
    for _ in 0..46 {
        host.run(1, &[]);
        let rate = host.lowered.get(&"source.udp".parse().expect("a limit"));
        let rate = rate.map(|(rate, _)| rate.to_string());
        if seen.last() != Some(&rate) {
            seen.push(rate);
        }
    }
    let seen: Vec<_> = seen.iter().map(|rate| rate.as_deref()).collect();
    assert_eq!(
        seen,
        [
            Some("2k/s"),
            Some("5k/s"),
            Some("10k/s"),
            Some("20k/s"),
            None
        ]
    );
    assert_eq!(host.limits(), [""; 0]);
}

#[test]
fn forged_and_reflected_sources_are_not_limited_one_by_one() {
    for spoofed in [Spoofed::Forged, Spoofed::Reflected] {
        let mut host = Host::new();
        let mut flood = udp(&mut host, 4, 100_000.0);
        flood.spoofed = spoofed;
        host.snapshot.stack.udp_drops += 1_000_000;
        host.run(10, &[flood]);
        assert_eq!(host.limits(), [""; 0]);
    }
}

#[test]
fn those_for_whom_something_speaks_keep_limits_up() {
    let changes: [fn(&mut Standing); 3] = [
        |it| it.is_known_good = true,
        |it| it.healthy_sessions = 1,
        |it| it.is_untouchable = true,
    ];
    for change in changes {
        let mut host = Host::new();
        let flood = udp(&mut host, 4, 100_000.0);
        for standing in host.standings.values_mut() {
            change(standing);
        }
        host.run(10, &[flood]);
        assert_eq!(host.limits(), [""; 0]);
        assert!(host.actions.is_empty());
    }
}

#[test]
fn a_stranger_beside_those_who_send_more_is_not_worth_their_harm() {
    let mut host = Host::new();
    let mut flood = udp(&mut host, 4, 100_000.0);
    for number in 0..2 {
        host.know(&format!("198.51.{number}.7"), |it| it.is_known_good = true);
    }
    // A little less of the strangers than of the others.
    for heavy in flood.heavy.iter_mut().skip(2) {
        heavy.rate = 90_000.0;
    }
    host.run(10, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), [""; 0]);
}

#[test]
fn nobody_is_limited_before_his_standing_is_known() {
    let mut host = Host::new();
    let flood = udp(&mut host, 4, 100_000.0);
    host.standings.clear();
    host.run(10, &[flood]);
    assert_eq!(host.limits(), [""; 0]);
}

#[test]
fn where_the_stack_loses_datagrams_everybody_gets_a_share_while_that_helps() {
    let mut host = Host::new();
    let mut flood = threat(Vector::Udp, UDP, Spoofed::Unknown);
    flood.heavy.clear();
    let lose = |host: &mut Host, flood: &Threat| {
        for _ in 0..100 {
            host.snapshot.stack.udp_drops += 500;
            host.step(std::slice::from_ref(flood));
        }
    };
    lose(&mut host, &flood);
    assert_eq!(host.limits(), ["source.udp 20k/s", "prefix.udp 100k/s"]);
    flood.passed *= 0.8;
    lose(&mut host, &flood);
    assert_eq!(host.limits(), ["source.udp 10k/s", "prefix.udp 50k/s"]);
    let (_, action) = host.actions.first().expect("one");
    assert!(action.why.ends_with("of datagrams"), "{}", action.why);
}

#[test]
fn who_sent_much_before_is_no_stranger_though_nothing_else_speaks_for_him() {
    let tunnel: IpAddr = "198.51.7.7".parse().expect("an address");
    let run = |seconds: u64| {
        let mut host = Host::new();
        let mut flood = udp(&mut host, 1, 100_000.0);
        for _ in 0..seconds * 10 {
            let one = Observed {
                protocol: 17,
                ..packet(tunnel, TrafficClass::Udp, Fate::Passed, false)
            };
            host.snapshot.observed = vec![one; 5];
            host.step(&[]);
        }
        for heavy in &mut flood.heavy {
            heavy.prefix = tunnel.into();
        }
        host.know(&tunnel.to_string(), |_| {});
        host.run(5, &[flood]);
        host.limits()
    };
    assert_ne!(run(5), [""; 0], "a moment is no custom");
    assert_eq!(run(60), [""; 0]);
}

#[test]
fn where_a_defence_stops_nearly_all_no_limit_hits_what_passes() {
    let mut host = Host::new();
    let mut flood = udp(&mut host, 1, 100_000.0);
    flood.passed = 1.2 * flood.threshold;
    host.run(5, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), [""; 0]);
    flood.passed = 0.5 * flood.rate;
    host.run(5, &[flood]);
    assert_ne!(host.limits(), [""; 0]);
}

#[test]
fn neighbours_are_limited_together_where_each_is_small() {
    let mut host = Host::new();
    let mut flood = threat(Vector::Udp, UDP, Spoofed::Real);
    for number in 0..200 {
        let source = format!("198.51.100.{number}");
        host.know(&source, |_| {});
        flood.heavy.push(heavy(&source_net(&source), 1_500.0));
    }
    flood.rate = 300_000.0;
    flood.passed = 300_000.0;
    host.run(1, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["prefix.udp 100k/s"]);
    host.standings.clear();
    host.know("198.51.100.5", |it| it.is_known_good = true);
    let mut host_with_partner = Host::new();
    host_with_partner.standings = host.standings;
    host_with_partner.run(5, &[flood]);
    assert_eq!(host_with_partner.limits(), [""; 0]);
}

#[test]
fn limits_for_all_leave_twice_what_is_usual() {
    let mut host = Host::new();
    let mut flood = threat(Vector::Fragments, Target::Host, Spoofed::Forged);
    flood.usual = 1_100.0;
    host.run(20, &[flood]);
    assert_eq!(host.limits(), ["fragments 5k/s"]);
}

#[test]
fn icmp_is_limited_by_what_comes() {
    for (kind, limit) in [(8, "icmp.echo 200/s"), (3, "icmp.errors 200/s")] {
        let mut host = Host::new();
        let flood = threat(Vector::Icmp, Target::Host, Spoofed::Forged);
        for _ in 0..100 {
            let source = "198.51.100.1".parse().expect("an address");
            let mut ping = packet(source, TrafficClass::Icmp, Fate::Passed, false);
            ping.icmp = Some((kind, 0));
            host.snapshot.observed.push(ping);
            host.step(std::slice::from_ref(&flood));
        }
        assert_eq!(host.limits(), [limit]);
        assert_eq!(host.defences(), [Defence::Icmp]);
    }
}

#[test]
fn syns_in_a_partners_name_meet_cookies_and_not_his_limit() {
    let mut host = Host::new();
    host.know("198.51.100.1", |_| {});
    let mut flood = threat(Vector::Syn, TCP, Spoofed::Real);
    flood.heavy.push(heavy("198.51.100.1/32", 100_000.0));
    host.step(std::slice::from_ref(&flood));
    assert_eq!(host.cookies(), Some([443].as_slice()));
    flood.passed = 200.0;
    host.run(60, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), [""; 0]);
    assert_eq!(host.banned, BTreeMap::new());
}

#[test]
fn where_cookies_do_not_help_strangers_are_limited() {
    let mut host = Host::new();
    host.know("198.51.100.1", |_| {});
    let mut flood = threat(Vector::Syn, TCP, Spoofed::Real);
    flood.heavy.push(heavy("198.51.100.1/32", 100_000.0));
    host.run(1, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), [""; 0], "cookies have their time");
    host.run(2, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.syn 200/s"]);
}

#[test]
fn too_tight_a_limit_goes_up_again_and_stays_there() {
    let mut host = Host::new();
    let mut flood = udp(&mut host, 4, 100_000.0);
    flood.usual = 50_000.0;
    flood.threshold = 60_000.0;
    host.run(2, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.udp 10k/s"]);
    flood.passed = 10_000.0;
    host.run(11, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.udp 20k/s"]);
    flood.passed = 70_000.0;
    host.run(5, std::slice::from_ref(&flood));
    assert!(host.limits().contains(&"source.udp 20k/s".to_owned()));
}

#[test]
fn connections_are_limited_with_their_defence_and_a_crowd_is_not() {
    let mut host = Host::new();
    let mut flood = threat(Vector::Connections, TCP, Spoofed::Real);
    flood.rate = 20_000.0;
    flood.passed = 20_000.0;
    for number in 0..10 {
        let source = format!("198.51.{number}.7");
        host.know(&source, |_| {});
        flood.heavy.push(heavy(&source_net(&source), 2_000.0));
    }
    host.run(1, std::slice::from_ref(&flood));
    assert_eq!(host.limits(), ["source.connections 100/s burst 1k"]);
    assert_eq!(host.defences(), [Defence::Connections]);

    let mut crowd = Host::new();
    for standing in host.standings.values_mut() {
        standing.healthy_sessions = 40;
    }
    crowd.standings = host.standings;
    crowd.snapshot.stack.listen_drops += 10_000;
    crowd.run(30, &[flood]);
    assert!(crowd.actions.is_empty(), "{:?}", crowd.actions);
}
