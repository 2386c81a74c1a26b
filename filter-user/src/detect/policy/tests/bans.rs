//! Who is banned, and who never is.

use super::*;

const SOURCE: &str = "198.51.100.1";

fn connections() -> Threat {
    let mut flood = threat(Vector::Connections, TCP, Spoofed::Real);
    flood.rate = 5_000.0;
    flood.passed = 5_000.0;
    flood
}

/// Lets these complete more handshakes than they may, for so long.
fn offend(host: &mut Host, seconds: u64, sources: &[&str]) {
    for _ in 0..seconds * 10 {
        let packets = sources.iter().map(|source| stopped(source));
        host.snapshot.observed.extend(packets);
        host.step(&[connections()]);
    }
}

#[test]
fn who_completes_too_many_handshakes_is_banned_for_a_minute() {
    let mut host = Host::new();
    host.know(SOURCE, |_| {});
    offend(&mut host, 5, &[SOURCE]);
    let [(_, prefix, duration)] = host.bans[..] else {
        panic!("{:?}", host.bans);
    };
    assert_eq!(prefix.to_string(), "198.51.100.1/32");
    assert_eq!(duration, Duration::from_secs(60));
    let (_, action) = host.actions.first().expect("one");
    assert_eq!(action.what, "ban 198.51.100.1/32 for 60 s");
    assert!(
        action
            .why
            .contains("SYNs in 5 s above the limit of completed handshakes"),
        "{}",
        action.why
    );
}

#[test]
fn bans_grow_with_repetition_up_to_a_bound_and_shrink_with_good_behaviour() {
    let mut host = Host::new();
    host.config.ban_most = Duration::from_secs(400);
    host.know(SOURCE, |_| {});
    let lasts =
        |host: &Host| -> Vec<u64> { host.bans.iter().map(|(_, _, it)| it.as_secs()).collect() };
    for _ in 0..5 {
        offend(&mut host, 5, &[SOURCE]);
        host.run(400, &[]);
    }
    assert_eq!(lasts(&host), [60, 120, 240, 400, 400]);
    host.run(3 * 600, &[]);
    offend(&mut host, 5, &[SOURCE]);
    assert_eq!(lasts(&host).last(), Some(&240));
}

#[test]
fn a_ban_is_not_lengthened_without_new_evidence() {
    let mut host = Host::new();
    host.know(SOURCE, |_| {});
    offend(&mut host, 30, &[SOURCE]);
    assert_eq!(host.bans.len(), 1, "while it lasts");
    host.run(300, &[connections()]);
    assert_eq!(host.bans.len(), 1, "the attack goes on without it");
}

#[test]
fn nobody_is_banned_for_whom_anything_speaks() {
    let changes: [fn(&mut Standing); 4] = [
        |it| it.is_proven = false,
        |it| it.is_known_good = true,
        |it| it.healthy_sessions = 1,
        |it| it.is_untouchable = true,
    ];
    for change in changes {
        let mut host = Host::new();
        host.know(SOURCE, change);
        offend(&mut host, 60, &[SOURCE]);
        assert_eq!(host.bans, []);
    }
    let mut host = Host::new();
    offend(&mut host, 60, &[SOURCE]);
    assert_eq!(host.bans, [], "nobody said anything of it");
}

#[test]
fn a_session_that_was_healthy_a_moment_ago_still_speaks() {
    let mut host = Host::new();
    for second in 0..60 {
        host.know(SOURCE, |it| {
            it.healthy_sessions = u32::from(second % 10 == 0)
        });
        offend(&mut host, 1, &[SOURCE]);
    }
    assert_eq!(host.bans, []);
}

#[test]
fn one_look_is_not_enough_and_an_old_one_is_none() {
    for (looks, then) in [(1, 0), (2, 5)] {
        let mut host = Host::new();
        host.know(SOURCE, |_| {});
        let mut flood = connections();
        flood.heavy.push(heavy("198.51.100.1/32", 1_000.0));
        // It is looked at so often before it offends, and then not any more.
        let mut looked = 0;
        while looked < looks {
            looked += host.step(std::slice::from_ref(&flood)).ask.len();
        }
        host.step(std::slice::from_ref(&flood));
        host.standings.clear();
        host.run(then, std::slice::from_ref(&flood));
        offend(&mut host, 5, &[SOURCE]);
        assert_eq!(host.bans, [], "looked at {looks} times");
    }
}

#[test]
fn what_comes_during_a_ban_is_no_reason_for_the_next() {
    let mut host = Host::new();
    host.config.ban = Duration::from_secs(3);
    host.know(SOURCE, |_| {});
    while host.bans.is_empty() {
        offend(&mut host, 1, &[SOURCE]);
    }
    let (began, _, duration) = *host.bans.first().expect("one");
    while host.elapsed + STEP < began + duration {
        host.snapshot.observed.push(stopped(SOURCE));
        let mut flood = connections();
        flood.heavy.push(heavy("198.51.100.1/32", 1_000.0));
        host.step(&[flood]);
    }
    for _ in 0..100 {
        let mut flood = connections();
        flood.heavy.push(heavy("198.51.100.1/32", 1_000.0));
        host.step(&[flood]);
    }
    assert_eq!(host.bans.len(), 1);
}

