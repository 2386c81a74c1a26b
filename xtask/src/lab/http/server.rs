//! A web server with a little honest work per request, on plain threads.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::super::{sandbox::Namespace, thread::pin_to};

/// Threads that answer, each one connection at a time.
const WORKERS: usize = 8;

/// How long a silent visitor may keep a thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running web server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on every IPv4 address of the namespace, port [`super::PORT`].
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, super::PORT));
        let listener = namespace
            .run(|| TcpListener::bind(address))?
            .with_context(|| format!("the web server cannot listen on {address}"))?;
        // Threads look up now and then whether they are to end.
        listener
            .set_nonblocking(true)
            .context("cannot set up the web server's socket")?;
        let listener = Arc::new(listener);
        let mut server = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for number in 0..WORKERS {
            let (listener, stop) = (Arc::clone(&listener), Arc::clone(&server.stop));
            let thread = thread::Builder::new()
                .name(format!("server {number}"))
                .spawn(move || serve(&listener, &stop, cpu))
                .context("cannot start a thread of the web server")?;
            server.threads.push(thread);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool, cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && let Err(error) = pin_to(cpu)
    {
        eprintln!("the web server runs anywhere: {error:#}");
    }
    while !stop.load(Ordering::Relaxed) {
        if !super::wait_for_input(listener, Duration::from_millis(100)) {
            continue;
        }
        match listener.accept() {
            // A visitor who goes away is no concern of the others.
            Ok((visitor, _)) => drop(answer(visitor)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
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
