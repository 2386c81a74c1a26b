//! Sockets, as the kernel lists them over sock_diag(7).
//!
//! Only those that are asked for cross over: a busy server has tens of thousands, and reading
//! `/proc/net/tcp` then takes seconds.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::{Connection, Raw, Wanted};

#[doc(alias = "SOCK_DIAG_BY_FAMILY")]
const BY_FAMILY: u16 = 20;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// States as a set: `TCP_LISTEN`; and of UDP, which has but two, `TCP_ESTABLISHED` and `TCP_CLOSE`.
const LISTENING: u32 = 1 << 10;
const UDP_CONNECTED: u8 = 1;
const UDP_STATES: u32 = 1 << UDP_CONNECTED | 1 << 7;
const INET: u8 = 2;
const INET6: u8 = 10;

/// A state of a TCP socket; the number is the kernel's (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Both ends know each other.
    Established = 1,
    /// Waits for connections.
    Listen = 10,
}

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its state.
    pub state: State,
    /// The end here.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The inode by which processes hold it.
    pub inode: u64,
}

/// A protocol whose bound sockets can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Listeners of TCP.
    Tcp,
    /// All of UDP.
    Udp,
}

/// A socket that waits at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The address here; unspecified if it is any.
    pub address: IpAddr,
    /// The port here.
    pub port: u16,
    /// The index of the interface that it is bound to; 0 if none.
    pub interface: u32,
    /// No other socket has this number until the next boot.
    #[doc(alias = "SO_COOKIE")]
    pub cookie: u64,
    /// Whether it hears one peer only.
    pub is_connected: bool,
}

/// A way to ask for sockets.
pub(super) fn open() -> io::Result<Connection> {
    Connection::open(NETLINK_SOCK_DIAG)
}

/// Gives every socket of both families that waits at a port, with its attributes.
pub(super) fn each_bound(
    connection: &mut Connection,
    protocol: Protocol,
    mut take: impl FnMut(&Bound, &[u8]),
) -> io::Result<()> {
    let (protocol, states) = match protocol {
        Protocol::Tcp => (TCP, LISTENING),
        Protocol::Udp => (UDP, UDP_STATES),
    };
    for family in [INET, INET6] {
        let request = request_of(family, protocol, states, 0);
        for raw in connection.ask(BY_FAMILY, Wanted::All, &request)? {
            if let Some(socket) = read_bound(&raw.body) {
                take(&socket, raw.body.get(MESSAGE..).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The sockets in one state, of both families; only those with a local port if one is given.
pub fn list(state: State, port: Option<u16>) -> io::Result<Vec<Socket>> {
    let mut connection = Connection::open(NETLINK_SOCK_DIAG)?;
    let mut sockets = Vec::new();
    for family in [INET, INET6] {
        let answers = connection.ask(BY_FAMILY, Wanted::All, &request(family, state, port))?;
        sockets.extend(answers.iter().filter_map(|raw| read(raw, state)));
    }
    Ok(sockets)
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, set of states, and a socket's
/// identity (48 bytes), of which only the source port is looked at.
fn request(family: u8, state: State, port: Option<u16>) -> [u8; 56] {
    request_of(family, TCP, 1 << state as u8, port.unwrap_or(0))
}

fn request_of(family: u8, protocol: u8, states: u32, port: u16) -> [u8; 56] {
    let mut request = [0; 56];
    let head = [family, protocol, 0, 0]
        .into_iter()
        .chain(states.to_ne_bytes());
    let bytes = head.chain(port.to_be_bytes());
    for (to, from) in request.iter_mut().zip(bytes) {
        *to = from;
    }
    request
}

/// Bytes of `struct inet_diag_msg`.
const MESSAGE: usize = 72;

/// `struct inet_diag_msg`: family, state, two bytes; ports at 4 and 6, addresses at 8 and 24, inode
/// at 68.
fn read(raw: &Raw, state: State) -> Option<Socket> {
    let bytes: &[u8; MESSAGE] = raw.body.first_chunk()?;
    let [family, stated, _, _, s, p, d, q, ..] = *bytes;
    let address = |at: usize| -> Option<IpAddr> {
        match family {
            INET => Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?)),
            INET6 => Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<16>()?)),
            _ => None,
        }
    };
    let [.., i, n, o, e] = *bytes;
    (stated == state as u8).then_some(Socket {
        state,
        local: SocketAddr::new(address(8)?, u16::from_be_bytes([s, p])),
        remote: SocketAddr::new(address(24)?, u16::from_be_bytes([d, q])),
        inode: u64::from(u32::from_ne_bytes([i, n, o, e])),
    })
}

/// Of the same: the interface at 40, and the cookie at 44.
fn read_bound(body: &[u8]) -> Option<Bound> {
    let bytes: &[u8; MESSAGE] = body.first_chunk()?;
    let [family, state, _, _, s, p, ..] = *bytes;
    let local = bytes.get(8..)?;
    Some(Bound {
        address: match family {
            INET => IpAddr::from(*local.first_chunk::<4>()?),
            INET6 => IpAddr::from(*local.first_chunk::<16>()?),
            _ => return None,
        },
        port: u16::from_be_bytes([s, p]),
        interface: u32::from_ne_bytes(*bytes.get(40..)?.first_chunk()?),
        cookie: u64::from_ne_bytes(*bytes.get(44..)?.first_chunk()?),
        is_connected: state == UDP_CONNECTED,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    };

    use super::*;

    #[test]
    fn listeners_and_connections_of_a_port_are_listed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let here = listener.local_addr().unwrap();
            let client = TcpStream::connect(here).unwrap();

            let listeners = list(State::Listen, None).unwrap();
            let found = listeners
                .iter()
                .find(|socket| socket.local == here)
                .unwrap();
            let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
            assert_eq!(found.inode, std::fs::metadata(link).unwrap().ino());

            let connections = list(State::Established, Some(here.port())).unwrap();
            assert_eq!(connections.len(), 1);
            assert_eq!(connections[0].local, here);
            assert_eq!(connections[0].remote, client.local_addr().unwrap());
        }
    }
}
