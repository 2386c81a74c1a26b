//! TCP sessions of all sorts.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    thread,
};

use nix::sys::socket::{setsockopt, sockopt};

use super::{
    FAMILIES, PORT, Server, as_client, ask, call, defended, has_cookies, listen, set_setting,
};
use crate::common::{PATIENCE, Protected, wait_until};

/// Connections at the same time, from addresses and ports of the client's.
const MANY: u16 = 2_000;
const ADDRESSES: u16 = 100;

#[test]
fn thousands_of_connections_at_the_same_time_are_served() {
    allow_files(3 * u64::from(MANY));
    let p = defended();
    let listener = listen(&p, PORT);
    wait_until("cookies defend the port", || has_cookies(&p, PORT));
    let accepting = thread::spawn(move || {
        let mut accepted = HashMap::new();
        while accepted.len() < usize::from(MANY) {
            let (stream, peer) = listener.accept()?;
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            accepted.insert(peer, stream);
        }
        Ok::<_, io::Error>(accepted)
    });
    let (server, _) = FAMILIES[0];
    let calling = || {
        let address = |number: u16| {
            let [low, _] = (number % ADDRESSES + 1).to_le_bytes();
            SocketAddr::new(Ipv4Addr::new(198, 51, 100, low).into(), 10_000 + number)
        };
        let call = |number| {
            let address = address(number);
            let mut client = call(address, (server, PORT).into())?;
            // An ACK that finds the listener's queue full is lost, and with a cookie nobody repeats
            // the SYN-ACK: what the client says is repeated, and completes the connection.
            client.write_all(&address.port().to_be_bytes())?;
            Ok((address, client))
        };
        (0..MANY).map(call).collect::<io::Result<Vec<_>>>()
    };
    let mut clients = as_client(&p, calling).unwrap();
    let mut accepted = accepting.join().unwrap().unwrap();
    for (address, client) in &mut clients {
        let server: &mut TcpStream = accepted.get_mut(address).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut heard = [0; 2];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(heard, address.port().to_be_bytes());
        server.write_all(&heard).unwrap();
        client.read_exact(&mut heard).unwrap();
    }
    assert_eq!(p.count("limit_connections"), 0);
    assert!(p.count("cookie_accepted") >= u64::from(MANY));
}

#[test]
fn a_half_closed_connection_is_served_to_its_end() {
    const BYTES: usize = 3_000_000;
    let p = defended();
    let listener = listen(&p, PORT);
    wait_until("cookies defend the port", || has_cookies(&p, PORT));
    for (to, from) in FAMILIES {
        let client = as_client(&p, || call((from, 0).into(), (to, PORT).into())).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).unwrap();
        let sending = thread::spawn(move || server.write_all(&vec![1; BYTES]));
        let mut heard = Vec::new();
        let mut client = client;
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_to_end(&mut heard).unwrap();
        sending.join().unwrap().unwrap();
        assert_eq!(heard.len(), BYTES);
    }
}

#[test]
fn a_port_of_a_client_is_used_again_while_the_server_waits_for_the_end_of_the_last() {
    let p = defended();
    let listener = listen(&p, PORT);
    wait_until("cookies defend the port", || has_cookies(&p, PORT));
    for (to, from) in FAMILIES {
        for round in 0..5 {
            let client = as_client(&p, || call((from, 20_000).into(), (to, PORT).into()));
            let mut client = client.unwrap_or_else(|error| panic!("round {round}: {error}"));
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(b"bye").unwrap();
            // The server closes first, and keeps the connection in time-wait.
            server.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, b"bye");
            drop(client);
            server.read_to_end(&mut heard).unwrap();
        }
    }
}

