//! What others do to the control socket.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::unistd::{Gid, Group};

use super::{super::clock, Course, Site, site::PATIENCE};

/// Connections at once.
const CONNECTIONS: usize = 10_000;
/// Of those who only look, so many are served.
const LOOKERS: usize = 48;
/// Whose members may look: a group that every host has, and no administrator is in.
const READERS: &str = "nogroup";
const NOBODY: libc::uid_t = 65_534;

/// Ten thousand of somebody who may look, who says nothing.
pub fn connections(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let group = let_look(site)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..course.rounds {
        let socket = site.floodwall.socket();
        let is_done = AtomicBool::new(false);
        let (site, is_done) = (&*site, &is_done);
        let crowd = thread::scope(|scope| {
            let crowd = scope.spawn(move || {
                let crowd = crowd(group, &socket);
                is_done.store(true, Ordering::Relaxed);
                crowd
            });
            while !is_done.load(Ordering::Relaxed) {
                slowest = slowest.max(change(site)?);
            }
            slowest = slowest.max(change(site)?);
            crowd.join().map_err(|_| anyhow!("the crowd panicked"))?
        })?;
        site.until("no more are served than may be", || {
            Ok(crowd.iter().filter(|it| is_open(it)).count() <= LOOKERS)
        })?;
        ensure!(site.program()?.is_some(), "nothing is attached");
    }
    Ok(vec![format!(
        "{LOOKERS} of them are served; root's changes meanwhile took {} ms at most",
        slowest.as_millis()
    )])
}

/// Lets members of a group look that the daemon finds, and nobody else.
fn let_look(site: &mut Site) -> Result<Gid> {
    let group = Group::from_name(READERS)?;
    let group = group.with_context(|| format!("there is no group {READERS}"))?;
    site.stop()?;
    site.configure(&format!("[access]\nread_group = \"{READERS}\"\n"))?;
    site.start()?;
    Ok(group.gid)
}

/// Lets the calling thread, and no other, go on as one who may look.
fn become_reader(group: Gid) -> Result<()> {
    let group = group.as_raw();
    let nothing = std::ptr::null::<libc::gid_t>();
    // The functions of the C library would change all threads.
    // SAFETY: no groups are read.
    let left = unsafe { libc::syscall(libc::SYS_setgroups, 0, nothing) };
    // SAFETY: it takes numbers alone.
    let joined = unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) };
    // SAFETY: it takes numbers alone.
    let became = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    ensure!(
        [left, joined, became] == [0; 3],
        "cannot become one who may look: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// All that connect one after the other, whatever becomes of them.
fn crowd(group: Gid, socket: &Path) -> Result<Vec<UnixStream>> {
    become_reader(group)?;
    let end = clock::now() + PATIENCE;
    let mut all = Vec::new();
    while all.len() < CONNECTIONS {
        match connect(socket) {
            Ok(socket) => all.push(socket),
            // The kernel's queue is full.
            Err(error) if error.kind() == ErrorKind::WouldBlock && clock::now() < end => {
                thread::sleep(Duration::from_micros(200));
            }
            Err(error) => {
                let count = all.len();
                return Err(error).with_context(|| format!("connecting, {count} times before"));
            }
        }
    }
    Ok(all)
}

fn connect(path: &Path) -> std::io::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd as _;
    // Nobody is to wait for the kernel's queue.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

/// Whether nothing was said to it, and it was not hung up on.
fn is_open(mut socket: &UnixStream) -> bool {
    let read = socket.read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Changes something as root; how long each command took at most.
fn change(site: &Site) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for verb in ["add", "del"] {
        let asked = clock::now();
        site.say(&["block", verb, "10.200.200.201"])?;
        slowest = slowest.max(asked.elapsed());
    }
    Ok(slowest)
}

/// Those who ask for much and read nothing, and who do not finish their question.
pub fn slow(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let group = let_look(site)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..course.rounds {
        let socket = site.floodwall.socket();
        let readers = thread::spawn(move || readers(group, &socket));
        let readers = readers.join().map_err(|_| anyhow!("a reader panicked"))??;
        slowest = slowest.max(change(site)?);
        site.is_healthy()?;
        drop(readers);
    }
    Ok(vec![format!(
        "somebody who may look has sixty, and {LOOKERS} of the 64 connections there are; root's \
         changes meanwhile took {} ms at most",
        slowest.as_millis()
    )])
}

fn readers(group: Gid, socket: &Path) -> Result<Vec<UnixStream>> {
    become_reader(group)?;
    let questions: [&[u8]; 3] = [
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/block HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/sta",
    ];
    let mut readers = Vec::new();
    for question in questions.iter().cycle().take(60) {
        let mut reader = UnixStream::connect(socket)?;
        // Whoever is one too many may have been hung up on.
        let _ = reader.write_all(question);
        readers.push(reader);
    }
    Ok(readers)
}

/// More than is taken.
pub fn oversized(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        for length in [1_u64 << 20, 1 << 40] {
            let mut socket = UnixStream::connect(site.floodwall.socket())?;
            socket.set_read_timeout(Some(Duration::from_secs(10)))?;
            socket.set_write_timeout(Some(Duration::from_secs(10)))?;
            write!(
                socket,
                "POST /v1/block HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n"
            )?;
            // It may be cut off amid this.
            let _ = socket.write_all(&vec![b' '; 1 << 20]);
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            ensure!(
                answer.starts_with("HTTP/1.1 413"),
                "a body of {length} bytes was answered with: {answer}"
            );
        }
    }
    Ok(vec!["answered with 413".to_owned()])
}
