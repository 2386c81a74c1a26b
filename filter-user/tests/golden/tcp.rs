//! TCP of a host with real sockets: closed ports, and what belongs to no socket.

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        feature::Feature,
        reason::Reason,
        settings::Class,
    },
    logic::bucket::Limit,
};

use crate::{
    bench::{Bench, XDP_DROP, XDP_PASS},
    cookies,
    force::{Force, only},
    frame::{ACK, FIN, PSH, RST, SYN, TCP, tcp, v4, v6},
    host::{self, CLIENT, OWN},
    row::{Row, Scenario, row},
    segment::Segment,
};

/// Rows for every reason here, about sockets that live as long as the host does. The cookie that
/// one of them brings is made on the bench.
pub fn scenarios(bench: &mut Bench, host: &Host) -> Vec<Scenario> {
    let hz = bench.hz();
    let open = host::port(&host.listener);
    let connected = host.connection.client_port();
    let from = |port, flags| Segment::syn(CLIENT[0], port, OWN[0], open).flags(flags);
    let asked = || cookies::force(open, hz).defend(Defence::Sockets, &OWN);
    let has_cookies = bench.has(Feature::Cookies);
    let cookie = has_cookies.then(|| {
        let answer = cookies::ask(bench, &asked(), &from(7, SYN));
        let cookie = from(7, SYN).acknowledging(&answer).frame();
        row("a cookie that was given", cookie, Reason::CookieAccepted)
    });
    let watched = |mut row: Row, reason| {
        row.reason = Reason::Clean;
        row.observed(reason)
    };
    let rows = || {
        vec![
            row(
                "a SYN to a closed port",
                from(1, SYN).toward(open ^ 1).frame(),
                Reason::ClosedTcp,
            ),
            row(
                "a SYN to a defended port",
                from(1, SYN).frame(),
                Reason::CookieAnswered,
            ),
            row(
                "a forged ACK to a listener",
                from(2, ACK).frame(),
                Reason::CookieRefused,
            ),
            row(
                "a RST to a listener",
                from(2, RST).frame(),
                Reason::CookieRefused,
            ),
            row(
                "a FIN to a listener",
                from(2, FIN).frame(),
                Reason::CookieRefused,
            ),
            row(
                "a SYN-ACK to a listener",
                from(2, SYN | ACK).frame(),
                Reason::CookieRefused,
            ),
            row(
                "an ACK to a port where nobody listens",
                from(2, ACK).toward(open ^ 1).frame(),
                Reason::NoSocket,
            ),
        ]
    };
    let data = row(
        "data of a connection",
        from(connected, ACK | PSH).frame(),
        Reason::Established,
    );
    let passes = std::iter::once(data).chain(cookie);
    let all = |force: Force| {
        force
            .defend(Defence::ClosedPorts, &OWN)
            .port(PortSet::TcpOpen, open)
    };
    let ceiling = |force: Force| all(force).with(|it| it.cookies.answers_prefix = only(1, hz));
    let over = |from| {
        let syn = Segment::syn(from, 1, OWN[0], open).frame();
        vec![
            row("a SYN", syn.clone(), Reason::CookieAnswered),
            row("one too many", syn, Reason::CookieCeiling),
        ]
    };
    let codes: Vec<Reason> = rows().iter().map(|row| row.reason).collect();
    let monitored = rows()
        .into_iter()
        .zip(codes)
        .map(|(row, reason)| watched(row, reason));
    let over_codes = [Reason::CookieAnswered, Reason::CookieCeiling];
    let monitored_over = over("198.51.101.1").into_iter().zip(over_codes);
    let monitored_over = monitored_over.map(|(row, reason)| watched(row, reason));
    let mut scenarios = vec![
        Scenario {
            name: "a host that defends its TCP",
            force: all(asked()),
            rows: rows().into_iter().chain(passes).collect(),
        },
        Scenario {
            name: "a host that watches its TCP",
            force: all(asked()).with(|it| it.enforced = 0),
            rows: monitored.collect(),
        },
        Scenario {
            name: "a ceiling of answers",
            force: ceiling(asked()),
            rows: over("198.51.100.1"),
        },
        Scenario {
            name: "a ceiling of answers that is watched",
            force: ceiling(asked()).with(|it| it.enforced = 0),
            rows: monitored_over.collect(),
        },
    ];
    if !has_cookies {
        let is_left_out = |reason: Reason| OF_COOKIES.contains(&reason);
        for scenario in &mut scenarios {
            scenario
                .rows
                .retain(|row| !is_left_out(row.reason) && !row.observed.is_some_and(is_left_out));
        }
    }
    scenarios
}

