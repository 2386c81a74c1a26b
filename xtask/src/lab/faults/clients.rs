//! What others do to the control socket, and how full the tables get.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    super::{clock, interrupt},
    Course, Site,
};

/// Connections at once.
const CONNECTIONS: usize = 10_000;

/// Ten thousand that say nothing.
pub fn connections(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let (mut open, mut turned_away) = (0, 0);
    for _ in 0..course.rounds {
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            match connect(site) {
                Ok(socket) => all.push(socket),
                Err(_) => turned_away += 1,
            }
        }
        open += all.len();
        let filter = site.program()?;
        ensure!(filter.is_some(), "nothing is attached");
        drop(all);
        site.until("the daemon answers again", || Ok(site.status().is_ok()))?;
    }
    Ok(vec![format!(
        "{open} were taken or waited in the kernel's queue, {turned_away} were turned away by it; who \
         comes when they are gone is served"
    )])
}

fn connect(site: &Site) -> Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd as _;
    // The kernel's queue may be full, and nobody is to wait for it.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(
        socket.as_raw_fd(),
        &UnixAddr::new(&site.floodwall.socket())?,
    )?;
    Ok(socket.into())
}

/// Those who ask for much and read nothing, or a byte now and then.
pub fn slow(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        let mut readers = Vec::new();
        for number in 0..60 {
            let mut socket = UnixStream::connect(site.floodwall.socket())?;
            // Some do not finish their question.
            let question: &[u8] = match number % 3 {
                0 => b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
                1 => b"GET /v1/block HTTP/1.1\r\nHost: x\r\n\r\n",
                _ => b"GET /v1/sta",
            };
            socket.write_all(question)?;
            readers.push(socket);
        }
        let asked = clock::now();
        site.status()?;
        site.is_healthy()?;
        ensure!(
            asked.elapsed() < super::site::PATIENCE,
            "others wait for slow readers"
        );
        for reader in &mut readers {
            reader.set_read_timeout(Some(Duration::from_millis(20)))?;
            let _ = reader.read(&mut [0]);
        }
        drop(readers);
    }
    Ok(vec![
        "sixty of the 64 connections there are; others are served beside".to_owned(),
    ])
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

/// Not one more entry fits.
pub fn tables(site: &mut Site, course: Course) -> Result<Vec<String>> {
    site.stop()?;
    site.configure(
        "[tables]\nallow = 64\nblock = 64\nbans = 64\nlists_v4 = 4096\nlists_v6 = 64\nsources = 1024\n",
    )?;
    site.start()?;
    for _ in 0..course.rounds {
        for (noun, from) in [("block", "10.1.0"), ("allow", "10.2.0"), ("ban", "10.3.0")] {
            let mut refused = None;
            for number in 0..=64 {
                let address = format!("{from}.{number}");
                let mut words = vec![noun, "add", address.as_str()];
                if noun == "ban" {
                    words.extend(["--for", "1h"]);
                }
                let output = site.floodwall.output(&words)?;
                if !output.status.success() {
                    let said = [output.stderr, output.stdout].concat();
                    refused = Some(String::from_utf8_lossy(&said).into_owned());
                    break;
                }
            }
            let said = refused.with_context(|| format!("`{noun}` takes more than it holds"))?;
            ensure!(
                said.contains("room for 64") && said.contains("[tables]"),
                "{said}"
            );
            interrupt::check()?;
            // Room for what comes after.
            let own = format!("{from}.0");
            site.say(&[noun, "del", &own])?;
        }
        let list = site.write("too-large.txt", &super::site::many(5_000))?;
        let list = list.to_string_lossy();
        site.refuses(&["block", "import", &list, "--list", "more"], "[tables]")?;
        for (noun, from) in [("block", "10.1.0"), ("allow", "10.2.0"), ("ban", "10.3.0")] {
            for number in 1..64 {
                let address = format!("{from}.{number}");
                // Those for which there was no room are not there.
                site.floodwall.output(&[noun, "del", &address])?;
            }
        }
    }
    Ok(vec![
        "what does not fit is refused, with the table's name and the key that enlarges it; the source \
         table gives a newcomer the fuller bucket of two, or none if both are more than half empty"
            .to_owned(),
    ])
}
