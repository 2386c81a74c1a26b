//! What the controller is told, and what it tells of an incident.

use super::*;

#[test]
fn an_incident_tells_what_was_refused_and_whoever_is_spared_spares_no_other() {
    let host = host("mode = \"enforce\"\ndefences.sockets = \"off\"");
    let mut daemon = host.protecting();
    daemon
        .controller(ban(&["203.0.113.7/32"]))
        .expect("banned once");
    daemon.remove(Ban, &["203.0.113.7/32"]).expect("lifted");
    let commands = vec![
        hold(Defence::Sockets, &[]),
        hold(Defence::Icmp, &[]),
        ban(&["203.0.113.6/32", "203.0.113.7/32", "203.0.113.8/32"]),
    ];
    let action = |what: &str| output::Action {
        at: clock::now(),
        what: what.to_owned(),
        why: "a test".to_owned(),
        until: Some(Timestamp::MAX),
        refused: None,
    };
    let actions = ["hold sockets", "hold icmp", "ban three"].map(action);
    let deeds = actions.iter().zip(&commands);
    let deeds = deeds.map(|(action, command)| Deed {
        action: action.clone(),
        command: command.clone(),
    });
    daemon.act(Output {
        deeds: deeds.collect(),
        commands,
        news: vec![News::Opened(Box::new(Report {
            id: 7,
            actions: actions.to_vec(),
            ..Report::default()
        }))],
        ..Output::default()
    });
    assert!(daemon.meets(Ban, "203.0.113.6") && daemon.meets(Ban, "203.0.113.8"));
    assert!(!daemon.meets(Ban, "203.0.113.7"));
    let told = daemon.incident(7).expect("it is there").incident.actions;
    let [sockets, icmp, bans] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        sockets.refused.as_deref(),
        Some("sockets is off, by the file")
    );
    assert_eq!(sockets.until, None, "nothing of it is in force");
    assert_eq!(icmp, &actions[1]);
    let why = bans.refused.as_deref().expect("in part");
    assert!(
        why.starts_with("203.0.113.7/32: an operator ended"),
        "{why}"
    );
    assert!(bans.until.is_some(), "the others are");
}

#[test]
fn neighbours_are_not_banned_together_where_one_is_good() {
    let host = host("mode = \"enforce\"");
    let mut daemon = host.protecting();
    let refused = |daemon: &mut Daemon<Fake>, prefix: &str| {
        daemon.act(Output {
            commands: vec![ban(&[prefix])],
            ..Output::default()
        });
        let list = daemon.state.list(Ban);
        list.end(&prefix.parse().expect("a prefix")).is_none()
    };
    // Nobody asked about those who send little.
    let mut table = vec![known::Line::default(); 1 << known::LINES_LOG2];
    for address in ["198.51.100.200", "2001:db8:7:9::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let places = known::Places::of(&Address::from(address), &daemon.plane.settings.key);
        for place in places.masks {
            let line = &mut table[places.line as usize];
            line[place.word as usize] |= place.bit(1) | place.bit(2);
        }
    }
    daemon.plane.companions.known = table;
    assert!(refused(&mut daemon, "198.51.100.0/24"));
    assert!(refused(&mut daemon, "2001:db8:7::/48"));
    assert!(!refused(&mut daemon, "198.51.101.0/24"));
    assert!(!refused(&mut daemon, "198.51.100.201/32"));

    let session: IpAddr = "192.0.3.9".parse().expect("an address");
    host.surroundings.scene().healthy = BTreeMap::from([(session, 1)]);
    assert!(refused(&mut daemon, "192.0.3.0/24"));
    host.surroundings.scene().healthy.clear();
    assert!(!refused(&mut daemon, "192.0.3.0/24"));
    assert_eq!(daemon.events("controller.refused").len(), 3);
}

/// A sample of a SYN from 198.51.100.7 to port 443, with some bytes of data.
fn syn() -> Sample {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([
        0x45, 0, 0, 43, 0, 1, 0, 0, 55, 6, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1,
    ]);
    frame.extend([
        0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0, 7, 8, 9,
    ]);
    let mut bytes = [0; CAPTURE];
    bytes[..frame.len()].copy_from_slice(&frame);
    Sample {
        tick: 1,
        length: 60,
        interface: 2,
        queue: 0,
        captured: 60,
        spared: 0,
        reason: Reason::LimitSyn.code(),
        dropped: 1,
        bytes,
    }
}

