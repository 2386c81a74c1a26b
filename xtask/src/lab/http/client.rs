//! Visitors: short connections, one after the other, several in parallel, from many addresses.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    super::{
        clock, dial,
        heard::{Heard, Notebook},
        sandbox::Namespace,
        thread::pin_to,
    },
    Visitors,
};

/// A visitor who has waited longer has left.
const PATIENCE: Duration = Duration::from_secs(1);

/// Running visitors; they leave when dropped.
#[derive(Debug)]
pub struct Client {
    stop: Arc<AtomicBool>,
    heard: Arc<Notebook>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Client {
    /// Sends the usual visitors to the sandbox's web server.
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        Self::with(namespace, Visitors::usual(), cpu)
    }

    /// Sends visitors to the sandbox's web server.
    pub fn with(namespace: &Namespace, visitors: Visitors, cpu: Option<usize>) -> Result<Self> {
        let mut client = Self {
            stop: Arc::default(),
            heard: Arc::default(),
            threads: Vec::new(),
        };
        let turn = Arc::new(AtomicU32::new(0));
        for number in 0..visitors.parallel {
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
                    visit_until(&stop, visitors, &turn, &heard);
                    Ok(())
                })
                .context("cannot start a thread of the client")?;
            client.threads.push(thread);
        }
        Ok(client)
    }

    /// What was noticed since the last call.
    pub fn take(&self) -> Heard {
        self.heard.take()
    }

    /// Tells visitors to go once they are served.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Lets those who wait be served, and says what was noticed since [`Self::take`].
    pub fn finish(mut self) -> Result<Heard> {
        self.stop();
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(self.take())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One visit after the other; at a given rate, none before it is due.
fn visit_until(stop: &AtomicBool, visitors: Visitors, turn: &AtomicU32, heard: &Notebook) {
    let interval = visitors
        .rate
        .map(|rate| Duration::from_secs_f64(visitors.parallel as f64 / f64::from(rate.max(1))));
    let mut due = clock::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some(interval) = interval {
            let now = clock::now();
            // Who was kept waiting does not come twice.
            due = (due + interval).max(now.checked_sub(interval).unwrap_or(now));
            thread::sleep(due.saturating_duration_since(now));
        }
        let visitor = visitors.address(turn.fetch_add(1, Ordering::Relaxed));
        visit(visitor, visitors.server(), heard);
    }
}

fn visit(visitor: IpAddr, server: IpAddr, heard: &Notebook) {
    let begun = clock::now();
    let answered = request(visitor, server).is_ok();
    let took = begun.elapsed();
    heard.note(answered && took <= PATIENCE, took);
    if !answered && took < Duration::from_millis(10) {
        // Refused at once: a visitor does not try a thousand times a second.
        thread::sleep(Duration::from_millis(10));
    }
}

fn request(visitor: IpAddr, server: IpAddr) -> Result<()> {
    let server = SocketAddr::new(server, super::PORT);
    let socket: OwnedFd = dial::tcp(visitor, server, PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    ensure!(
        page.starts_with(b"HTTP/1.1 200 "),
        "the server did not answer"
    );
    Ok(())
}
