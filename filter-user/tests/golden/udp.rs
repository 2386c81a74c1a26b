//! UDP: what this host asked for, what it did not, and closed ports. What it sends goes through the
//! program at the egress.

use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        reason::Reason::{
            Clean, ClosedUdp, LimitConnections, LimitUdp, PrefixConnections, Unsolicited,
        },
        settings::Class,
    },
    logic::{
        bucket::Limit,
        solicited::{LINES_LOG2, WORD_BITS},
    },
};
use filter_user::{
    core::reflectors::reflectors,
    dataplane::{Companions as _, Dataplane as _},
};

use crate::{
    bench::{Bench, XDP_DROP, XDP_PASS},
    force::{Force, only},
    frame::{ACK, TCP, UDP, datagram, syn, tagged, tcp, udp, v4, v6},
    row::{Row, Scenario, row},
};

const HERE: &str = "203.0.113.1";
const HERE6: &str = "2001:db8:ffff::1";
const SERVER: &str = "198.51.100.53";
const SERVER6: &str = "2001:db8:53::53";
const STRANGER: &str = "198.51.100.54";

/// A query of DNS, and an answer.
const QUERY: [u8; 30] = message(0x01);
const ANSWER: [u8; 30] = message(0x81);
/// The first byte of NTP: version 4, and a mode.
const CLIENT: u8 = 0x23;
const SYMMETRIC: u8 = 0x21;
const PASSIVE: u8 = 0x22;
const BROADCAST: u8 = 0x25;
const TIME: u8 = 0x24;
const MONLIST: u8 = 0x97;

const fn message(flags: u8) -> [u8; 30] {
    let mut message = [0; 30];
    message[2] = flags;
    message
}

fn ntp(first: u8) -> [u8; 48] {
    let mut message = [0; 48];
    message[0] = first;
    message
}

/// A datagram to this host.
fn from(source: &str, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let datagram = datagram(ports.0, ports.1, data);
    if source.contains(':') {
        v6(source, UDP, datagram).frame()
    } else {
        v4(source, UDP, datagram).frame()
    }
}

/// A datagram of this host.
fn to(destination: &str, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let datagram = datagram(ports.0, ports.1, data);
    if destination.contains(':') {
        v6(HERE6, UDP, datagram).to(destination).frame()
    } else {
        v4(HERE, UDP, datagram).to(destination).frame()
    }
}