#[test]
fn a_moment_is_read_whole() {
    let host = host("");
    host.surroundings.scene().stack = Stack {
        listen_drops: 5,
        ..Stack::default()
    };
    host.surroundings.scene().card = Card {
        lost: Some(9),
        speed: Some(1_000_000_000),
    };
    let mut daemon = host.protecting();
    let counter = |packets| Counter {
        packets,
        bytes: packets * 60,
    };
    let mut counters = [Counter::default(); COUNTERS as usize];
    counters[3] = counter(77);
    daemon.plane.counters = Some(counters);
    let mut traffic = vec![[Counter::default(); TrafficClass::ALL.len()]; 32];
    traffic[place(2) as usize][TrafficClass::Syn as usize] = counter(10);
    traffic[place(3) as usize][TrafficClass::Syn as usize] = counter(5);
    daemon.plane.traffic = traffic;
    daemon.plane.cookie_ports.insert(
        443,
        CookiePort {
            accepted: 4,
            completed: 3,
            ..CookiePort::default()
        },
    );
    let watched = Sample {
        dropped: 0,
        ..syn()
    };
    let established = Sample {
        reason: Reason::Clean.code(),
        spared: Reason::Established.code(),
        ..watched
    };
    let broken = Sample {
        captured: 20,
        ..syn()
    };
    daemon.plane.samples = vec![syn(), watched, established, broken];
    daemon.read_samples();
    let snapshot = daemon.read_moment();

    assert_eq!(snapshot.counters[3], counter(77));
    assert_eq!(snapshot.traffic[TrafficClass::Syn as usize], counter(15));
    assert_eq!(snapshot.stack.listen_drops, 5);
    let [interface] = &*snapshot.interfaces else {
        panic!("one is protected: {:?}", snapshot.interfaces);
    };
    assert_eq!(interface.name, "eth0");
    assert_eq!(interface.traffic[TrafficClass::Syn as usize], counter(10));
    assert_eq!(
        (interface.lost, interface.speed),
        (Some(9), Some(1_000_000_000))
    );
    assert_eq!(snapshot.listening, [(6, 80), (6, 443), (17, 53)]);
    let handshakes = Handshakes {
        accepted: 4,
        completed: 3,
    };
    let expected = BTreeMap::from([(80, Handshakes::default()), (443, handshakes)]);
    assert_eq!(snapshot.handshakes, expected);

    let fates: Vec<_> = snapshot.observed.iter().map(|it| it.fate).collect();
    let reason = Reason::LimitSyn;
    assert_eq!(
        fates,
        [Fate::Stopped(reason), Fate::Watched(reason), Fate::Passed]
    );
    let proven: Vec<_> = snapshot.observed.iter().map(|it| it.is_proven).collect();
    assert_eq!(proven, [false, false, true]);
    let packet = &snapshot.observed[0];
    assert_eq!(
        packet.source,
        "198.51.100.7".parse::<IpAddr>().expect("one")
    );
    assert_eq!(
        (packet.class, packet.ports),
        (TrafficClass::Syn, Some((40_000, 443)))
    );
    assert_eq!(
        (packet.flags, packet.hops, packet.length),
        (TcpFlags(2), 55, 43)
    );
    assert_eq!(packet.payload.as_slice(), [7, 8, 9], "without the padding");

    // Who completed a handshake of late is proven, and nothing is told twice.
    let address = Address::from(packet.source);
    daemon.plane.companions.proven.insert(address);
    daemon.plane.samples = vec![syn()];
    daemon.read_samples();
    let observed = daemon.read_moment().observed;
    assert!(observed.len() == 1 && observed[0].is_proven);
    assert!(daemon.read_moment().observed.is_empty());
}

#[test]
fn sources_are_looked_up_when_asked_for_and_not_too_many() {
    let host = host("");
    let mut daemon = host.protecting();
    let address = |last: usize| -> IpAddr { [198, 51, 100, last as u8].into() };
    let own: IpAddr = "192.0.2.1".parse().expect("an address");
    host.surroundings.scene().healthy = BTreeMap::from([(address(3), 2)]);
    daemon.plane.companions.proven.insert(address(3).into());
    daemon.add(Allow, &["198.51.100.4/32"]).expect("allowed");
    let ask: Vec<IpAddr> = [own].into_iter().chain((1..40).map(address)).collect();
    let output = || Output {
        ask: ask.clone(),
        ..Output::default()
    };
    daemon.act(output());
    daemon.act(output());
    let standings = daemon.read_moment().standings;
    assert_eq!(standings.len(), 16);
    assert!(standings[0].is_untouchable && standings[4].is_untouchable);
    assert!(!standings[3].is_untouchable);
    assert!(standings[3].is_proven && !standings[2].is_proven);
    assert_eq!(
        (standings[3].healthy_sessions, standings[2].healthy_sessions),
        (2, 0)
    );
    assert!(
        daemon.read_moment().standings.is_empty(),
        "not ten times a second"
    );
    let asked = host.surroundings.scene().asked.clone();
    assert_eq!(asked, [ask[..16].to_vec()]);
    // Each waits once, however often it is asked for.
    let counters = daemon.plane.counters().expect("counters");
    let mut found = standings.len();
    for quarter in 1..10 {
        let later = clock::monotonic() + Duration::from_secs(quarter);
        found += daemon
            .observe_all(later, counters)
            .expect("a snapshot")
            .standings
            .len();
    }
    assert_eq!(found, ask.len());
}