/// Reasons that need cookies.
pub const OF_COOKIES: [Reason; 4] = [
    Reason::CookieAnswered,
    Reason::CookieAccepted,
    Reason::CookieRefused,
    Reason::CookieCeiling,
];

/// Sockets that the rows are about.
pub struct Host {
    listener: std::net::TcpListener,
    connection: host::Connection,
}

impl Host {
    /// In the namespace of this thread.
    pub fn new() -> Self {
        let listener = host::listener(OWN[0]);
        let connection = host::connection(CLIENT[0], OWN[0], &listener);
        Self {
            listener,
            connection,
        }
    }
}

/// What becomes of segments while sockets are asked.
struct Asked {
    bench: Bench,
}

impl Asked {
    fn new() -> Self {
        let bench = Bench::new();
        host::enter();
        let mut asked = Self { bench };
        asked.put(|force| force);
        asked
    }

    fn put(&mut self, change: impl FnOnce(Force) -> Force) {
        let force = Force::new().defend(Defence::Sockets, &OWN);
        self.bench.put(&change(force));
    }

    /// What becomes of a segment of no connection that meets a listener: it has to bring a cookie,
    /// where there are any.
    fn at_a_listener(&self) -> Reason {
        if self.bench.has(Feature::Cookies) {
            Reason::CookieRefused
        } else {
            Reason::Clean
        }
    }

    fn meets(&mut self, says: &str, segment: &Segment, reason: Reason) {
        println!("{says}");
        let frame = segment.frame();
        let fate = self.bench.run(&frame);
        fate.assert(&frame, reason, None, true);
    }
}

#[test]
fn a_segment_belongs_to_a_connection_as_long_as_there_is_one() {
    let mut asked = Asked::new();
    for (own, client) in OWN.into_iter().zip(CLIENT) {
        let listener = host::listener(own);
        let connection = host::connection(client, own, &listener);
        let port = host::port(&listener);
        let client_port = connection.client_port();
        let mine = |flags| Segment::syn(client, client_port, own, port).flags(flags);
        for flags in [ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, SYN | ACK] {
            asked.meets("of a connection", &mine(flags), Reason::Established);
        }
        let other = |flags| Segment::syn(client, client_port ^ 1, own, port).flags(flags);
        asked.meets("another port", &other(ACK), asked.at_a_listener());
        asked.meets("a SYN", &other(SYN), Reason::Clean);
        connection.half_close();
        asked.meets("half closed", &mine(ACK | PSH), Reason::Established);
        connection.close();
        asked.meets("time-wait", &mine(ACK | FIN), Reason::Clean);
        drop(listener);
        asked.meets("time-wait without a listener", &mine(ACK), Reason::Clean);
        asked.meets("nobody listens", &other(ACK), Reason::NoSocket);
        asked.meets("a SYN where nobody listens", &other(SYN), Reason::Clean);
    }
}

#[test]
fn sockets_of_both_families_and_shared_ports_are_found() {
    let mut asked = Asked::new();
    let both = host::listener("::");
    let connection = host::connection(CLIENT[0], OWN[0], &both);
    let port = host::port(&both);
    let own = |from_port| Segment::syn(CLIENT[0], from_port, OWN[0], port).flags(ACK);
    let mine = own(connection.client_port());
    asked.meets("IPv4 in an IPv6 socket", &mine, Reason::Established);
    asked.meets("its listener", &own(9), asked.at_a_listener());

    let (listeners, port) = host::group(OWN[0], 4);
    for from_port in 1..=16 {
        let segment = Segment::syn(CLIENT[0], from_port, OWN[0], port).flags(ACK);
        asked.meets("a listener of a group", &segment, asked.at_a_listener());
    }
    drop(listeners);
}

#[test]
fn what_answers_this_host_goes_on() {
    let mut asked = Asked::new();
    let (_socket, port, nobody) = host::unanswered();
    let answer = |from_port, flags| Segment::syn(nobody, from_port, OWN[0], port).flags(flags);
    asked.meets(
        "a SYN-ACK that is waited for",
        &answer(80, SYN | ACK),
        Reason::Clean,
    );
    asked.meets("a refusal", &answer(80, RST | ACK), Reason::Clean);
    asked.meets("a simultaneous SYN", &answer(80, SYN), Reason::Clean);
    asked.meets(
        "a SYN-ACK nobody waits for",
        &answer(81, SYN | ACK),
        Reason::NoSocket,
    );
}

