//! ICMP: errors that quote a packet of a connection of this host, others, and echo.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

use filter_common::{
    abi::{
        defence::Defence,
        reason::Reason::{self, Allowed, Clean, Control, LimitEcho, LimitIcmpErrors, RulePass},
        settings::Settings,
    },
    logic::bucket::Limit,
};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use crate::{
    bench::{Bench, leave_sockets_behind},
    force::{Force, only},
    frame::{DESTINATION, HERE4, HOP_BY_HOP, ICMP, ICMPV6, SYN, TCP, UDP, icmp, tcp, udp, v4, v6},
    row::{Row, Scenario, row},
};

const ROUTER: &str = "192.0.2.1";
const ROUTER6: &str = "2001:db8:1::1";

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "ICMP of no connection",
            force: defended()
                .allow("198.51.100.6/32")
                .rule("pass icmp from 198.51.100.5")
                .with(|settings| {
                    settings.icmp_errors = only(2, hz);
                    settings.echo = only(2, hz);
                }),
            rows: limited(),
        },
        Scenario {
            name: "ICMP without limits",
            force: defended(),
            rows: vec![
                row("an error", error(3, 3), Clean),
                row(
                    "an echo request",
                    v4(ROUTER, ICMP, icmp(8, 0)).frame(),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "ICMP while the defence is off",
            force: Force::new().with(no_room),
            rows: vec![
                row("an error", error(3, 3), Clean),
                row(
                    "an echo request",
                    v4(ROUTER, ICMP, icmp(8, 0)).frame(),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "ICMP while the defence waits for pressure",
            force: waiting(),
            rows: vec![
                row("an error", error(3, 3), Clean),
                row(
                    "an echo request",
                    v4(ROUTER, ICMP, icmp(8, 0)).frame(),
                    Clean,
                ),
            ],
        },
        Scenario {
            name: "ICMP that is only watched",
            force: defended().allow("198.51.100.6/32").with(|settings| {
                no_room(settings);
                settings.enforced = 0;
            }),
            rows: vec![
                row("an error", error(3, 3), Clean).observed(LimitIcmpErrors),
                row(
                    "an echo request",
                    v4(ROUTER, ICMP, icmp(8, 0)).frame(),
                    Clean,
                )
                .observed(LimitEcho),
                row(
                    "one of the allowed",
                    v4("198.51.100.6", ICMP, icmp(8, 0)).frame(),
                    Allowed,
                )
                .observed(LimitEcho),
            ],
        },
    ]
}

/// To come late, for pressure lasts.
pub fn under_pressure(hz: u64) -> Scenario {
    Scenario {
        name: "ICMP under pressure",
        force: waiting().with(|settings| press(settings, hz)),
        rows: vec![
            row("an error", error(3, 3), LimitIcmpErrors),
            row(
                "an echo request",
                v4(ROUTER, ICMP, icmp(8, 0)).frame(),
                LimitEcho,
            ),
        ],
    }
}

fn waiting() -> Force {
    Force::new().with(|settings| {
        no_room(settings);
        settings.defences_pressed = Defence::Icmp.bit();
    })
}

/// Puts the CPU under pressure, for longer than the test takes.
pub fn press(settings: &mut Settings, hz: u64) {
    settings.pressure = NO_ROOM;
    settings.pressure_hold = hz * 3600;
}

fn defended() -> Force {
    Force::new().with(|settings| settings.defences_always = Defence::Icmp.bit())
}

/// A limit that nothing is within.
pub const NO_ROOM: Limit = Limit {
    interval: 1,
    depth: 0,
    horizon: 0,
};

fn no_room(settings: &mut Settings) {
    (settings.icmp_errors, settings.echo) = (NO_ROOM, NO_ROOM);
}

/// An error from a router that quotes a datagram nobody here sent.
fn error(kind: u8, code: u8) -> Vec<u8> {
    let quoted = v4(&HERE4.to_string(), UDP, udp(1000, 53)).to("192.0.2.99");
    v4(ROUTER, ICMP, quoting(kind, code, quoted.packet())).frame()
}

/// The same over IPv6.
fn error6(kind: u8) -> Vec<u8> {
    let quoted = v6("2001:db8:ffff::1", UDP, udp(1000, 53)).to("2001:db8::99");
    v6(ROUTER6, ICMPV6, quoting(kind, 0, quoted.packet())).frame()
}

/// A message of ICMP or ICMPv6 with the beginning of a packet.
fn quoting(kind: u8, code: u8, packet: Vec<u8>) -> Vec<u8> {
    [vec![kind, code, 0, 0, 0, 0, 5, 0], packet].concat()
}

fn limited() -> Vec<Row> {
    let ping = |source, kind| v4(source, ICMP, icmp(kind, 0)).frame();
    let ping6 = |kind| v6("2001:db8::7", ICMPV6, icmp(kind, 0)).frame();
    vec![
        row("the first unreachable", error(3, 3), Clean),
        row("a time exceeded", error(11, 0), Clean),
        row("the third error", error(3, 1), LimitIcmpErrors),
        row("a source quench", error(4, 0), LimitIcmpErrors),
        row("a redirect", error(5, 0), LimitIcmpErrors),
        row("a parameter problem", error(12, 0), LimitIcmpErrors),
        row("one over IPv6", error6(1), LimitIcmpErrors),
        row("a time exceeded over IPv6", error6(3), LimitIcmpErrors),
        row("an error that no RFC knows", error6(127), LimitIcmpErrors),
        row(
            "one that quotes nothing",
            v4(ROUTER, ICMP, icmp(3, 3)).frame(),
            LimitIcmpErrors,
        ),
        row(
            "one that ends with its header",
            v4(ROUTER, ICMP, vec![3, 3, 0, 0, 0, 0, 0, 0]).frame(),
            LimitIcmpErrors,
        ),
        row("a path MTU has room of its own", error(3, 4), Clean),
        row("both families share it", error6(2), Clean),
        row("a third", error(3, 4), LimitIcmpErrors),
        row("and a fourth", error6(2), LimitIcmpErrors),
        row("so has an echo request", ping(ROUTER, 8), Clean),
        row("from whomever", ping6(128), Clean),
        row("a third", ping(ROUTER, 8), LimitEcho),
        row("one over IPv6", ping6(128), LimitEcho),
        row("an echo reply", ping(ROUTER, 0), LimitEcho),
        row("one over IPv6", ping6(129), LimitEcho),
        row("a timestamp request", ping(ROUTER, 13), LimitEcho),
        row(
            "an error of the other family is none",
            v4(ROUTER, ICMPV6, icmp(2, 0)).frame(),
            LimitEcho,
        ),
        row("one of the allowed", ping("198.51.100.6", 8), LimitEcho),
        row("one that a rule passes", ping("198.51.100.5", 8), RulePass),
        row(
            "a neighbour",
            v6("fe80::50", ICMPV6, icmp(135, 0)).hops(255).frame(),
            Control,
        ),
        row(
            "a later fragment",
            v4(ROUTER, ICMP, vec![0; 8]).piece(9, false).frame(),
            Clean,
        ),
        row(
            "what is no ICMP",
            v4(ROUTER, UDP, udp(1000, 1000)).frame(),
            Clean,
        ),
    ]
}

/// The address that connections lead to; this host's own are those that frames go to.
const PEER: &str = "198.18.0.2";
const PEER6: &str = "2001:db8:18::2";
/// Nobody is there.
const NOBODY: &str = "198.18.0.99";

/// A network namespace of this thread, with this host's addresses and its peer's.
fn enter_namespace() {
    leave_sockets_behind();
    for command in [
        "link set lo up",
        "link add name out type veth peer name nowhere",
        "link set nowhere up",
        "link set out up",
        "addr add 203.0.113.1/32 dev lo",
        "addr add 198.18.0.2/32 dev lo",
        "addr add 2001:db8:ffff::1/128 dev lo nodad",
        "addr add 2001:db8:18::2/128 dev lo nodad",
        "route add 198.18.0.0/24 dev out",
    ] {
        let status = Command::new("ip").args(command.split(' ')).status();
        assert!(status.expect("`ip` is there").success(), "ip {command}");
    }
}

/// A TCP socket at an address of its own that connects to another, and does not wait for it.
fn connecting(from: SocketAddr, to: SocketAddr) -> OwnedFd {
    let family = match from.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("an option");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from)).expect("an address of this host");
    let begun = connect(socket.as_raw_fd(), &SockaddrStorage::from(to));
    assert_eq!(begun, Err(nix::errno::Errno::EINPROGRESS));
    socket
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// Both ends of a connection.
fn connection(to: SocketAddr, from: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(to).expect("a listener");
    let client = TcpStream::from(connecting(from, to));
    let (server, _) = listener.accept().expect("a connection");
    client.set_nonblocking(false).expect("an option");
    (server, client)
}

#[test]
fn an_error_that_quotes_a_packet_of_a_connection_always_passes() {
    enter_namespace();
    let here = HERE4.to_string();
    let here6 = "2001:db8:ffff::1";
    let mut bench = Bench::new();
    bench.put(&defended().with(no_room));
    let mut expect = |says: &str, frame: &[u8], reason: Reason| {
        println!("{says}");
        bench.run(frame).assert(frame, reason, None, true);
    };
    // Only eight bytes of what was sent, as routers may quote.
    let head = |mut segment: Vec<u8>| {
        segment.truncate(8);
        segment
    };
    let segment = |from, to| head(tcp(from, to, SYN));
    let datagram = |from, to| head(udp(from, to));
    let error = |packet: Vec<u8>| v4(ROUTER, ICMP, quoting(3, 1, packet)).frame();
    let error6 = |packet: Vec<u8>| v6(ROUTER6, ICMPV6, quoting(1, 0, packet)).frame();
    let sent = |protocol, payload: Vec<u8>| v4(&here, protocol, payload).to(PEER);
    let sent6 = |protocol, payload: Vec<u8>| v6(here6, protocol, payload).to(PEER6);

    let four = connection(at(&here, 443), at(PEER, 5001));
    let six = connection(at(here6, 443), at(PEER6, 5001));
    let any = TcpListener::bind("[::]:8443").expect("a listener of both families");
    let mapped = TcpStream::from(connecting(at(PEER, 5002), at(&here, 8443)));
    let mapped = (any.accept().expect("a connection"), mapped);
    let of_tcp = error(sent(TCP, segment(443, 5001)).packet());
    let of_tcp6 = error6(sent6(TCP, segment(443, 5001)).packet());
    expect("a segment of a connection", &of_tcp, Clean);
    expect("one of IPv6", &of_tcp6, Clean);
    let of_mapped = error(sent(TCP, segment(8443, 5002)).packet());
    expect("one whose socket is of IPv6", &of_mapped, Clean);
    let packet = sent(TCP, segment(443, 5001)).options(40).packet();
    expect("one with options", &error(packet), Clean);
    let packet = sent6(TCP, segment(443, 5001))
        .header(HOP_BY_HOP, 0)
        .header(DESTINATION, 2)
        .piece(0, true)
        .packet();
    expect("one with extension headers", &error6(packet), Clean);
    for (kind, code) in [(3, 4), (4, 0), (5, 0), (11, 0), (12, 0)] {
        let packet = sent(TCP, segment(443, 5001)).packet();
        let frame = v4(ROUTER, ICMP, quoting(kind, code, packet)).frame();
        expect("any error", &frame, Clean);
    }
    for kind in 1..5 {
        let packet = sent6(TCP, segment(443, 5001)).packet();
        let frame = v6(ROUTER6, ICMPV6, quoting(kind, 0, packet)).frame();
        expect("any error of IPv6", &frame, Clean);
    }

    let mut short = segment(443, 5001);
    short.pop();
    let short = error(sent(TCP, short).packet());
    expect("seven bytes are too few", &short, LimitIcmpErrors);
    let later = error(sent(TCP, segment(443, 5001)).piece(9, false).packet());
    expect("a later fragment has no ports", &later, LimitIcmpErrors);
    let other = error(sent(TCP, segment(443, 5003)).packet());
    expect(
        "of a listener's port to a stranger",
        &other,
        LimitIcmpErrors,
    );
    let closed = error(sent(TCP, segment(444, 5001)).packet());
    expect("of a port that nobody has", &closed, LimitIcmpErrors);
    let as_udp = error(sent(UDP, datagram(443, 5001)).packet());
    expect("of the other protocol", &as_udp, LimitIcmpErrors);
    let echo = error(sent(ICMP, icmp(8, 0)).packet());
    expect("of an echo request", &echo, LimitIcmpErrors);
    let reply = v4(
        ROUTER,
        ICMP,
        quoting(0, 0, sent(TCP, segment(443, 5001)).packet()),
    )
    .frame();
    expect("in what is no error", &reply, LimitEcho);
    let packet = sent6(TCP, segment(443, 5001)).packet();
    let crossed = v4(ROUTER, ICMP, quoting(3, 1, packet)).frame();
    expect("of the other family", &crossed, LimitIcmpErrors);

    let opening = connecting(at(&here, 6001), at(NOBODY, 80));
    let lost = |source: u16| v4(&here, TCP, segment(source, 80)).to(NOBODY).packet();
    expect("a SYN of ours without answer", &error(lost(6001)), Clean);
    let back = v4(NOBODY, TCP, segment(80, 6001)).to(&here).packet();
    expect("what we were sent, not we", &error(back), LimitIcmpErrors);
    drop(opening);
    expect("a SYN given up", &error(lost(6001)), LimitIcmpErrors);

    let deferring = TcpListener::bind(at(&here, 8081)).expect("a listener");
    defer(&deferring);
    let client = TcpStream::from(connecting(at(PEER, 5004), at(&here, 8081)));
    let half = error(sent(TCP, segment(8081, 5004)).packet());
    expect("a SYN-ACK of a half-open connection", &half, Clean);
    drop((client, deferring));

    let (mut server, mut client) = four;
    server.shutdown(Shutdown::Write).expect("closed");
    expect("one that this side closed", &of_tcp, Clean);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the end");
    client.write_all(b"last words").expect("half-closed");
    expect("and the other has not", &of_tcp, Clean);
    drop(client);
    server.read_to_end(&mut rest).expect("the end");
    drop(server);
    expect("one in time-wait heeds no error", &of_tcp, LimitIcmpErrors);
    drop((six, mapped));

    let connected = UdpSocket::bind(at(&here, 7001)).expect("a socket");
    connected.connect(at(NOBODY, 53)).expect("connected");
    let open = UdpSocket::bind(at(&here, 7002)).expect("a socket");
    let query = |port, to| v4(&here, UDP, datagram(port, to)).to(NOBODY).packet();
    expect(
        "a datagram of a connected socket",
        &error(query(7001, 53)),
        Clean,
    );
    let frame = error(query(7001, 54));
    expect("one to somebody else", &frame, LimitIcmpErrors);
    let frame = error(query(7002, 53));
    expect(
        "one of a socket that hears anybody",
        &frame,
        LimitIcmpErrors,
    );
    let connected6 = UdpSocket::bind(at(here6, 7001)).expect("a socket");
    connected6.connect(at(PEER6, 53)).expect("connected");
    let frame = error6(sent6(UDP, datagram(7001, 53)).packet());
    expect("a datagram of IPv6", &frame, Clean);
    drop((connected, connected6, open));
    expect("one of a socket that is gone", &frame, LimitIcmpErrors);
}

/// Has a listener keep connections half open until data arrives (tcp(7), `TCP_DEFER_ACCEPT`).
fn defer(listener: &TcpListener) {
    let seconds: libc::c_int = 30;
    // SAFETY: the option is an integer that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "the option is set");
}
