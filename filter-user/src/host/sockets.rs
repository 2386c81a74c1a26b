//! Sockets, as the kernel lists them over sock_diag(7).
//!
//! Only those that are asked for cross over: a busy server has tens of thousands, and reading
//! `/proc/net/tcp` then takes seconds.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv6Net};
use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::{Connection, Raw, Wanted, attribute, attributes};

#[doc(alias = "SOCK_DIAG_BY_FAMILY")]
const BY_FAMILY: u16 = 20;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The extension without which the kernel does not tell that a socket has keys either
/// (`inet_sk_diag_fill`).
const WITH_INFO: u8 = 1 << (INFO - 1);
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
    let (protocol, extensions, states) = match protocol {
        Protocol::Tcp => (TCP, WITH_INFO, LISTENING),
        Protocol::Udp => (UDP, 0, UDP_STATES),
    };
    for family in [INET, INET6] {
        let request = request_of([family, protocol, extensions], states, 0);
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

/// Sources that can be asked about at once.
pub const PEERS: usize = 64;
/// Attributes: the filter of a request, and `struct tcp_info` of an answer.
#[doc(alias = "INET_DIAG_REQ_BYTECODE")]
const FILTER: u16 = 1;
#[doc(alias = "INET_DIAG_INFO")]
const INFO: u16 = 2;
/// Where `struct tcp_info` says how many bytes were acknowledged (`tcpi_bytes_acked`).
const ACKNOWLEDGED: usize = 120;

/// The source that an address is: itself, or of IPv6 its /64, by the first address.
pub fn unit(address: IpAddr) -> IpAddr {
    const HOSTS: u128 = u64::MAX as u128;
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !HOSTS).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// How many established connections each of these sources has whose data it acknowledged, by
/// [`unit`]; the first [`PEERS`] are asked about, and those with none are left out. The kernel walks through all of its
/// connections for it, once, and gives those of these sources.
pub fn healthy(sources: &[IpAddr]) -> io::Result<BTreeMap<IpAddr, u32>> {
    let mut healthy = BTreeMap::new();
    let asked = sources.iter().take(PEERS);
    let asked: Vec<IpNet> = asked
        .map(|source| match unit(*source) {
            unit @ IpAddr::V4(_) => IpNet::from(unit),
            IpAddr::V6(unit) => IpNet::V6(Ipv6Net::new_assert(unit, 64)),
        })
        .collect();
    each_healthy(&asked, |peer| {
        let count: &mut u32 = healthy.entry(unit(peer)).or_default();
        *count = count.saturating_add(1);
    })?;
    Ok(healthy)
}

/// Whether anybody in a prefix has such a connection.
pub fn is_any_healthy(prefix: IpNet) -> io::Result<bool> {
    let mut is_any = false;
    each_healthy(&[prefix.trunc()], |_| is_any = true)?;
    Ok(is_any)
}

/// Gives the other end of each such connection of these.
fn each_healthy(asked: &[IpNet], mut take: impl FnMut(IpAddr)) -> io::Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let mut connection = open()?;
    for family in [INET, INET6] {
        let mut request = request(family, State::Established, None);
        let [_, _, extensions, ..] = &mut request;
        *extensions = WITH_INFO;
        let body = [&request[..], &attribute(FILTER, &from_any(asked))].concat();
        for raw in connection.ask(BY_FAMILY, Wanted::All, &body)? {
            let Some(socket) = read(&raw, State::Established) else {
                continue;
            };
            let rest = raw.body.get(MESSAGE..).unwrap_or_default();
            let info = attributes(rest).into_iter().find(|(kind, _)| *kind == INFO);
            let bytes = info.and_then(|(_, info)| info.get(ACKNOWLEDGED..)?.first_chunk());
            // The SYN of a connection that this host opened counts as one.
            if bytes.is_some_and(|bytes| u64::from_ne_bytes(*bytes) > 1) {
                take(socket.remote.ip());
            }
        }
    }
    Ok(())
}

/// A filter for connections from any of these: of each, the condition on its address, which goes to
/// a jump behind all where it is met, and over that jump to the next where it is not
/// (`struct inet_diag_bc_op`, `struct inet_diag_hostcond`).
fn from_any(sources: &[IpNet]) -> Vec<u8> {
    const JUMP: u8 = 1;
    const REMOTE: u8 = 8;
    const ANY_PORT: [u8; 4] = (-1_i32).to_ne_bytes();
    const OPERATION: usize = 4;
    let condition = |source: &IpNet| -> Vec<u8> {
        // An IPv4 address is also found where it came mapped into IPv6.
        let (family, address) = match source.addr() {
            IpAddr::V4(address) => (INET, address.octets().to_vec()),
            IpAddr::V6(address) => (INET6, address.octets().to_vec()),
        };
        let bits = source.prefix_len();
        let length = OPERATION + 8 + address.len();
        let over = (length + OPERATION) as u16;
        let mut bytes = vec![REMOTE, length as u8];
        bytes.extend(over.to_ne_bytes());
        bytes.extend([family, bits, 0, 0]);
        bytes.extend(ANY_PORT);
        bytes.extend(address);
        bytes
    };
    let conditions: Vec<Vec<u8>> = sources.iter().map(condition).collect();
    let with_jumps: usize = conditions.iter().map(|it| it.len() + OPERATION).sum();
    // None stands behind the last.
    let all = with_jumps.saturating_sub(OPERATION);
    let mut filter = Vec::with_capacity(all);
    for condition in conditions {
        filter.extend(condition);
        let behind = all - filter.len();
        if behind > 0 {
            filter.extend([JUMP, OPERATION as u8]);
            filter.extend((behind as u16).to_ne_bytes());
        }
    }
    filter
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, set of states, and a socket's
/// identity (48 bytes), of which only the source port is looked at.
fn request(family: u8, state: State, port: Option<u16>) -> [u8; 56] {
    request_of([family, TCP, 0], 1 << state as u8, port.unwrap_or(0))
}

fn request_of([family, protocol, extensions]: [u8; 3], states: u32, port: u16) -> [u8; 56] {
    let mut request = [0; 56];
    let head = [family, protocol, extensions, 0]
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
    fn connections_that_got_data_through_are_healthy() {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        // The last comes mapped into IPv6.
        for (bound, peer, other) in [
            ("127.0.0.1:0", "127.0.0.1", "127.0.0.9"),
            ("[::1]:0", "::1", "2001:db8::2"),
            ("[::]:0", "127.0.0.1", "127.0.0.9"),
        ] {
            let listener = TcpListener::bind(bound).unwrap();
            let (peer, other) = (address(peer), address(other));
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect((peer, port)).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let asked = |place: usize| -> Vec<IpAddr> {
                let mut all = vec![other; PEERS];
                all[place] = peer;
                all
            };
            let count = |place| {
                let found = healthy(&asked(place)).unwrap();
                assert!(!found.contains_key(&other));
                found.get(&unit(peer)).copied()
            };
            let before = count(0);
            std::io::Write::write_all(&mut server, b"hello").unwrap();
            let mut got = [0; 5];
            std::io::Read::read_exact(&mut &client, &mut got).unwrap();
            // The acknowledgement may be on its way yet.
            let grew = (0..500).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                count(0) > before
            });
            assert!(grew, "{bound}: {before:?}");
            for place in [1, PEERS / 2, PEERS - 1] {
                assert!(count(place) > before, "{bound}: {place}");
            }
        }
        assert!(healthy(&[]).unwrap().is_empty());
    }

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
