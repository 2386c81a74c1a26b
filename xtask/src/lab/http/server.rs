//! A web server with a little honest work per request, on plain threads.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::super::{
    dial,
    sandbox::{Namespace, hosts},
    thread::pin_to,
};

/// Threads that answer, each one connection at a time.
const WORKERS: usize = 8;

/// How long a silent visitor may keep a thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running web server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// One for each family.
    listeners: [TcpListener; 2],
    stop: AtomicBool,
    strangers: AtomicU64,
}

impl Server {
    /// Listens on every address of the namespace, port [`super::PORT`].
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        let shared = Arc::new(Shared {
            listeners: [
                listen(namespace, Ipv4Addr::UNSPECIFIED.into())?,
                listen(namespace, Ipv6Addr::UNSPECIFIED.into())?,
            ],
            stop: AtomicBool::new(false),
            strangers: AtomicU64::new(0),
        });
        let mut server = Self {
            shared,
            threads: Vec::new(),
        };
        for number in 0..WORKERS {
            let shared = Arc::clone(&server.shared);
            let thread = thread::Builder::new()
                .name(format!("server {number}"))
                .spawn(move || serve(&shared, cpu))
                .context("cannot start a thread of the web server")?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Connections that were accepted from [`hosts::BOTS`] so far.
    pub fn strangers(&self) -> u64 {
        self.shared.strangers.load(Ordering::Relaxed)
    }
}

/// A listening socket of one family alone.
fn listen(namespace: &Namespace, address: IpAddr) -> Result<TcpListener> {
    let address = SocketAddr::new(address, super::PORT);
    let listener = namespace
        .run(|| dial::listener(address))?
        .with_context(|| format!("the web server cannot listen on {address}"))?;
    // Threads look up now and then whether they are to end.
    listener
        .set_nonblocking(true)
        .context("cannot set up the web server's socket")?;
    Ok(listener)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && let Err(error) = pin_to(cpu)
    {
        eprintln!("the web server runs anywhere: {error:#}");
    }
    while !shared.stop.load(Ordering::Relaxed) {
        let ready = dial::wait_for_input(
            &shared
                .listeners
                .each_ref()
                .map(|listener| listener.as_raw_fd()),
            Duration::from_millis(100),
        );
        if !ready {
            continue;
        }
        for listener in &shared.listeners {
            match listener.accept() {
                Ok((visitor, from)) => {
                    if is_stranger(from.ip()) {
                        shared.strangers.fetch_add(1, Ordering::Relaxed);
                    }
                    // A visitor who goes away is no concern of the others.
                    drop(answer(visitor));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn is_stranger(from: IpAddr) -> bool {
    match from {
        IpAddr::V4(v4) => v4.octets()[..2] == hosts::BOTS.octets()[..2],
        IpAddr::V6(_) => false,
    }
}

fn answer(mut visitor: TcpStream) -> std::io::Result<()> {
    visitor.set_nonblocking(false)?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 8192 {
        match visitor.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let page = page();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    visitor.write_all(head.as_bytes())?;
    visitor.write_all(page.as_bytes())
}

/// Renders a table of results: some 300 µs of formatting, as a small dynamic page costs.
fn page() -> String {
    let mut page = String::from("<!doctype html><title>Results</title><table>");
    let mut votes = 1_u64;
    for district in 0..4000 {
        votes = votes
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Writing into a string cannot fail.
        let _ = write!(
            page,
            "<tr><td>{district}<td>{:.2}",
            (votes >> 40) as f64 / 1e4
        );
    }
    page.truncate(4096);
    page
}
