//! The programs beside the filter, attached: at the egress of an interface, and at sockets of a
//! control group; each in a network namespace of the test's thread.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use etherparse::{PacketBuilder, TcpOptionElement};
use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        reason::Reason::{Clean, LimitConnections, PrefixConnections},
    },
    logic::{
        address::Address,
        known::{Places, is_good},
    },
};
use filter_user::dataplane::{Companions as _, Dataplane as _, EgressHook};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::{
    bench::Bench,
    cookies,
    force::{Force, HASH_KEY, address, only},
    frame::{ACK, SYN, TCP, UDP, syn, udp, v4},
    host::{self, CLIENT, OWN},
    segment::{Answer, Segment, usual_options},
};

/// A pair of interfaces, of which one is up and has an address.
fn pair() {
    host::enter();
    for arguments in [
        "link add out type veth peer name far",
        "address add 192.0.2.1/24 dev out",
        "link set out up",
        "link set far up",
        "neighbour add 192.0.2.53 lladdr 02:00:00:00:00:53 dev out",
    ] {
        host::ip(arguments);
    }
}

/// Sends a datagram from a port of this host to a server's; gives the port.
fn ask(socket: &UdpSocket) -> u16 {
    socket
        .send_to(b"a question", "192.0.2.53:53")
        .expect("it is sent");
    socket.local_addr().expect("it is bound").port()
}

fn answer(port: u16) -> Vec<u8> {
    v4("192.0.2.53", UDP, udp(53, port)).to("192.0.2.1").frame()
}

fn asking() -> Force {
    Force::new()
        .defend(Defence::Solicited, &["192.0.2.1"])
        .with(|settings| settings.solicited_log2 = 26)
        .port(PortSet::Reflectors, 53)
}

#[test]
fn what_leaves_by_an_interface_is_noted_whatever_the_hook() {
    pair();
    for hook in hooks() {
        let mut bench = Bench::new();
        bench.put(&asking());
        let socket = UdpSocket::bind("192.0.2.1:0").expect("the address is there");
        let unseen = ask(&socket);
        let judged = |bench: &mut Bench, port| bench.run(&answer(port)).verdict == 2;
        assert!(!judged(&mut bench, unseen), "{hook}: nobody looks yet");

        let attached = bench
            .kernel
            .attach_egress_by("out", &[hook])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(attached.hook, hook);
        let again = bench.kernel.attach_egress_by("out", &[hook]);
        assert_eq!(again.expect("it is brought up to date"), attached);
        let there = bench.kernel.egress_attachment("out").expect("it is told");
        assert_eq!(there, Some(attached));
        assert!(judged_after(&mut bench, &socket), "{hook}: it is noted");

        // Another program over the same maps takes the place of the first.
        let old = attached.program_id;
        let mut bench = bench.again();
        let renewed = bench.kernel.attach_egress_by("out", &[hook]);
        assert_ne!(renewed.expect("it is replaced").program_id, old);

        bench.kernel.detach_egress("out").expect("it is taken off");
        let there = bench.kernel.egress_attachment("out").expect("it is told");
        assert_eq!(there, None, "{hook}");
        let socket = UdpSocket::bind("192.0.2.1:0").expect("the address is there");
        let unseen = ask(&socket);
        assert!(!judged(&mut bench, unseen), "{hook}: nobody looks any more");
        bench.kernel.detach_egress("out").expect("nothing happens");
    }
}

/// The ways to attach that this kernel has: a link of tcx since 6.6.
fn hooks() -> Vec<EgressHook> {
    let mut bench = Bench::new();
    let first = bench.kernel.attach_egress("out").expect("it is attached");
    bench.kernel.detach_egress("out").expect("it is taken off");
    match first.hook {
        EgressHook::Tcx => vec![EgressHook::Tcx, EgressHook::Clsact],
        EgressHook::Clsact => vec![EgressHook::Clsact],
    }
}

/// Whether the answer to what a socket asks passes.
fn judged_after(bench: &mut Bench, socket: &UdpSocket) -> bool {
    let port = ask(socket);
    bench.run(&answer(port)).verdict == 2
}

