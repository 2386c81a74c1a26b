//! Visitors: short connections, one after the other, several in parallel, from many addresses.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
    },
    time::TimeVal,
};

use super::super::{
    clock,
    sandbox::{Namespace, hosts},
    thread::pin_to,
};

/// Connections at the same time, as one browser makes them.
const PARALLEL: usize = 6;

/// A visitor who has waited longer has left.
const PATIENCE: Duration = Duration::from_secs(1);

/// Addresses that visitors have; together they are a crowd, none of them a flood.
const VISITORS: u32 = 200;

/// What the visitors noticed in a while.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Requests answered in time.
    pub answered: u64,
    /// Requests refused, cut off or not answered in time.
    pub failed: u64,
    latencies: Vec<Duration>,
}

impl Heard {
    /// The share of requests that were answered; nothing asked is nothing failed.
    pub fn success(&self) -> f64 {
        match self.answered + self.failed {
            0 => 1.0,
            asked => self.answered as f64 / asked as f64,
        }
    }

    /// The time within which this share of the requests was answered or given up.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted
            .get((last as f64 * share).round() as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Adds what was noticed in another while.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latencies.extend_from_slice(&other.latencies);
    }
}

/// Running visitors; they leave when dropped.
#[derive(Debug)]
pub struct Client {
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Client {
    /// Sends visitors to the sandbox's web server.
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        let mut client = Self {
            stop: Arc::default(),
            heard: Arc::default(),
            threads: Vec::new(),
        };
        let turn = Arc::new(AtomicU32::new(0));
        for number in 0..PARALLEL {
            let namespace = namespace.clone();
            let (stop, heard, turn) = (
                Arc::clone(&client.stop),
                Arc::clone(&client.heard),
                Arc::clone(&turn),
            );
            let thread = thread::Builder::new()
                .name(format!("client {number}"))
                .spawn(move || {
                    namespace.enter()?;
                    if let Some(cpu) = cpu {
                        pin_to(cpu)?;
                    }
                    while !stop.load(Ordering::Relaxed) {
                        let visitor = turn.fetch_add(1, Ordering::Relaxed) % VISITORS;
                        visit(visitor, &heard);
                    }
                    Ok(())
                })
                .context("cannot start a thread of the client")?;
            client.threads.push(thread);
        }
        Ok(client)
    }

    /// What was noticed since the last call.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn visit(visitor: u32, heard: &Mutex<Heard>) {
    let begun = clock::now();
    let answered = request(visitor).is_ok();
    let took = begun.elapsed();
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.latencies.push(took);
    if answered && took <= PATIENCE {
        heard.answered += 1;
    } else {
        heard.failed += 1;
    }
    drop(heard);
    if !answered && took < Duration::from_millis(10) {
        // Refused at once: a visitor does not try a thousand times a second.
        thread::sleep(Duration::from_millis(10));
    }
}

fn request(visitor: u32) -> Result<()> {
    let mut stream = dial(visitor)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    ensure!(
        page.starts_with(b"HTTP/1.1 200 "),
        "the server did not answer"
    );
    Ok(())
}

/// Connects from the visitor's own address, for at most `PATIENCE`.
fn dial(visitor: u32) -> Result<TcpStream> {
    let patience = TimeVal::new(PATIENCE.as_secs() as i64, 0);
    let socket: OwnedFd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // Linux bounds connect(2) by the send timeout, too (socket(7)).
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
    let own = Ipv4Addr::from(u32::from(hosts::CLIENT.v4).wrapping_add(visitor));
    bind(
        socket.as_raw_fd(),
        &SockaddrIn::from(std::net::SocketAddrV4::new(own, 0)),
    )?;
    let server = std::net::SocketAddrV4::new(hosts::SERVER.v4, super::PORT);
    connect(socket.as_raw_fd(), &SockaddrIn::from(server))?;
    Ok(TcpStream::from(socket))
}
