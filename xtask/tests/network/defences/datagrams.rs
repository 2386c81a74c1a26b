//! UDP: the ordinary life of a resolver, of an NTP client and of a name server.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use etherparse::PacketBuilder;
use xtask::lab::{
    clock,
    sandbox::{Ns, hosts},
};

use super::{FAMILIES, defended};
use crate::common::{PATIENCE, Protected, wait_until};

const DNS: u16 = 53;
const NTP: u16 = 123;
/// A query and an answer of DNS: an identification, and flags.
const QUERY: [u8; 12] = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const ANSWER: [u8; 12] = [7, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
/// How long it may take until what this host asks for has been noted for long enough.
const WARM: Duration = Duration::from_secs(200);

/// Answers whatever it is asked, with the bit or mode of an answer; ends when it is dropped.
struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    fn start(p: &Protected, ns: Ns, port: u16) -> Self {
        let bind = || UdpSocket::bind(("::", port)).unwrap();
        Self::on(p.sandbox.in_ns(ns, bind).unwrap(), port)
    }

    fn on(socket: UdpSocket, port: u16) -> Self {
        let moment = Duration::from_millis(50);
        socket.set_read_timeout(Some(moment)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                let answer = &mut bytes[..length];
                if let Some(answer) = answered(answer, port) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a request; none to what is an answer itself.
fn answered(request: &[u8], port: u16) -> Option<Vec<u8>> {
    let mut answer = request.to_vec();
    match (port, answer.as_mut_slice()) {
        (DNS, [_, _, flags, ..]) if *flags & 0x80 == 0 => *flags |= 0x80,
        (NTP, [mode, ..]) if *mode & 7 == 3 => *mode = *mode & !7 | 4,
        _ => return None,
    }
    Some(answer)
}

/// Asks from a socket, which may be connected, and has to be answered.
fn ask(socket: &UdpSocket, to: SocketAddr, request: &[u8], what: &str) {
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send_to(request, to).unwrap();
    let mut answer = [0; 64];
    let (length, from) = socket
        .recv_from(&mut answer)
        .unwrap_or_else(|error| panic!("{what} of {to}: {error}"));
    assert_eq!(
        (from.ip().to_canonical(), from.port()),
        (to.ip(), to.port())
    );
    assert_eq!(length, request.len());
}

fn request_of_time() -> Vec<u8> {
    let mut request = vec![0; 48];
    // Version 4, a client's.
    request[0] = 4 << 3 | 3;
    request
}

/// An answer of DNS that nobody asked for, to a port of the server.
fn unasked(to_port: u16) -> Vec<u8> {
    let (from, to) = (hosts::GATEWAY, hosts::SERVER);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(from.mac, to.mac)
        .ipv4([192, 0, 2, 99], to.v4.octets(), 60)
        .udp(DNS, to_port)
        .write(&mut frame, &ANSWER)
        .unwrap();
    frame
}

/// Waits until answers that nobody asked for are dropped.
fn wait_until_warm(p: &Protected) {
    let end = clock::now() + WARM;
    while p.count("unsolicited") == 0 {
        assert!(clock::now() < end, "unsolicited answers are not dropped");
        p.send(&unasked(40_000));
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn resolvers_ntp_clients_and_name_servers_live_on() {
    let p = defended();
    let _outside = [
        Responder::start(&p, Ns::Client, DNS),
        Responder::start(&p, Ns::Client, NTP),
    ];
    let _name_server = Responder::start(&p, Ns::Server, DNS);
    let of_server = |address: IpAddr, port| {
        let bind = move || UdpSocket::bind((address, port)).unwrap();
        p.sandbox.in_ns(Ns::Server, bind).unwrap()
    };
    let of_client = |address: IpAddr, port| {
        let bind = move || UdpSocket::bind((address, port)).unwrap();
        p.sandbox.in_ns(Ns::Client, bind).unwrap()
    };
    wait_until_warm(&p);

    for (here, outside) in FAMILIES {
        for _ in 0..50 {
            let socket = of_server(here, 0);
            ask(&socket, (outside, DNS).into(), &QUERY, "a name");
        }
        let time = request_of_time();
        ask(
            &of_server(here, 0),
            (outside, NTP).into(),
            &time,
            "the time",
        );
        let daemon = of_server(here, NTP);
        // The port becomes one that serves once it was seen.
        for _ in 0..3 {
            ask(&daemon, (outside, NTP).into(), &time, "the time");
            thread::sleep(Duration::from_secs(1));
        }
        ask(
            &of_client(outside, 0),
            (here, DNS).into(),
            &QUERY,
            "our name server",
        );
    }
    // Another name server asks ours from the port that it answers at.
    let (here, _) = FAMILIES[0];
    let attacker = IpAddr::from(hosts::ATTACKER.v4);
    let bind = move || UdpSocket::bind((attacker, DNS)).unwrap();
    let other = p.sandbox.in_ns(Ns::Attacker, bind).unwrap();
    ask(&other, (here, DNS).into(), &QUERY, "our name server");

    let before = p.count("unsolicited");
    p.send(&unasked(DNS));
    let end = clock::now() + PATIENCE;
    while p.count("unsolicited") == before {
        assert!(clock::now() < end, "an answer to a server is dropped");
        thread::sleep(Duration::from_millis(50));
    }

    somebody_takes_the_program_off(&p);
    for (here, outside) in FAMILIES {
        let socket = of_server(here, 0);
        ask(&socket, (outside, DNS).into(), &QUERY, "a name, later,");
    }
}

/// Detaches what notes requests, whose pin stays, and waits until that is told.
fn somebody_takes_the_program_off(p: &Protected) {
    let pin = p.pins().join("egress").join(hosts::SERVER.interface);
    let mut bpftool = p.sandbox.command(Ns::Server, "bpftool");
    bpftool.args(["link", "detach", "pinned"]).arg(pin);
    let output = bpftool.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    wait_until("the loss is told", || {
        let events = p.json("events");
        let events = events["events"].as_array().unwrap();
        events.iter().any(|event| event["kind"] == "program.lost")
    });
}
