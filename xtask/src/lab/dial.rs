//! Sockets of people who have an address of their own among many.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    time::Duration,
};

use anyhow::Result;
use nix::sys::{
    socket::{
        AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
        listen, setsockopt, socket, sockopt,
    },
    time::TimeVal,
};

/// A socket that listens on an address, and on that family alone.
pub fn listener(address: SocketAddr) -> Result<TcpListener> {
    let socket = fresh(SockType::Stream, address, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(1024)?)?;
    Ok(TcpListener::from(socket))
}

/// A UDP socket that listens on an address, and on that family alone; it does not block.
pub fn udp_listener(address: SocketAddr) -> Result<UdpSocket> {
    let socket = fresh(SockType::Datagram, address, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    let socket = UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Waits until one of the sockets can be read or accepted from.
pub fn wait_for_input(sockets: &[RawFd], patience: Duration) -> bool {
    let mut polls: Vec<libc::pollfd> = sockets
        .iter()
        .map(|fd| libc::pollfd {
            fd: *fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let count = polls.len() as libc::nfds_t;
    // SAFETY: the pointer and the count describe `polls`, which outlives the call.
    unsafe { libc::poll(polls.as_mut_ptr(), count, patience.as_millis() as i32) > 0 }
}

/// Connects from an address; that, and every read and write behind it, takes at most `patience`.
pub fn tcp(own: IpAddr, to: SocketAddr, patience: Duration) -> Result<OwnedFd> {
    dial(SockType::Stream, None, own, to, patience)
}

/// A UDP socket of an address that hears from `to` alone, and waits for at most `patience`.
pub fn udp(own: IpAddr, to: SocketAddr, patience: Duration) -> Result<OwnedFd> {
    dial(SockType::Datagram, None, own, to, patience)
}

/// A socket for echo requests of an address (icmp(7)), which gets the replies to its own alone.
pub fn ping(own: IpAddr, to: SocketAddr, patience: Duration) -> Result<OwnedFd> {
    let protocol = match to {
        SocketAddr::V4(_) => SockProtocol::Icmp,
        SocketAddr::V6(_) => SockProtocol::IcmpV6,
    };
    dial(SockType::Datagram, Some(protocol), own, to, patience)
}

fn dial(
    kind: SockType,
    protocol: Option<SockProtocol>,
    own: IpAddr,
    to: SocketAddr,
    patience: Duration,
) -> Result<OwnedFd> {
    let socket = fresh(kind, to, protocol)?;
    let patience = TimeVal::new(
        patience.as_secs() as i64,
        i64::from(patience.subsec_micros()),
    );
    // Linux bounds connect(2) by the send timeout, too (socket(7)).
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
    let own = SockaddrStorage::from(SocketAddr::new(own, 0));
    bind(socket.as_raw_fd(), &own)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket)
}

fn fresh(kind: SockType, address: SocketAddr, protocol: Option<SockProtocol>) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?)
}
