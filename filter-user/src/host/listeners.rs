//! Which ports of this host have sockets, and whose they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    netlink::attributes,
    sockets::{self, Bound, Protocol},
};
use crate::core::ports::Ports;

/// How long a UDP socket must stay to be a server's, where its port is one that sockets get without a
/// wish.
const SETTLED: Duration = Duration::from_secs(30);
/// What Linux has without a word of an administrator.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);
/// An attribute of a socket's options (`INET_DIAG_SOCKOPT`), since Linux 5.10.
const OPTIONS: u16 = 22;
/// An attribute of a socket that has keys (`INET_DIAG_MD5SIG`), told to CAP_NET_ADMIN.
const KEYS: u16 = 18;
/// `transparent` in `struct inet_diag_sockopt`, whose bits a compiler lays out by byte order.
const TRANSPARENT: u8 = if cfg!(target_endian = "little") {
    1 << 5
} else {
    1 << 2
};

/// The sockets at a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Whether the network can reach any.
    pub is_open: bool,
    /// Why they are not the whole truth.
    pub left_out: BTreeSet<String>,
    /// Whether any signs its segments (RFC 2385): what is answered in its name would be refused.
    pub signs: bool,
    /// What tells the sockets apart from others that were there before.
    pub identity: u64,
}

/// All ports with sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// TCP ports that are listened on.
    pub tcp: BTreeMap<u16, Place>,
    /// UDP ports that sockets are bound to.
    pub udp: BTreeMap<u16, Place>,
    /// UDP ports that serve: of sockets that talk to anyone, and have a port by wish or for long.
    pub serves: Ports,
}

/// Looks at sockets again and again, and remembers since when each is there.
#[derive(Debug, Default)]
pub struct Watch {
    /// UDP sockets that talk to anyone, by cookie, and since when they are known.
    since: HashMap<u64, Instant>,
}

impl Watch {
    /// Looks. `protected` are the names of interfaces with a program, by index; `name` gives those
    /// of others.
    pub fn look(
        &mut self,
        now: Instant,
        protected: &BTreeSet<u32>,
        name: &dyn Fn(u32) -> String,
    ) -> io::Result<Listeners> {
        let mut listeners = Listeners::default();
        let mut connection = sockets::open()?;
        sockets::each_bound(&mut connection, Protocol::Tcp, |socket, rest| {
            note(&mut listeners.tcp, socket, rest, protected, name);
        })?;
        let mut present = HashMap::new();
        let (first, last) = ephemeral();
        let since = &self.since;
        sockets::each_bound(&mut connection, Protocol::Udp, |socket, rest| {
            note(&mut listeners.udp, socket, rest, protected, name);
            if socket.is_connected || is_local(socket.address) {
                return;
            }
            let start = since.get(&socket.cookie).copied().unwrap_or(now);
            present.insert(socket.cookie, start);
            let by_wish = !(first..=last).contains(&socket.port);
            if by_wish || now.saturating_duration_since(start) >= SETTLED {
                listeners.serves.insert(socket.port);
            }
        })?;
        self.since = present;
        Ok(listeners)
    }
}

/// Notes a socket at its port.
fn note(
    places: &mut BTreeMap<u16, Place>,
    socket: &Bound,
    rest: &[u8],
    protected: &BTreeSet<u32>,
    name: &dyn Fn(u32) -> String,
) {
    if socket.port == 0 {
        return;
    }
    let place = places.entry(socket.port).or_default();
    // The order in which the kernel lists sockets must not matter.
    place.identity ^= socket
        .cookie
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(23);
    if is_local(socket.address) {
        return;
    }
    place.is_open = true;
    if socket.interface != 0 && !protected.contains(&socket.interface) {
        let device = name(socket.interface);
        place.left_out.insert(format!(
            "its socket is bound to {device}, and is not found from the protected interface"
        ));
    }
    let attributes = attributes(rest);
    place.signs |= attributes.iter().any(|(kind, _)| *kind == KEYS);
    let is_transparent = attributes.into_iter().any(|(kind, value)| {
        kind == OPTIONS && value.first().is_some_and(|it| it & TRANSPARENT != 0)
    });
    if is_transparent {
        place.left_out.insert(
            "its socket is transparent, so that it takes what is sent to others too".to_owned(),
        );
    }
}

fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The ports that sockets get without a wish (`net.ipv4.ip_local_port_range`).
fn ephemeral() -> (u16, u16) {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(EPHEMERAL)
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Some((first, last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::fd::AsRawFd as _,
    };

    use super::*;

    fn look(watch: &mut Watch, now: Instant) -> Listeners {
        let name = |index: u32| format!("#{index}");
        watch.look(now, &BTreeSet::new(), &name).expect("sockets")
    }

    fn socket(address: &str, port: u16) -> Bound {
        Bound {
            address: address.parse().expect("an address"),
            port,
            interface: 0,
            cookie: 7,
            is_connected: false,
        }
    }

    fn noted(socket: &Bound, rest: &[u8]) -> Place {
        let mut places = BTreeMap::new();
        let name = |index: u32| format!("br{index}");
        note(&mut places, socket, rest, &BTreeSet::from([2]), &name);
        places.remove(&socket.port).expect("a place")
    }

    #[test]
    fn sockets_of_this_host_are_found() {
        let now = crate::clock::monotonic();
        let wild = TcpListener::bind("0.0.0.0:0").expect("a listener");
        let inner = TcpListener::bind("[::1]:0").expect("a listener");
        let served = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let asked = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = |address: io::Result<std::net::SocketAddr>| address.expect("bound").port();
        let (wild_port, inner_port) = (port(wild.local_addr()), port(inner.local_addr()));
        let (served_port, asked_port) = (port(served.local_addr()), port(asked.local_addr()));

        let mut watch = Watch::default();
        let found = look(&mut watch, now);
        assert!(found.tcp[&wild_port].is_open);
        assert!(!found.tcp[&inner_port].is_open);
        assert!(found.udp[&served_port].is_open);
        assert!(!found.udp[&asked_port].is_open);
        assert!(!found.serves.contains(served_port), "it may be a client's");
        let again = look(&mut watch, now + SETTLED);
        assert_eq!(again.tcp[&wild_port], found.tcp[&wild_port]);
        assert!(again.serves.contains(served_port), "it stayed");
        assert!(!again.serves.contains(asked_port));

        drop(wild);
        let wild = TcpListener::bind(("0.0.0.0", wild_port)).expect("the port again");
        let other = look(&mut watch, now);
        assert_ne!(
            other.tcp[&wild_port].identity, again.tcp[&wild_port].identity,
            "another socket at the same port is another"
        );
        drop(wild);
    }

    #[test]
    fn sockets_of_other_devices_are_left_out() {
        let bound = |interface| Bound {
            interface,
            ..socket("0.0.0.0", 80)
        };
        assert!(noted(&bound(2), &[]).left_out.is_empty());
        let place = noted(&bound(5), &[]);
        assert!(place.is_open);
        let why = place.left_out.first().expect("a reason");
        assert!(why.contains("bound to br5"), "{why}");
    }

    #[test]
    fn transparent_sockets_are_left_out() {
        let options = super::super::netlink::attribute(OPTIONS, &[TRANSPARENT, 0]);
        let place = noted(&socket("::", 80), &options);
        assert!(
            place
                .left_out
                .first()
                .is_some_and(|why| why.contains("transparent"))
        );
        let others = super::super::netlink::attribute(OPTIONS, &[!TRANSPARENT, 0xff]);
        assert!(noted(&socket("::", 80), &others).left_out.is_empty());
    }

    /// `struct tcp_md5sig` for one peer: its address, and a key of four bytes.
    fn sign(listener: &TcpListener) {
        const SIZE: usize = 216;
        let mut about = [0_u8; SIZE];
        let family = libc::AF_INET as u16;
        about[..2].copy_from_slice(&family.to_ne_bytes());
        about[4..8].copy_from_slice(&[192, 0, 2, 1]);
        about[130..132].copy_from_slice(&4_u16.to_ne_bytes());
        about[136..140].copy_from_slice(b"keys");
        // SAFETY: the kernel reads so many bytes, which outlive the call.
        let result = unsafe {
            libc::setsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_MD5SIG,
                about.as_ptr().cast(),
                SIZE as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn sockets_that_sign_are_found() {
        let now = crate::clock::monotonic();
        let plain = TcpListener::bind("0.0.0.0:0").expect("a listener");
        let signing = TcpListener::bind("0.0.0.0:0").expect("a listener");
        sign(&signing);
        let found = look(&mut Watch::default(), now);
        let signs = |listener: &TcpListener| {
            let port = listener.local_addr().expect("bound").port();
            found.tcp[&port].signs
        };
        assert!(signs(&signing) && !signs(&plain));
    }

    #[test]
    fn what_is_mapped_from_loopback_is_loopback() {
        assert!(!noted(&socket("::ffff:127.0.0.1", 80), &[]).is_open);
        assert!(noted(&socket("::ffff:192.0.2.1", 80), &[]).is_open);
    }

    #[test]
    fn ranges_of_ports_as_the_kernel_writes_them() {
        assert_eq!(parse_range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(parse_range("60999 32768"), None);
        assert_eq!(parse_range(""), None);
    }
}
