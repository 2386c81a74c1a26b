//! A host with sockets, in a network namespace of this thread: what the program looks up in a test
//! run are the sockets of the thread's namespace.

use std::{
    fs,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::Command,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sched::{CloneFlags, unshare},
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, getsockname,
        listen, setsockopt, socket, sockopt,
    },
};

/// The addresses of the protected host.
pub const OWN: [&str; 2] = ["203.0.113.1", "2001:db8:ffff::1"];
/// The addresses of its clients.
pub const CLIENT: [&str; 2] = ["203.0.113.9", "2001:db8:ffff::9"];
/// An address where nobody is.
const NOBODY: &str = "203.0.113.77";

/// Makes a namespace for this thread, with the addresses and with cookies for every listener.
pub fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace can be made");
    ip("link set lo up");
    for address in [OWN, CLIENT].concat() {
        // Others would have to wait until nobody else has it.
        let how = if address.contains(':') {
            "/128 dev lo nodad"
        } else {
            "/32 dev lo"
        };
        ip(&format!("address add {address}{how}"));
    }
    ip(&format!("route add {NOBODY} dev lo"));
    set("tcp_syncookies", 2);
    set("tcp_timestamps", 2);
}

/// A setting of the namespace's TCP.
pub fn set(name: &str, value: u32) {
    let path = format!("/proc/sys/net/ipv4/{name}");
    fs::write(&path, value.to_string()).expect(&path);
}

pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip can be run").success(), "ip {arguments}");
}

/// Who listens at an address, at any port.
pub fn listener(at: &str) -> TcpListener {
    TcpListener::bind((at, 0)).expect("the address is there")
}

pub fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

/// A connection: the client's end, and the server's.
pub struct Connection {
    pub client: TcpStream,
    pub server: TcpStream,
}

/// A connection from an address to who listens at another.
pub fn connection(from: &str, to: &str, listener: &TcpListener) -> Connection {
    let client = opening(
        from,
        &format!("{}", SocketAddr::new(ip_of(to), port(listener))),
        0,
    );
    let client = TcpStream::from(client);
    let (server, _) = listener.accept().expect("the client comes");
    Connection { client, server }
}

impl Connection {
    pub fn client_port(&self) -> u16 {
        self.client.local_addr().expect("it is bound").port()
    }

    /// The server has nothing more to say.
    pub fn half_close(&self) {
        self.server.shutdown(Shutdown::Write).expect("it was open");
    }

    /// Both ends close, the server first: it is the one that waits.
    pub fn close(self) {
        drop(self.server);
        drop(self.client);
    }
}

fn ip_of(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A socket of this host that waits for an answer of nobody, and its port.
pub fn unanswered() -> (OwnedFd, u16, &'static str) {
    let socket = opening(OWN[0], &format!("{NOBODY}:80"), libc_nonblock());
    let bound: SockaddrStorage = {
        use std::os::fd::AsRawFd as _;
        getsockname(socket.as_raw_fd()).expect("it is bound")
    };
    let port = bound.as_sockaddr_in().expect("IPv4").port();
    (socket, port, NOBODY)
}

fn libc_nonblock() -> i32 {
    OFlag::O_NONBLOCK.bits()
}

fn opening(from: &str, to: &str, flags: i32) -> OwnedFd {
    use std::os::fd::AsRawFd as _;
    let from = SocketAddr::new(ip_of(from), 0);
    let to: SocketAddr = to.parse().expect("an address and a port");
    let socket = stream(&from);
    if flags != 0 {
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::from_bits_truncate(flags))).expect("a flag");
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from)).expect("the address is there");
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => socket,
        Err(error) => panic!("connecting to {to}: {error}"),
    }
}

fn stream(address: &SocketAddr) -> OwnedFd {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    socket(family, SockType::Stream, SockFlag::empty(), None).expect("a socket")
}

/// Several that listen at one address and port.
pub fn group(at: &str, count: usize) -> (Vec<TcpListener>, u16) {
    use std::os::fd::AsRawFd as _;
    let mut address = SocketAddr::new(ip_of(at), 0);
    let mut listeners: Vec<TcpListener> = Vec::new();
    for _ in 0..count {
        let socket = stream(&address);
        setsockopt(&socket, sockopt::ReusePort, &true).expect("ports can be shared");
        bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("the address is there");
        listen(&socket, Backlog::new(16).expect("a backlog")).expect("it can listen");
        let listener = TcpListener::from(socket);
        address.set_port(port(&listener));
        listeners.push(listener);
    }
    (listeners, address.port())
}