#[test]
fn a_port_of_a_client_is_used_again_over_the_switching_on_of_cookies() {
    let p = Protected::enforcing();
    wait_until("handshakes are seen", || {
        p.json("defence list")["defences"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "connections" && it["state"] != "unable")
    });
    let listener = listen(&p, PORT);
    let call_again = |from: IpAddr, to: IpAddr| {
        let client = as_client(&p, || call((from, 20_000).into(), (to, PORT).into()));
        let mut client = client.unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"bye").unwrap();
        // The server closes first, and keeps the connection in time-wait.
        server.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"bye");
        drop(client);
        server.read_to_end(&mut heard).unwrap();
    };
    let (to, from) = FAMILIES[0];
    call_again(from, to);
    super::defend(&p);
    wait_until("cookies defend the port", || has_cookies(&p, PORT));
    // Who comes first is looked up, to have the listener take cookies.
    let other = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7), 0));
    let first = as_client(&p, || call(other, (to, PORT).into())).unwrap();
    drop((first, listener.accept().unwrap()));
    assert!(p.count("cookie_answered") > 0);
    call_again(from, to);
}

#[test]
fn a_service_that_starts_later_is_reached() {
    let p = defended();
    let (to, from) = FAMILIES[0];
    let server = Server::start(&p, 8081);
    let stream = as_client(&p, || call((from, 0).into(), (to, 8081).into())).unwrap();
    ask(&stream, 10).unwrap();
    drop(stream);
    server.stop(&p);
}

/// Options of a connection as the server has them: window scaling and selective acknowledgements.
fn options(stream: &TcpStream) -> (bool, bool) {
    const SACK: u8 = 2;
    const WINDOW_SCALE: u8 = 4;
    // SAFETY: integers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a structure of that size.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "TCP_INFO");
    let has = |option| info.tcpi_options & option != 0;
    (has(WINDOW_SCALE), has(SACK))
}

#[test]
fn windows_are_scaled_where_timestamps_allow_it_and_right_where_not() {
    for (timestamps, scaled) in [("2", true), ("1", false), ("0", false)] {
        let p = Protected::enforcing();
        set_setting(&p, "tcp_timestamps", timestamps);
        super::defend(&p);
        let listener = listen(&p, PORT);
        wait_until("cookies defend the port", || has_cookies(&p, PORT));
        for (to, from) in FAMILIES {
            let connect = |from: IpAddr, to: IpAddr| call((from, 0).into(), (to, PORT).into());
            let client = as_client(&p, || connect(from, to)).unwrap();
            let (server, _) = listener.accept().unwrap();
            let seen = options(&server);
            assert_eq!(seen, (scaled, scaled), "tcp_timestamps = {timestamps}");
            let serving = thread::spawn(move || super::serve(server));
            ask(&client, 5_000_000).unwrap();
            drop(client);
            serving.join().unwrap();
        }
    }
}

#[test]
fn uploads_to_a_listener_with_a_small_buffer_do_not_stall() {
    const BYTES: usize = 2_000_000;
    let p = Protected::enforcing();
    set_setting(&p, "tcp_timestamps", "2");
    super::defend(&p);
    let listener = listen(&p, PORT);
    // What it has is taken over by its connections.
    setsockopt(&listener, sockopt::RcvBuf, &8_192).unwrap();
    wait_until("cookies defend the port", || has_cookies(&p, PORT));
    for (to, from) in FAMILIES {
        // The first is told what the kernel tells, and the others what was seen of that.
        for _ in 0..3 {
            let mut client = as_client(&p, || call((from, 0).into(), (to, PORT).into())).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            let sending = thread::spawn(move || client.write_all(&vec![1; BYTES]));
            server.read_exact(&mut vec![0; BYTES]).unwrap();
            sending.join().unwrap().unwrap();
        }
    }
    assert!(p.count("cookie_answered") >= 5);
}

/// Lets this process have so many files open.
fn allow_files(wanted: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes a structure, and then reads it; it outlives both calls.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_cur.max(wanted);
        limit.rlim_max = limit.rlim_max.max(wanted);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    let error = io::Error::last_os_error();
    assert_eq!(result, 0, "{wanted} open files: {error}");
}
