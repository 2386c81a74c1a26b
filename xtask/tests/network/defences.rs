//! What must keep working with every defence on.

mod datagrams;
mod errors;
mod firewall;
mod partner;
mod paths;
mod sessions;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
        sockopt,
    },
    time::TimeVal,
};
use xtask::lab::sandbox::{Ns, hosts};

use crate::common::{PATIENCE, Protected, wait_until};

const DEFENCES: [&str; 7] = [
    "cookies",
    "sockets",
    "closed-ports",
    "solicited",
    "connections",
    "icmp",
    "protocols",
];
/// Where the server listens.
const PORT: u16 = 8080;
/// The addresses of the server and of a client, of each family.
const FAMILIES: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(hosts::SERVER.v4), IpAddr::V4(hosts::CLIENT.v4)),
    (IpAddr::V6(hosts::SERVER.v6), IpAddr::V6(hosts::CLIENT.v6)),
];

/// A server with every defence on.
fn defended() -> Protected {
    let p = Protected::enforcing();
    defend(&p);
    p
}

/// Switches every defence on, and waits until it holds.
fn defend(p: &Protected) {
    for name in DEFENCES {
        p.cli(&format!("defence set {name} on")).ends(0);
    }
    wait_until("every defence holds", || {
        let list = p.json("defence list");
        let defences = list["defences"].as_array().unwrap();
        assert_eq!(defences.len(), DEFENCES.len());
        defences.iter().all(|it| it["state"] == "holding")
    });
}

/// Whether cookies defend a port.
fn has_cookies(p: &Protected, port: u16) -> bool {
    let list = p.json("defence list");
    let defences = list["defences"].as_array().unwrap();
    let cookies = defences.iter().find(|it| it["name"] == "cookies").unwrap();
    let ports = cookies["ports"].as_array().unwrap();
    ports.iter().any(|it| *it == port)
}

/// A setting of TCP of the server.
fn setting(p: &Protected, name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let read = || fs::read_to_string(path).unwrap().trim().to_owned();
    p.sandbox.in_ns(Ns::Server, read).unwrap()
}

fn set_setting(p: &Protected, name: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let write = || fs::write(path, value).unwrap();
    p.sandbox.in_ns(Ns::Server, write).unwrap();
}

/// Loads rules of nftables in a namespace.
fn nft(p: &Protected, ns: Ns, rules: &str) {
    let file = p.file("rules.nft");
    fs::write(&file, rules).unwrap();
    let mut command = p.sandbox.command(ns, "nft");
    let output = command.arg("-f").arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Answers each request, which is a number, with so many bytes. Ends when it is dropped.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl Server {
    /// Listens at a port of all addresses of the server.
    fn start(p: &Protected, port: u16) -> Self {
        let listener = listen(p, port);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // It ends with its client.
                    thread::spawn(move || serve(stream));
                }
            })
        };
        let server = Self {
            stop,
            thread: Some(thread),
            address: SocketAddr::from((hosts::SERVER.v4, port)),
        };
        wait_until("cookies defend the port", || has_cookies(p, port));
        server
    }

    /// Ends it, from the server's own namespace.
    fn stop(mut self, p: &Protected) {
        self.stop.store(true, Ordering::Relaxed);
        let address = self.address;
        let knock = || TcpStream::connect(address).unwrap();
        drop(p.sandbox.in_ns(Ns::Server, knock).unwrap());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn listen(p: &Protected, port: u16) -> TcpListener {
    let listen = || TcpListener::bind(("::", port)).unwrap();
    let listener = p.sandbox.in_ns(Ns::Server, listen).unwrap();
    // Whoever waits for a connection that does not come fails, and does not hang.
    let patience = TimeVal::new(2 * PATIENCE.as_secs().cast_signed(), 0);
    setsockopt(&listener, sockopt::ReceiveTimeout, &patience).unwrap();
    listener
}

fn serve(mut stream: TcpStream) {
    let mut request = [0; 4];
    while stream.read_exact(&mut request).is_ok() {
        let answer = vec![7; u32::from_be_bytes(request) as usize];
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// Asks the server for so many bytes, and has to get them.
fn ask(mut stream: &TcpStream, bytes: u32) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&bytes.to_be_bytes())?;
    let mut answer = vec![0; bytes as usize];
    stream.read_exact(&mut answer)?;
    assert!(answer.iter().all(|byte| *byte == 7), "other bytes");
    Ok(())
}

/// Connects to the server from one of the client's addresses and a port of it, 0 for any. To be
/// called in the client's namespace.
fn call(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let family = match from.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    let patience = TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket.into())
}

/// Runs calls in the client's namespace.
fn as_client<R: Send>(p: &Protected, work: impl FnOnce() -> R + Send) -> R {
    p.sandbox.in_ns(Ns::Client, work).unwrap()
}
