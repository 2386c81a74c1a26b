//! Who is logged in over SSH: administrators whose sessions must survive any rule.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::sockets::{self, Socket, State};

/// The port that is SSH's whoever listens there.
const SSH: u16 = 22;
/// Names of processes that serve SSH (the kernel's, at most 15 bytes).
const SERVERS: [&str; 3] = ["sshd", "sshd-session", "dropbear"];

/// An established TCP connection to an SSH port of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// The other end; IPv4 if it came mapped into IPv6.
    pub peer: SocketAddr,
    /// The port here.
    pub local_port: u16,
}

/// What is known of SSH on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Administrators' sessions.
    pub sessions: Vec<Session>,
    /// Ports on which SSH is served; 22 is always one.
    pub ports: Vec<u16>,
    /// Whether the sockets of some server could not be seen, so that ports may be missing.
    pub is_partial: bool,
}

/// The sessions there are, in the network namespace of the process, and the SSH ports.
pub fn sessions() -> io::Result<Ssh> {
    let Servers {
        inodes: served,
        is_partial,
    } = servers(Path::new("/proc"));
    let mut sockets = sockets::list(State::Listen, None)?;
    let held: BTreeSet<u16> = sockets
        .iter()
        .filter(|socket| served.contains(&socket.inode))
        .map(|socket| socket.local.port())
        .collect();
    if held.is_empty() && !served.is_empty() {
        // Somebody else listens for the server, so that its port shows in its connections alone.
        sockets.extend(sockets::list(State::Established, None)?);
    } else {
        for port in held.into_iter().chain([SSH]).collect::<BTreeSet<_>>() {
            sockets.extend(sockets::list(State::Established, Some(port))?);
        }
    }
    let (sessions, ports) = find(&sockets, &served);
    Ok(Ssh {
        sessions,
        ports,
        is_partial,
    })
}

/// The sessions among sockets, and the SSH ports, where `served` are the inodes of sockets that
/// SSH servers hold.
///
/// A port is SSH's if it is 22, if a server listens there, or if a server holds a connection to a
/// port that anybody listens on (systemd may, for a server that it starts on demand). Connections
/// that a server opens for a forwarded port come from ports where nobody listens, and listeners on
/// loopback are forwarded ports themselves.
pub fn find(sockets: &[Socket], served: &BTreeSet<u64>) -> (Vec<Session>, Vec<u16>) {
    let is_listener = |socket: &&Socket| {
        socket.state == State::Listen && !socket.local.ip().to_canonical().is_loopback()
    };
    let port = |socket: &Socket| socket.local.port();
    let listening: BTreeSet<u16> = sockets.iter().filter(is_listener).map(port).collect();
    let ports: BTreeSet<u16> = sockets
        .iter()
        .filter(|socket| served.contains(&socket.inode))
        .filter(|socket| is_listener(socket) || socket.state == State::Established)
        .map(port)
        .filter(|port| listening.contains(port))
        .chain([SSH])
        .collect();
    let sessions: BTreeSet<Session> = sockets
        .iter()
        .filter(|socket| socket.state == State::Established && ports.contains(&port(socket)))
        .map(|socket| Session {
            peer: SocketAddr::new(socket.remote.ip().to_canonical(), socket.remote.port()),
            local_port: port(socket),
        })
        .filter(|session: &Session| !is_local(session.peer.ip()))
        .collect();
    (sessions.into_iter().collect(), ports.into_iter().collect())
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// What SSH servers hold, as far as this process may see it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Servers {
    /// Inodes of their sockets.
    inodes: BTreeSet<u64>,
    /// Whether a server would not be looked into.
    is_partial: bool,
}

fn servers(proc: &Path) -> Servers {
    let mut servers = Servers::default();
    let processes = entries(proc).unwrap_or_else(|_| {
        servers.is_partial = true;
        Vec::new()
    });
    for process in processes {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        if !SERVERS.contains(&name.trim_end()) {
            continue;
        }
        let descriptors = entries(&process.join("fd"));
        // Without the right to trace, the folder may be read, its links may not.
        let targets = descriptors.map(|found| found.into_iter().map(fs::read_link).collect());
        let targets: Vec<io::Result<PathBuf>> = targets.unwrap_or_else(|error| vec![Err(error)]);
        for target in targets {
            let target = match target {
                Ok(target) => target,
                Err(error) => {
                    servers.is_partial |= !is_gone(&error);
                    continue;
                }
            };
            let inode: Option<u64> = target.to_str().and_then(|text| {
                text.strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            });
            servers.inodes.extend(inode);
        }
    }
    servers
}

