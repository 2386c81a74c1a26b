//! A long transfer that must not stall: a stream at a steady pace, as radio or a backup is.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    super::{
        clock, dial,
        heard::Notebook,
        sandbox::{Namespace, hosts},
    },
    regular::Regular,
};

/// Where it is offered.
const PORT: u16 = 8000;
/// What is sent at a time, and how often.
const CHUNK: usize = 8192;
const INTERVAL: Duration = Duration::from_millis(10);
/// A gap that is longer has been noticed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Streams to whoever connects, one at a time; it ends when dropped.
#[derive(Debug)]
pub struct Server(#[expect(dead_code, reason = "it runs until dropped")] Regular);

impl Server {
    /// On every IPv4 address of the namespace.
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
        let listener = namespace
            .run(|| dial::listener(address))?
            .with_context(|| format!("the stream cannot be offered on {address}"))?;
        listener.set_nonblocking(true)?;
        let server = Regular::spawn("stream", namespace, cpu, move |stop, _| {
            while !stop.load(Ordering::Relaxed) {
                let waiting = [listener.as_raw_fd()];
                if dial::wait_for_input(&waiting, Duration::from_millis(100))
                    && let Ok((listener, _)) = listener.accept()
                {
                    // Who has gone away is gone.
                    let _ = stream_to(listener, stop);
                }
            }
            Ok(())
        })?;
        Ok(Self(server))
    }
}

fn stream_to(mut listener: TcpStream, stop: &AtomicBool) -> std::io::Result<()> {
    listener.set_nonblocking(false)?;
    listener.set_write_timeout(Some(PATIENCE))?;
    let mut due = clock::now();
    while !stop.load(Ordering::Relaxed) {
        listener.write_all(&[0x5a; CHUNK])?;
        due = (due + INTERVAL).max(clock::now());
        thread::sleep(due.saturating_duration_since(clock::now()));
    }
    Ok(())
}

/// Listens to the stream, and notes each piece with the gap before it. A gap of a second, or an
/// end, is a failure; then it is tried anew.
pub fn fetch(namespace: &Namespace, cpu: Option<usize>) -> Result<Regular> {
    Regular::spawn("listener", namespace, cpu, |stop, heard| {
        while !stop.load(Ordering::Relaxed) {
            if listen(stop, heard).is_err() {
                heard.note(false, PATIENCE);
                thread::sleep(INTERVAL);
            }
        }
        Ok(())
    })
}

fn listen(stop: &AtomicBool, heard: &Notebook) -> Result<()> {
    let own: IpAddr = hosts::CLIENT.v4.into();
    let server = SocketAddr::new(hosts::SERVER.v4.into(), PORT);
    let mut stream = TcpStream::from(dial::tcp(own, server, PATIENCE)?);
    let mut chunk = [0; CHUNK];
    while !stop.load(Ordering::Relaxed) {
        let begun = clock::now();
        match stream.read_exact(&mut chunk) {
            Ok(()) => heard.note(true, begun.elapsed()),
            // The server went first: both are being stopped.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                anyhow::ensure!(stop.load(Ordering::Relaxed), "the stream ended");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