/// Requests are noted since long ago, and for the time of the test.
fn watched(defence: Defence) -> Force {
    let mut force = Force::new()
        .defend(defence, &[HERE, HERE6])
        .with(|settings| settings.solicited_log2 = 26);
    for (word, bits) in (0..).zip(reflectors()) {
        for bit in (0..64).filter(|bit| bits & 1 << bit != 0) {
            force = force.port(PortSet::Reflectors, word * 64 + bit);
        }
    }
    force
}

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    let mut all = vec![
        Scenario {
            name: "UDP that this host asked for",
            force: watched(Defence::Solicited)
                .sends(to(SERVER, (40_000, 53), &QUERY))
                .sends(to(SERVER6, (40_001, 53), &[]))
                .sends(tagged(
                    &[0x8100],
                    0x0800,
                    &v4(HERE, UDP, udp(40_002, 161))
                        .to(SERVER)
                        .options(8)
                        .packet(),
                ))
                .sends(
                    v4(HERE, UDP, udp(40_003, 53))
                        .to(SERVER)
                        .piece(0, true)
                        .frame(),
                )
                .sends(v4("192.0.2.99", UDP, udp(40_004, 53)).to(SERVER).frame()),
            rows: client_rows(),
        },
        Scenario {
            name: "servers of protocols that reflect",
            force: watched(Defence::Solicited)
                .port(PortSet::UdpServes, 53)
                .port(PortSet::UdpServes, 123)
                .port(PortSet::UdpServes, 1701)
                .port(PortSet::UdpServes, 443)
                .sends(to(STRANGER, (53, 53), &ANSWER))
                .sends(to(STRANGER, (53, 40_000), &ANSWER))
                .sends(to(STRANGER, (123, 123), &ntp(TIME)))
                .sends(to(STRANGER, (443, 19), b"x"))
                .sends(to(SERVER, (123, 123), &ntp(CLIENT)))
                .sends(to(SERVER6, (123, 123), &ntp(SYMMETRIC))),
            rows: server_rows(),
        },
        Scenario {
            name: "closed ports of UDP",
            force: watched(Defence::ClosedPorts)
                .port(PortSet::UdpOpen, 443)
                .port(PortSet::UdpLeftOut, 5000)
                .sends(to(SERVER, (40_000, 4433), b"hello")),
            rows: closed_rows(),
        },
        Scenario {
            name: "a flow that was asked for is spared no limit",
            force: watched(Defence::Solicited)
                .sends(to(SERVER, (40_000, 53), &QUERY))
                .with(|settings| {
                    settings.source.limits[Class::Udp as usize] = only(1, hz);
                    settings.source.always = Class::Udp.bit();
                }),
            rows: vec![
                row(
                    "its first answer",
                    from(SERVER, (53, 40_000), &ANSWER),
                    Clean,
                ),
                row(
                    "and the next",
                    from(SERVER, (53, 40_000), &ANSWER),
                    LimitUdp,
                ),
            ],
        },
        Scenario {
            name: "UDP that is only watched",
            force: Force {
                ports: watched(Defence::Solicited).ports,
                ..watched(Defence::ClosedPorts)
            }
            .with(|settings| {
                settings.defences_always |= Defence::Solicited.bit();
                settings.enforced = 0;
            })
            .port(PortSet::UdpOpen, 443),
            rows: vec![
                row(
                    "from a reflector",
                    from(STRANGER, (53, 443), &ANSWER),
                    Clean,
                )
                .observed(Unsolicited),
                row("to a closed port", from(STRANGER, (999, 444), b"x"), Clean)
                    .observed(ClosedUdp),
            ],
        },
        Scenario {
            name: "UDP from a reflector, watched, to a closed port",
            force: watched(Defence::ClosedPorts).with(|settings| {
                settings.defences_always |= Defence::Solicited.bit();
                settings.enforced = ClosedUdp.bit();
            }),
            rows: vec![row(
                "is dropped for the port",
                from(STRANGER, (53, 444), &ANSWER),
                ClosedUdp,
            )],
        },
        Scenario {
            name: "requests that are noted since a moment ago",
            force: watched(Defence::Solicited)
                .with(|settings| settings.solicited_log2 = 62)
                .port(PortSet::UdpOpen, 443),
            rows: vec![row(
                "an answer whose request nobody saw",
                from(STRANGER, (53, 40_000), &ANSWER),
                Clean,
            )],
        },
        Scenario {
            name: "requests that are not noted",
            force: watched(Defence::ClosedPorts).with(|settings| {
                settings.solicited_since = u64::MAX;
                settings.defences_always |= Defence::Solicited.bit();
            }),
            rows: vec![
                row(
                    "from a reflector",
                    from(STRANGER, (53, 443), &ANSWER),
                    Clean,
                ),
                row(
                    "to a port nobody knows of",
                    from(STRANGER, (9, 444), b"x"),
                    Clean,
                ),
            ],
        },
    ];
    all.extend(connections());
    all
}