#[test]
fn floods_in_a_partners_name_ban_nobody() {
    for vector in Vector::ALL {
        for spoofed in [Spoofed::Real, Spoofed::Unknown, Spoofed::Forged] {
            let mut host = Host::new();
            host.know(SOURCE, |_| {});
            let partner: IpAddr = SOURCE.parse().expect("an address");
            let mut flood = threat(vector, TCP, spoofed);
            flood.heavy.push(heavy("198.51.100.1/32", 100_000.0));
            for step in 0..600 {
                for class in [TrafficClass::Syn, TrafficClass::Ack, TrafficClass::Udp] {
                    let forged = packet(partner, class, Fate::Passed, false);
                    host.snapshot.observed.extend([forged.clone(), forged]);
                }
                // Who looks up the source finds it proven, whoever sent it.
                let found = packet(partner, TrafficClass::Ack, Fate::Passed, step % 2 == 0);
                host.snapshot.observed.push(found);
                host.step(std::slice::from_ref(&flood));
            }
            assert_eq!(host.bans, [], "{vector} {spoofed:?}");
        }
    }
}

#[test]
fn many_bad_neighbours_are_banned_together_unless_one_is_good() {
    let names: Vec<String> = (1..=9).map(|last| format!("198.51.100.{last}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let prefix: IpNet = "198.51.100.0/24".parse().expect("a prefix");

    let mut host = Host::new();
    for name in &names {
        host.know(name, |_| {});
    }
    offend(&mut host, 10, &names);
    assert!(host.banned.contains_key(&prefix), "{:?}", host.bans);
    // Those nine together were two actions, and their neighbourhood a third.
    assert!(host.actions.len() <= 3, "{:?}", host.actions);

    let mut host = Host::new();
    for name in &names {
        host.know(name, |_| {});
    }
    host.know("198.51.100.200", |it| it.is_known_good = true);
    let mut all = names;
    all.push("198.51.100.200");
    offend(&mut host, 10, &all);
    assert_eq!(host.bans.len(), 9);
    assert!(!host.banned.contains_key(&prefix));
}

#[test]
fn a_ban_that_was_refused_spoils_no_other_again() {
    let other = "203.0.113.77";
    let mut host = Host::new();
    for name in [SOURCE, other] {
        host.know(name, |_| {});
    }
    offend(&mut host, 5, &[SOURCE, other]);
    assert_eq!((host.bans.len(), host.actions.len()), (2, 1), "together");
    host.run(3, &[connections()]);
    let passes = packet(
        SOURCE.parse().expect("an address"),
        TrafficClass::Syn,
        Fate::Passed,
        false,
    );
    host.snapshot.observed.push(passes);
    host.step(&[connections()]);
    host.run(60, &[]);
    offend(&mut host, 5, &[SOURCE, other]);
    assert_eq!((host.bans.len(), host.actions.len()), (4, 3), "one by one");
}

#[test]
fn members_of_a_neighbourhood_that_was_spared_are_banned_one_by_one_again() {
    let names: Vec<String> = (1..=9).map(|last| format!("198.51.100.{last}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let prefix: IpNet = "198.51.100.0/24".parse().expect("a prefix");
    let mut host = Host::new();
    for name in &names {
        host.know(name, |_| {});
    }
    offend(&mut host, 10, &names);
    let found = host
        .bans
        .iter()
        .position(|(_, banned, _)| *banned == prefix);
    assert!(found.is_some(), "{:?}", host.bans);
    let command = Command::Add {
        list: ListKind::Ban,
        prefixes: vec![prefix],
        duration: None,
        reason: String::new(),
        force: false,
    };
    host.policy.refused(&Refused {
        command,
        prefixes: vec![prefix],
        why: "one is good".to_owned(),
    });
    host.banned.remove(&prefix);
    let tries = |host: &Host| {
        let all = host.bans.iter();
        all.filter(|(_, banned, _)| *banned == prefix).count()
    };
    host.run(60, &[]);
    offend(&mut host, 10, &["198.51.100.1"]);
    assert_eq!(
        host.bans.last().map(|(_, it, _)| it.to_string()).as_deref(),
        Some("198.51.100.1/32")
    );
    assert_eq!(tries(&host), 1, "not again for what it was refused for");
}

#[test]
fn a_64_is_one_source() {
    let mut host = Host::new();
    host.know("2001:db8:1:2::1", |_| {});
    offend(&mut host, 5, &["2001:db8:1:2::1", "2001:db8:1:2:3::4"]);
    let prefixes: Vec<String> = host.banned.keys().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["2001:db8:1:2::/64"]);
}

#[test]
fn all_is_undone_at_the_end() {
    let mut host = Host::new();
    host.know(SOURCE, |_| {});
    offend(&mut host, 5, &[SOURCE]);
    host.run(
        2,
        &[threat(Vector::Fragments, Target::Host, Spoofed::Forged)],
    );
    host.run(2, &[threat(Vector::Syn, TCP, Spoofed::Forged)]);
    assert!(!host.held.is_empty() && !host.lowered.is_empty() && !host.banned.is_empty());
    for command in host.policy.let_go() {
        host.carry_out(&command);
    }
    assert!(host.held.is_empty() && host.lowered.is_empty() && host.banned.is_empty());
    assert_eq!(host.policy.let_go(), []);
}
