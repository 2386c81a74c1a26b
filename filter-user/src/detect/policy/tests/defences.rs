//! Which defence, from when on, until when.

use super::*;

#[test]
fn each_vector_meets_its_defence_in_the_first_step() {
    let closed = |protocol| Target::Service { protocol, port: 9 };
    let prefix = Target::Prefix {
        prefix: "203.0.113.0/24".parse().expect("a prefix"),
    };
    let cases = [
        (Vector::Syn, TCP, vec![Defence::Cookies]),
        (Vector::Syn, closed(6), vec![Defence::ClosedPorts]),
        (
            Vector::Syn,
            prefix.clone(),
            vec![Defence::Cookies, Defence::ClosedPorts],
        ),
        (Vector::SynAck, Target::Host, vec![Defence::Sockets]),
        (Vector::Ack, TCP, vec![Defence::Sockets]),
        (Vector::Close, TCP, vec![Defence::Sockets]),
        (Vector::Connections, TCP, vec![]),
        (Vector::Udp, UDP, vec![]),
        (Vector::Udp, closed(17), vec![Defence::ClosedPorts]),
        (Vector::Udp, Target::Host, vec![Defence::ClosedPorts]),
        (Vector::Udp, prefix, vec![Defence::ClosedPorts]),
        (Vector::Reflection, Target::Host, vec![Defence::Solicited]),
        (Vector::Icmp, Target::Host, vec![Defence::Icmp]),
        (Vector::Fragments, Target::Host, vec![]),
        (Vector::Protocols, Target::Host, vec![Defence::Protocols]),
        (Vector::Malformed, Target::Host, vec![]),
    ];
    for (vector, target, defences) in cases {
        let mut host = Host::new();
        host.step(&[threat(vector, target.clone(), Spoofed::Forged)]);
        assert_eq!(host.defences(), defences, "{vector} at {target}");
    }
}

#[test]
fn nothing_is_done_on_mere_suspicion() {
    for phase in [Phase::Calm, Phase::Suspected, Phase::Recovering] {
        for vector in Vector::ALL {
            let mut host = Host::new();
            let mut suspected = threat(vector, Target::Host, Spoofed::Unknown);
            suspected.phase = phase;
            host.run(5, &[suspected]);
            assert!(host.actions.is_empty(), "{vector} {phase}");
        }
    }
}

#[test]
fn a_defence_goes_on_while_it_is_needed_and_is_off_a_minute_after_the_last_packet() {
    let mut host = Host::new();
    let flood = [threat(Vector::Ack, TCP, Spoofed::Forged)];
    host.run(120, &flood);
    let (_, until) = host.held[&Defence::Sockets];
    assert!(until > host.elapsed);
    assert_eq!(host.actions.len(), 1, "to go on is no action");
    host.run(44, &[]);
    assert!(host.held[&Defence::Sockets].1 > host.elapsed, "not yet");
    host.run(2, &[]);
    assert_eq!(host.defences(), []);
    let (_, last) = host.actions.last().expect("two actions");
    assert_eq!(last.what, "let go of sockets");
    assert_eq!(last.why, "not needed for 45 s");
}

#[test]
fn cookies_do_not_blink_and_follow_the_ports() {
    let mut host = Host::new();
    let at = |port| {
        let target = Target::Service { protocol: 6, port };
        threat(Vector::Syn, target, Spoofed::Forged)
    };
    for _ in 0..20 {
        host.run(2, &[at(443)]);
        host.run(2, &[]);
        assert_eq!(host.cookies(), Some([443].as_slice()));
    }
    assert_eq!(host.actions.len(), 1);
    host.step(&[at(443), at(22)]);
    assert_eq!(host.cookies(), Some([22, 443].as_slice()));
    assert_eq!(host.actions.len(), 2);
    host.run(70, &[at(443)]);
    assert_eq!(host.cookies(), Some([443].as_slice()), "22 is calm");
    assert_eq!(host.actions.len(), 2);
}