fn client_rows() -> Vec<Row> {
    let stranger = |says, frame| row(says, frame, Unsolicited);
    let asked = |says, frame| row(says, frame, Clean);
    vec![
        asked("the answer", from(SERVER, (53, 40_000), &ANSWER)),
        asked("over IPv6", from(SERVER6, (53, 40_001), &ANSWER)),
        asked(
            "asked with a tag and options",
            from(SERVER, (161, 40_002), b""),
        ),
        asked("asked in pieces", from(SERVER, (53, 40_003), &ANSWER)),
        asked(
            "the first piece of an answer",
            v4(SERVER, UDP, udp(53, 40_000)).piece(0, true).frame(),
        ),
        stranger(
            "the first piece of another's",
            v4(STRANGER, UDP, udp(53, 40_000)).piece(0, true).frame(),
        ),
        stranger("another's answer", from(STRANGER, (53, 40_000), &ANSWER)),
        stranger("to another port", from(SERVER, (53, 40_009), &ANSWER)),
        stranger("from another port", from(SERVER, (19, 40_000), &ANSWER)),
        stranger("of the other family", from(SERVER6, (53, 40_000), &ANSWER)),
        stranger(
            "to what another host asked",
            from(SERVER, (53, 40_004), &ANSWER),
        ),
        stranger("to a server of nothing", from(STRANGER, (53, 53), &QUERY)),
        stranger("time", from(STRANGER, (123, 40_000), &ntp(TIME))),
        stranger("memcached", from(STRANGER, (11_211, 80), b"VALUE")),
        asked(
            "from a port of nobody's",
            from(STRANGER, (999, 40_000), b"x"),
        ),
        asked(
            "what goes to another host",
            v4(STRANGER, UDP, udp(53, 40_000)).to("203.0.113.2").frame(),
        ),
    ]
}

fn server_rows() -> Vec<Row> {
    let here = |says, frame| row(says, frame, Clean);
    let gone = |says, frame| row(says, frame, Unsolicited);
    vec![
        here("a query", from(STRANGER, (40_000, 53), &QUERY)),
        here("a query of a resolver", from(STRANGER, (53, 53), &QUERY)),
        gone("an answer to it", from(STRANGER, (53, 53), &ANSWER)),
        gone("no message at all", from(STRANGER, (53, 53), b"x")),
        gone(
            "no message, and padding like one",
            [from(STRANGER, (53, 53), b""), vec![0; 18]].concat(),
        ),
        here("a client's", from(STRANGER, (123, 123), &ntp(CLIENT))),
        here("a peer's", from(STRANGER, (123, 123), &ntp(SYMMETRIC))),
        gone("a stranger's time", from(STRANGER, (123, 123), &ntp(TIME))),
        gone("a list", from(STRANGER, (123, 123), &ntp(MONLIST))),
        gone("a broadcast", from(STRANGER, (123, 123), &ntp(BROADCAST))),
        here("a server's time", from(SERVER, (123, 123), &ntp(TIME))),
        here("a peer's time", from(SERVER6, (123, 123), &ntp(PASSIVE))),
        gone("that to another port", from(SERVER, (123, 443), &ntp(TIME))),
        here("a tunnel's", from(STRANGER, (1701, 1701), b"x")),
        gone("another protocol's", from(STRANGER, (19, 443), b"x")),
        gone("and to a client", from(STRANGER, (53, 40_000), &ANSWER)),
    ]
}

fn closed_rows() -> Vec<Row> {
    vec![
        row("an open port", from(STRANGER, (999, 443), b"x"), Clean),
        row("a closed one", from(STRANGER, (999, 444), b"x"), ClosedUdp),
        row("over IPv6", from(SERVER6, (999, 444), b"x"), ClosedUdp),
        row(
            "the first piece of a packet",
            v4(STRANGER, UDP, udp(999, 444)).piece(0, true).frame(),
            ClosedUdp,
        ),
        row(
            "a client's socket that nobody knows of",
            from(SERVER, (4433, 40_000), b"x"),
            Clean,
        ),
        row(
            "and a stranger to it",
            from(STRANGER, (4433, 40_000), b"x"),
            ClosedUdp,
        ),
        row("a port left out", from(STRANGER, (999, 5000), b"x"), Clean),
        row(
            "a port of another host",
            v4(STRANGER, UDP, udp(999, 444)).to("203.0.113.2").frame(),
            Clean,
        ),
    ]
}

