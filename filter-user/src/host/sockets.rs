//! TCP sockets, as the kernel lists them over sock_diag(7).
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
    let mut request = [0; 56];
    let states = 1_u32 << state as u8;
    let head = [family, TCP, 0, 0].into_iter().chain(states.to_ne_bytes());
    let bytes = head.chain(port.unwrap_or(0).to_be_bytes());
    for (to, from) in request.iter_mut().zip(bytes) {
        *to = from;
    }
    request
}

/// `struct inet_diag_msg`: family, state, two bytes; ports at 4 and 6, addresses at 8 and 24, inode
/// at 68.
fn read(raw: &Raw, state: State) -> Option<Socket> {
    let bytes: &[u8; 72] = raw.body.first_chunk()?;
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