#[test]
fn a_crowd_has_cookies_only_where_it_loses_connections() {
    let mut crowd = threat(Vector::Syn, TCP, Spoofed::Unknown);
    crowd.rate = 5_000.0;
    crowd.passed = 5_000.0;
    let mut host = Host::new();
    host.know("198.51.100.1", |_| {});
    crowd.heavy.push(heavy("198.51.100.1/32", 4_000.0));
    let mut suspected = crowd.clone();
    suspected.phase = Phase::Suspected;
    let play = |host: &mut Host, seconds: u64, threat: &Threat, dropped: u64| {
        for _ in 0..seconds * 10 {
            let port = host.snapshot.handshakes.entry(443).or_default();
            port.completed += 450;
            host.snapshot.stack.listen_drops += dropped;
            host.step(std::slice::from_ref(threat));
        }
    };
    host.snapshot.handshakes.insert(443, Handshakes::default());
    play(&mut host, 1, &suspected, 0);
    play(&mut host, 30, &crowd, 0);
    assert!(host.actions.is_empty(), "{:?}", host.actions);
    play(&mut host, 10, &crowd, 20);
    assert_eq!(host.cookies(), Some([443].as_slice()));
    assert_eq!(host.limits(), [""; 0], "visitors are not limited");
}

#[test]
fn pulses_have_their_defence_held_longer_and_it_still_ends() {
    let mut host = Host::new();
    let flood = [threat(Vector::Ack, TCP, Spoofed::Forged)];
    for _ in 0..12 {
        host.run(10, &flood);
        host.run(60, &[]);
    }
    // On, off; on, off; on for good.
    assert!(host.actions.len() <= 7, "{:?}", host.actions);
    host.run(3 * 60 + 1, &[]);
    assert_eq!(host.defences(), []);
}

#[test]
fn only_so_many_actions_are_in_a_minute_and_it_is_said_once() {
    let mut host = Host::new();
    host.config.actions = 3;
    let threats = Vector::ALL.map(|vector| threat(vector, Target::Host, Spoofed::Forged));
    host.run(50, &threats);
    assert_eq!(host.actions.len(), 3);
    let said = host.notices.len();
    assert_eq!(said, 1, "{:?}", host.notices);
    host.run(60, &threats);
    assert!(host.defences().len() > 3, "the next minute has room");
}

#[test]
fn suggestions_change_nothing() {
    let mut host = Host::new();
    host.config.act = Act::Suggest;
    let flood = [threat(Vector::Syn, TCP, Spoofed::Forged)];
    host.run(30, &flood);
    host.run(90, &[]);
    assert_eq!(host.actions, []);
    assert_eq!(host.notices.len(), 1);
    let notice = host.notices.first().expect("one");
    assert!(
        notice.starts_with("would hold cookies at tcp/443: SYN flood at tcp/443: 100,000/s come"),
        "{notice}"
    );
}

#[test]
fn whoever_switches_to_suggestions_has_everything_let_go_of() {
    let mut host = Host::new();
    let flood = [
        threat(Vector::Syn, TCP, Spoofed::Forged),
        threat(Vector::Fragments, Target::Host, Spoofed::Forged),
    ];
    host.run(5, &flood);
    assert!(!host.held.is_empty() && !host.lowered.is_empty());
    host.config.act = Act::Suggest;
    host.run(5, &flood);
    assert!(host.held.is_empty() && host.lowered.is_empty());
    assert!(host.notices.iter().all(|text| text.starts_with("would ")));
    host.config.act = Act::Apply;
    host.step(&flood);
    assert_eq!(host.cookies(), Some([443].as_slice()));
}

#[test]
fn an_action_says_what_why_and_until_when() {
    let mut host = Host::new();
    host.step(&[threat(Vector::Ack, TCP, Spoofed::Forged)]);
    let (_, action) = host.actions.first().expect("one");
    assert_eq!(action.what, "hold sockets");
    assert_eq!(
        action.why,
        "ACK flood at tcp/443: 100,000/s come, 100,000/s of them to the stack, usual 100/s"
    );
    let until = action.until.expect("an end");
    assert_eq!((until - action.at).get_seconds(), 30);
}