#[test]
fn what_was_asked_for_is_forgotten_two_generations_later() {
    /// Ticks in a generation, as a power of two.
    const LOG2: u32 = 3;
    let mut bench = Bench::new();
    bench.put(&watched(Defence::Solicited).with(|settings| settings.solicited_log2 = LOG2));
    let generation = |bench: &mut Bench| bench.kernel.tick().expect("the clock runs") >> LOG2;
    let answer = from(SERVER, (53, 40_000), &ANSWER);
    // A machine that is busy may let generations pass in between.
    let asked = (0..1000).any(|_| {
        let first = generation(&mut bench);
        let query = to(SERVER, (40_000, 53), &QUERY);
        bench.kernel.run_egress(&query).expect("the program runs");
        let verdict = bench.run(&answer).verdict;
        let is_in_time = generation(&mut bench) <= first + 1;
        assert!(!is_in_time || verdict == XDP_PASS, "the answer is dropped");
        is_in_time
    });
    assert!(asked, "no answer came in time");
    let last = generation(&mut bench);
    while generation(&mut bench) < last + 2 {}
    assert_eq!(bench.run(&answer).verdict, XDP_DROP, "it is still known");
}

#[test]
fn the_fill_is_the_share_of_bits_of_what_was_asked_for() {
    let mut bench = Bench::new();
    bench.put(&watched(Defence::Solicited));
    let fill = |bench: &mut Bench| bench.kernel.solicited_fill().expect("the table is read");
    assert_eq!(fill(&mut bench), 0.0);
    for port in 1024..2048 {
        let query = to(SERVER, (port, 53), &QUERY);
        bench.kernel.run_egress(&query).expect("the program runs");
    }
    let bits = f64::from((8 * WORD_BITS) << LINES_LOG2);
    let share = fill(&mut bench) * bits / (3.0 * 1024.0);
    assert!((0.98..=1.0).contains(&share), "{share} of the bits are set");
}

#[test]
fn a_server_of_forged_queries_fills_nothing() {
    let mut bench = Bench::new();
    bench.put(&watched(Defence::Solicited).port(PortSet::UdpServes, 53));
    for port in 1024..2048 {
        let answer = to(STRANGER, (53, port), &ANSWER);
        bench.kernel.run_egress(&answer).expect("the program runs");
    }
    let fill = bench.kernel.solicited_fill().expect("the table is read");
    assert_eq!(fill, 0.0);
}

/// Handshakes charge buckets, and SYNs are only compared with them: these have no room at all.
fn connections() -> Vec<Scenario> {
    let none = Limit {
        depth: 0,
        ..Limit::new(1, 1, 250, 1).expect("a limit")
    };
    let force = |limits| {
        Force::new()
            .defend(Defence::Connections, &[HERE])
            .with(|settings| settings.connections = limits)
    };
    let monitor = |limits| force(limits).with(|settings| settings.enforced = 0);
    let open = v4(STRANGER, TCP, syn(443)).frame();
    let data = v4(STRANGER, TCP, tcp(40_000, 443, ACK)).frame();
    let off = Limit::default();
    vec![
        Scenario {
            name: "a source that completed too many handshakes",
            force: force([none, none]),
            rows: vec![
                row("opens no more", open.clone(), LimitConnections),
                row("has those that it has", data.clone(), Clean),
            ],
        },
        Scenario {
            name: "a prefix that completed too many handshakes",
            force: force([off, none]),
            rows: vec![
                row("opens no more", open.clone(), PrefixConnections),
                row("has those that it has", data, Clean),
            ],
        },
        Scenario {
            name: "a source whose handshakes are only watched",
            force: monitor([none, none]),
            rows: vec![row("opens more", open.clone(), Clean).observed(LimitConnections)],
        },
        Scenario {
            name: "a prefix whose handshakes are only watched",
            force: monitor([off, none]),
            rows: vec![row("opens more", open.clone(), Clean).observed(PrefixConnections)],
        },
        Scenario {
            name: "handshakes without a limit",
            force: force([off, off]),
            rows: vec![row("are not counted", open, Clean)],
        },
    ]
}