/// Whether a process, or a descriptor of it, ended just now.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// What lies in a folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::fs::symlink,
    };

    use super::*;

    fn sockets() -> Vec<Socket> {
        let socket = |state, local: &str, remote: &str, inode| Socket {
            state,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            inode,
        };
        let listens = |local, inode| socket(State::Listen, local, "0.0.0.0:0", inode);
        let talks = |local, remote, inode| socket(State::Established, local, remote, inode);
        vec![
            listens("0.0.0.0:22", 100),
            listens("0.0.0.0:2222", 101),
            listens("127.0.0.1:6010", 102),
            listens("0.0.0.0:80", 103),
            talks("192.0.2.1:22", "198.51.100.2:49153", 104),
            talks("192.0.2.1:2222", "198.51.100.3:49154", 105),
            talks("192.0.2.1:80", "198.51.100.4:49155", 106),
            talks("192.0.2.1:54321", "198.51.100.5:443", 107),
            talks("127.0.0.1:22", "127.0.0.1:49157", 108),
            listens("[::]:2223", 200),
            talks("[::ffff:192.0.2.1]:22", "[::ffff:198.51.100.7]:49158", 201),
            talks("[2001:db8::1]:2223", "[2001:db8::2]:49159", 202),
        ]
    }

    fn session(peer: &str, local_port: u16) -> Session {
        Session {
            peer: peer.parse().unwrap(),
            local_port,
        }
    }

    #[test]
    fn port_22_is_ssh_whoever_holds_it() {
        let (sessions, ports) = find(&sockets(), &BTreeSet::new());
        assert_eq!(ports, [22]);
        assert_eq!(
            sessions,
            [
                session("198.51.100.2:49153", 22),
                session("198.51.100.7:49158", 22)
            ]
        );
    }

    #[test]
    fn so_are_ports_that_servers_listen_on_or_were_handed() {
        // 101 and 102 are sshd's listeners, the second a forwarded port on loopback; 107 is a
        // connection that it opened; 202 one that systemd accepted on port 2223 and handed over.
        let (sessions, ports) = find(&sockets(), &BTreeSet::from([101, 102, 107, 202]));
        assert_eq!(ports, [22, 2222, 2223]);
        assert_eq!(
            sessions,
            [
                session("198.51.100.2:49153", 22),
                session("198.51.100.3:49154", 2222),
                session("198.51.100.7:49158", 22),
                session("[2001:db8::2]:49159", 2223),
            ]
        );
    }

    #[test]
    fn sockets_of_servers_are_found_by_name() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, name, inode) in [
            ("1", "systemd", 1),
            ("7", "sshd", 7),
            ("8", "sshd-session", 8),
        ] {
            let process = proc.path().join(pid);
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            symlink(format!("socket:[{inode}]"), process.join("fd/3")).unwrap();
            symlink("/dev/null", process.join("fd/0")).unwrap();
        }
        let all = Servers {
            inodes: BTreeSet::from([7, 8]),
            is_partial: false,
        };
        assert_eq!(servers(proc.path()), all);
        // A server that ended meanwhile is no trouble; one that cannot be looked into is.
        fs::create_dir(proc.path().join("9")).unwrap();
        fs::write(proc.path().join("9/comm"), "sshd\n").unwrap();
        assert_eq!(servers(proc.path()), all);
        fs::write(proc.path().join("9/fd"), "no folder").unwrap();
        let partial = Servers {
            is_partial: true,
            ..all
        };
        assert_eq!(servers(proc.path()), partial);
    }

    #[test]
    fn this_host_can_be_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let Ssh {
            sessions, ports, ..
        } = sessions().unwrap();
        assert!(ports.contains(&22));
        assert!(
            sessions
                .iter()
                .all(|session| !session.peer.ip().is_loopback())
        );
    }
}