#[test]
fn an_egress_that_is_gone_is_none() {
    pair();
    let mut bench = Bench::new();
    let attached = bench.kernel.attach_egress("out").expect("it is attached");
    let pins = bench.kernel.egress_pinned().expect("pins");
    match attached.hook {
        EgressHook::Tcx => assert_eq!(pins, ["out"]),
        EgressHook::Clsact => assert!(pins.is_empty(), "{pins:?}"),
    }
    host::ip("link delete out");
    let gone = bench.kernel.egress_attachment("out").expect("it is told");
    assert_eq!(gone, None);
    let error = bench.kernel.attach_egress("out").expect_err("it is gone");
    assert!(error.to_string().contains("no interface out"), "{error}");
    host::ip("link add out type veth peer name far");
    let gone = bench.kernel.egress_attachment("out").expect("it is told");
    assert_eq!(gone, None, "another of the name is not it");
    bench.kernel.attach_egress("out").expect("it is attached");
}

/// A control group of this test's own, in which the process is for as long as it opens sockets.
struct Group {
    path: PathBuf,
    home: PathBuf,
}

static GROUPS: AtomicU32 = AtomicU32::new(0);
static MOVING: Mutex<()> = Mutex::new(());

impl Group {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let is_cgroup2 = |line: &&str| line.contains(" - cgroup2 ");
        let line = mounts.lines().find(is_cgroup2).expect("a cgroup2");
        let root = Path::new(line.split(' ').nth(4).expect("a mount point"));
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("floodwall-test-{}-{number}", process::id()));
        fs::create_dir(&path).expect("a control group");
        let own = fs::read_to_string("/proc/self/cgroup").expect("this process has one");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let home = root.join(own.expect("it is in cgroup2"));
        Self { path, home }
    }

    fn within<T>(&self, open: impl FnOnce() -> T) -> T {
        // All threads of a process move together.
        let _alone = MOVING.lock().expect("others move without a panic");
        self.enter(&self.path);
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
        self.enter(&self.home);
        opened.expect("the sockets are opened")
    }

    fn enter(&self, group: &Path) {
        let file = group.join("cgroup.procs");
        fs::write(&file, process::id().to_string()).expect("the process moves");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A failure shows in the folder that is left, and hides none of the test's.
        let _ = fs::remove_dir(&self.path);
    }
}

/// What is in force: a day, limits, and the namespace of this thread.
fn counting(hz: u64) -> Force {
    let netns = netns();
    Force::new()
        .defend(Defence::Connections, &OWN)
        .with(move |settings| {
            settings.netns = netns;
            settings.day = 20_000;
            settings.prefix_mask_v4 = 0xffff_ff00;
            settings.prefix_mask_v6 = u64::MAX << 16;
            settings.connections = [only(3, hz), only(5, hz)];
        })
}

/// The cookie of this thread's network namespace.
fn netns() -> u64 {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut cookie = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes to the cookie.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    cookie
}

/// A connection from an address to a listener, that is closed after the client has acknowledged so
/// many bytes.
fn visit(from: &str, listener: &TcpListener, bytes: usize) {
    let to = listener.local_addr().expect("it is bound").ip();
    let host::Connection {
        mut client,
        mut server,
    } = host::connection(from, &to.to_string(), listener);
    server.write_all(&vec![b'x'; bytes]).expect("it is sent");
    server.shutdown(Shutdown::Write).expect("it ends");
    let mut read = Vec::new();
    client.read_to_end(&mut read).expect("it is read");
    assert_eq!(read.len(), bytes);
    drop(client);
    server.read_to_end(&mut read).expect("the client ends, too");
}

/// Handshakes that were completed at a port.
fn completed(bench: &mut Bench, port: u16) -> u64 {
    let counters = bench.kernel.cookie_ports(&[port]);
    counters.expect("counters are read")[0].completed
}

/// A SYN from an address, as the filter judges it.
fn opens(bench: &mut Bench, from: &str) -> filter_common::abi::reason::Reason {
    let fate = bench.run(&v4(from, TCP, syn(443)).to(OWN[0]).frame());
    fate.reason()
}