#[test]
fn a_connection_is_spared_the_limits_of_its_source_but_not_a_listener() {
    let mut asked = Asked::new();
    let listener = host::listener(OWN[0]);
    let connection = host::connection(CLIENT[0], OWN[0], &listener);
    let hz = asked.bench.hz();
    asked.put(|force| {
        force.with(|it| {
            it.source.limits[Class::All as usize] = only(1, hz);
            it.source.always = Class::All.bit();
        })
    });
    let port = host::port(&listener);
    let segment = |from_port, flags| Segment::syn(CLIENT[0], from_port, OWN[0], port).flags(flags);
    let mine = segment(connection.client_port(), ACK);
    let other = segment(connection.client_port() ^ 1, SYN);
    asked.meets("its first SYN", &other, Reason::Clean);
    asked.meets("another", &other, Reason::LimitAll);
    for _ in 0..3 {
        asked.meets("of the connection", &mine, Reason::Established);
    }
    asked.meets("a SYN of the same source", &other, Reason::LimitAll);
}

#[test]
fn what_is_left_out_and_what_is_not_ours_is_not_asked_about() {
    let mut asked = Asked::new();
    let stray = |to, port| Segment::syn(CLIENT[0], 7, to, port).flags(ACK);
    asked.meets("nobody's", &stray(OWN[0], 80), Reason::NoSocket);
    asked.put(|force| force.port(PortSet::TcpLeftOut, 80));
    asked.meets("left out", &stray(OWN[0], 80), Reason::Clean);
    asked.meets("another port", &stray(OWN[0], 81), Reason::NoSocket);
    asked.meets("forwarded", &stray("198.51.100.1", 81), Reason::Clean);
    let later = v4(CLIENT[0], TCP, tcp(1, 2, ACK)).piece(100, false).frame();
    asked
        .bench
        .run(&later)
        .assert(&later, Reason::Clean, None, true);
    let first = v4(CLIENT[0], TCP, tcp(1, 2, ACK)).piece(0, true).frame();
    asked
        .bench
        .run(&first)
        .assert(&first, Reason::NoSocket, None, true);
    asked.put(|force| force.rule("pass tcp dport 81"));
    asked.meets("passed by a rule", &stray(OWN[0], 81), Reason::RulePass);
    asked.put(|force| force.with(|it| it.defences_always = 0));
    asked.meets("the defence is off", &stray(OWN[0], 81), Reason::Clean);
}

#[test]
fn a_defence_that_holds_under_pressure_begins_with_it() {
    let mut asked = Asked::new();
    let hz = asked.bench.hz();
    asked.put(|force| {
        force.with(|it| {
            it.defences_pressed = it.defences_always;
            it.defences_always = 0;
            it.pressure = only(2, hz);
            it.pressure_hold = hz;
        })
    });
    let stray = Segment::syn(CLIENT[0], 7, OWN[0], 80).flags(ACK);
    let frame = stray.frame();
    let verdicts: Vec<u32> = (0..4).map(|_| asked.bench.run(&frame).verdict).collect();
    assert_eq!(verdicts, [XDP_PASS, XDP_PASS, XDP_DROP, XDP_DROP]);
}

#[test]
fn closed_ports_are_closed_for_both_families_to_what_opens_a_connection() {
    let mut bench = Bench::new();
    let none = Limit::default();
    bench.put(
        &Force::new()
            .defend(Defence::ClosedPorts, &OWN)
            .port(PortSet::TcpOpen, 443)
            .port(PortSet::TcpLeftOut, 8080)
            .with(|it| it.pressure = none),
    );
    for port in [0_u16, 1, 63, 64, 442, 443, 444, 8080, u16::MAX] {
        let reason = match port {
            0 => Reason::PortZero,
            443 | 8080 => Reason::Clean,
            _ => Reason::ClosedTcp,
        };
        let v4 = v4(CLIENT[0], TCP, tcp(7, port, SYN)).frame();
        bench.run(&v4).assert(&v4, reason, None, true);
        let v6 = v6(CLIENT[1], TCP, tcp(7, port, SYN)).frame();
        bench.run(&v6).assert(&v6, reason, None, true);
    }
    let ack = v4(CLIENT[0], TCP, tcp(7, 444, ACK)).frame();
    bench.run(&ack).assert(&ack, Reason::Clean, None, true);
}