#[test]
fn the_kernel_tells_who_completed_a_handshake_and_nobody_can_forge_that() {
    host::enter();
    let mut bench = Bench::new();
    let hz = bench.kernel.hz();
    bench.put(&counting(hz));
    let group = Group::new();
    let id = bench
        .kernel
        .attach_sockets(&group.path)
        .unwrap_or_else(|error| panic!("{error}"));
    let again = bench.kernel.attach_sockets(&group.path);
    assert_eq!(again.expect("it is brought up to date"), id);
    let there = bench.kernel.sockets_attachment(&group.path);
    assert_eq!(there.expect("it is told"), Some(id));
    let listener = group.within(|| host::listener(OWN[0]));
    let port = host::port(&listener);
    let client = address(CLIENT[0]);

    for number in 0..50_u16 {
        forge(
            CLIENT[0],
            1024 + number,
            listener.local_addr().expect("bound"),
        );
    }
    assert_eq!(completed(&mut bench, port), 0);
    assert!(!bench.kernel.is_proven(&client).expect("a table"));
    assert_eq!(opens(&mut bench, CLIENT[0]), Clean);

    // From here on SYNs are compared because a handshake was charged, or not at all.
    bench
        .kernel
        .compare_handshakes_until(0)
        .expect("the tick is written");
    for number in 1..=3 {
        assert_eq!(opens(&mut bench, CLIENT[0]), Clean);
        visit(CLIENT[0], &listener, 0);
        assert_eq!(completed(&mut bench, port), number);
    }
    assert!(bench.kernel.is_proven(&client).expect("a table"));
    assert_eq!(opens(&mut bench, CLIENT[0]), LimitConnections);
    assert_eq!(opens(&mut bench, "203.0.113.10"), Clean, "another source");
    for _ in 0..2 {
        visit(OWN[0], &listener, 0);
    }
    assert_eq!(opens(&mut bench, "203.0.113.10"), PrefixConnections);
    assert_eq!(opens(&mut bench, "203.0.114.10"), Clean, "another prefix");
    assert!(
        !bench
            .kernel
            .is_proven(&address("203.0.113.10"))
            .expect("a table")
    );

    bench.kernel.detach_sockets().expect("it is taken off");
    let there = bench.kernel.sockets_attachment(&group.path);
    assert_eq!(there.expect("it is told"), None);
    visit(CLIENT[0], &listener, 0);
    assert_eq!(completed(&mut bench, port), 5);
}

/// An ACK that belongs to no handshake, but is sound.
fn forge(from: &str, port: u16, to: SocketAddr) {
    let SocketAddr::V4(to) = to else {
        panic!("{to} is no IPv4 address");
    };
    let from: Ipv4Addr = from.parse().expect("an IPv4 address");
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.octets(), to.ip().octets(), 64)
        .tcp(port, to.port(), 1, 64_000)
        .ack(1)
        .write(&mut packet, &[])
        .expect("it fits");
    let raw = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::empty(),
        SockProtocol::Raw,
    )
    .expect("a raw socket");
    let to = SockaddrIn::from(to);
    sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty()).expect("it is sent");
}

/// The hop limit that this host sends with.
const HOPS: u8 = 64;

#[test]
fn who_comes_back_on_another_day_and_gets_data_is_known_good() {
    host::enter();
    let mut bench = Bench::new();
    // So that the gate can be read where it is pinned.
    bench.kernel.put_in_force().expect("the maps");
    let hz = bench.kernel.hz();
    let mut force = counting(hz);
    force.settings.connections = Default::default();
    bench.put(&force);
    let group = Group::new();
    bench
        .kernel
        .attach_sockets(&group.path)
        .unwrap_or_else(|error| panic!("{error}"));
    let (listener, listener6) = group.within(|| (host::listener(OWN[0]), host::listener(OWN[1])));
    let is_known = |bench: &mut Bench, source: &Address| {
        let places = Places::of(source, &HASH_KEY);
        let table = bench.kernel.known().expect("a table");
        let is_known = is_good(places.days(&table[places.line as usize]));
        let (word, bit) = places.gate();
        assert_eq!(
            bench.word("KNOWN_GATE", word) & bit != 0,
            is_known,
            "the gate"
        );
        is_known
    };
    let [client, client6] = CLIENT.map(address);
    for (day, bytes) in [(20_000, 4096), (20_000, 4096), (20_001, 0), (20_001, 4096)] {
        for source in [&client, &client6] {
            assert!(!is_known(&mut bench, source), "before {bytes} on {day}");
            let was_here = (day, bytes) == (20_001, 4096);
            assert_eq!(bench.expects_hops(source, HOPS), was_here);
        }
        force.settings.day = day;
        bench.put(&force);
        visit(CLIENT[0], &listener, bytes);
        visit(CLIENT[1], &listener6, bytes);
    }
    for source in [&client, &client6] {
        assert!(is_known(&mut bench, source));
        assert!(bench.expects_hops(source, HOPS) && !bench.expects_hops(source, HOPS - 1));
    }
    assert!(!is_known(&mut bench, &address("198.51.100.1")));
    bench.kernel.clear_known(!0).expect("a table");
    assert!(!is_known(&mut bench, &client));
}

#[test]
fn who_begins_to_listen_is_open_at_once_unless_only_to_this_host() {
    host::enter();
    let mut bench = Bench::new();
    let netns = netns();
    bench.put(
        &Force::new()
            .defend(Defence::ClosedPorts, &OWN)
            .with(|settings| settings.netns = netns),
    );
    let group = Group::new();
    bench
        .kernel
        .attach_sockets(&group.path)
        .unwrap_or_else(|error| panic!("{error}"));
    let addresses = [
        OWN[0],
        "0.0.0.0",
        OWN[1],
        "::",
        "127.0.0.1",
        "127.8.0.1",
        "::1",
    ];
    let listeners = group.within(|| addresses.map(host::listener));
    for (listener, at) in listeners.iter().zip(addresses) {
        let frame = v4(CLIENT[0], TCP, syn(host::port(listener)))
            .to(OWN[0])
            .frame();
        let is_open = bench.run(&frame).verdict == 2;
        let ip: IpAddr = at.parse().expect("an address");
        assert_eq!(is_open, !ip.is_loopback(), "{at}");
    }
}

#[test]
fn sockets_of_other_namespaces_are_not_looked_at() {
    host::enter();
    let mut bench = Bench::new();
    let hz = bench.kernel.hz();
    bench.put(&counting(hz).with(|settings| settings.netns ^= 1 << 40));
    let group = Group::new();
    bench
        .kernel
        .attach_sockets(&group.path)
        .unwrap_or_else(|error| panic!("{error}"));
    let listener = group.within(|| host::listener(OWN[0]));
    visit(CLIENT[0], &listener, 4096);
    let port = host::port(&listener);
    assert_eq!(completed(&mut bench, port), 0);
    assert!(
        !bench
            .kernel
            .is_proven(&address(CLIENT[0]))
            .expect("a table")
    );
}

#[test]
fn answers_with_cookies_tell_what_the_kernel_told() {
    host::enter();
    let mut bench = Bench::new();
    let listener = host::listener(OWN[0]);
    let port = host::port(&listener);
    // No test waits for another turn of the kernel's.
    let force = cookies::unseen(port, bench.kernel.hz()).with(|it| it.seen_log2 = 40);
    let mut syn = Segment::syn(CLIENT[0], 1234, OWN[0], port);
    syn.options = usual_options(1_000_000);
    let scale = |answer: &Answer| {
        let mut scales = (0..15).filter(|it| {
            let option = TcpOptionElement::WindowScale(*it);
            answer.options.contains(&option)
        });
        scales.next_back()
    };
    bench.put(&force);
    let frame = syn.frame();
    let fate = bench.run(&frame);
    fate.assert(&frame, Clean, None, true);
    let before = cookies::ask(&mut bench, &force, &syn);
    assert_eq!(scale(&before), None, "the kernel told none yet");
    assert!(before.options.len() > 2, "{before:?}");

    let told = |from, options: &[u8]| {
        let segment = Segment::syn(from, port, CLIENT[0], 1234);
        segment.flags(SYN | ACK).options(options).frame()
    };
    for others in [
        told("203.0.113.77", &usual_options(1)),
        told(OWN[0], &[2, 4, 5, 0xb4]),
        Segment::syn(OWN[0], port, CLIENT[0], 1234)
            .options(&usual_options(1))
            .frame(),
    ] {
        bench.kernel.run_egress(&others).expect("the program runs");
    }
    let after = cookies::ask(&mut bench, &force, &syn);
    assert_eq!((scale(&after), after.window), (None, before.window));

    let own = told(OWN[0], &usual_options(1));
    bench.kernel.run_egress(&own).expect("the program runs");
    let after = cookies::ask(&mut bench, &force, &syn);
    assert_eq!((scale(&after), after.window), (Some(9), 64_000));

    // Of listeners that share a port, each may have its own.
    let mut other = usual_options(1);
    *other.last_mut().expect("the scale") = 3;
    bench
        .kernel
        .run_egress(&told(OWN[0], &other))
        .expect("the program runs");
    bench.kernel.run_egress(&own).expect("the program runs");
    let after = cookies::ask(&mut bench, &force, &syn);
    assert_eq!(scale(&after), None);

    bench
        .kernel
        .forget_windows(&[port])
        .expect("they are forgotten");
    bench.kernel.run_egress(&own).expect("the program runs");
    let after = cookies::ask(&mut bench, &force, &syn);
    assert_eq!(scale(&after), Some(9));
}
