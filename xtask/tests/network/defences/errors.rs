//! Errors of routers, which path MTU discovery and traceroute live on, in a flood of forged ones.

use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use etherparse::{
    Icmpv4Type, Icmpv6Type, PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice, icmpv4,
    icmpv6,
};
use xtask::lab::{
    packet_socket::PacketSocket,
    sandbox::{Ns, hosts},
};

use super::{FAMILIES, PORT, as_client, call, defended, has_cookies};
use crate::common::{PATIENCE, Protected, wait_until};

const ROUTERS: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 200),
    Ipv6Addr::new(0x2001, 0xdb8, 0xa7, 0, 0, 0, 0, 0x200),
);
const MTU: u16 = 1_280;

/// What a router has to say.
#[derive(Clone, Copy)]
enum Error {
    TooBig,
    TimeExceeded,
    PortUnreachable,
}

/// An error that quotes a packet, as a frame to the server.
fn error(error: Error, quoted: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(hosts::GATEWAY.mac, hosts::SERVER.mac);
    let mut frame = Vec::new();
    if quoted[0] >> 4 == 4 {
        let kind = match error {
            Error::TooBig => Icmpv4Type::DestinationUnreachable(
                icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: MTU },
            ),
            Error::TimeExceeded => {
                Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit)
            }
            Error::PortUnreachable => {
                Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port)
            }
        };
        let ip = ethernet.ipv4(ROUTERS.0.octets(), hosts::SERVER.v4.octets(), 60);
        ip.icmpv4(kind).write(&mut frame, quoted).unwrap();
    } else {
        let kind = match error {
            Error::TooBig => Icmpv6Type::PacketTooBig { mtu: MTU.into() },
            Error::TimeExceeded => {
                Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded)
            }
            Error::PortUnreachable => {
                Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port)
            }
        };
        let ip = ethernet.ipv6(ROUTERS.1.octets(), hosts::SERVER.v6.octets(), 60);
        ip.icmpv6(kind).write(&mut frame, quoted).unwrap();
    }
    frame
}

/// The beginning of a packet of the server's.
fn sent(from: SocketAddr, to: SocketAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 1),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 1),
        _ => panic!("addresses of two families"),
    }
}

fn datagram(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = sent(from, to).udp(from.port(), to.port());
    step.write(&mut packet, b"probe").unwrap();
    packet
}

fn segment(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    let step = sent(from, to).tcp(from.port(), to.port(), sequence, 1);
    step.ack(1).write(&mut packet, &[]).unwrap();
    packet
}

/// Floods the server with errors of every kind about flows that it never had.
fn flood(wire: &PacketSocket) {
    for port in 1..4_000 {
        let (server, nobody) = (
            IpAddr::from(hosts::SERVER.v4),
            IpAddr::from(Ipv4Addr::new(192, 0, 2, 201)),
        );
        let quoted = segment((server, PORT).into(), (nobody, port).into(), 1);
        for kind in [Error::TooBig, Error::PortUnreachable] {
            // The interface's queue may be full for a moment.
            while wire.send(&error(kind, &quoted)).is_err() {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// The sequence number behind the last segment that the server sends to this address.
fn next_sequence(wire: &PacketSocket, to: SocketAddr) -> u32 {
    let mut next = None;
    while let Some(frame) = wire.receive(Duration::from_millis(500)).unwrap() {
        let Ok(packet) = SlicedPacket::from_ethernet(&frame) else {
            continue;
        };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
            continue;
        };
        if (tcp.source_port(), tcp.destination_port()) == (PORT, to.port()) {
            next = Some(
                tcp.sequence_number()
                    .wrapping_add(tcp.payload().len() as u32),
            );
        }
    }
    next.expect("the server sent something")
}

/// The MTU of the path of a connection, as the kernel has it.
fn path_mtu(stream: &TcpStream, is_v4: bool) -> libc::c_int {
    let (level, option) = if is_v4 {
        (libc::IPPROTO_IP, libc::IP_MTU)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU)
    };
    let mut mtu: libc::c_int = 0;
    let mut length = size_of_val(&mtu) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to an integer of that size.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            level,
            option,
            (&raw mut mtu).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    mtu
}

#[test]
fn a_path_mtu_is_learned_in_a_flood_of_forged_errors() {
    let p = defended();
    for (to, from) in FAMILIES {
        let bind = || std::net::TcpListener::bind((to, PORT)).unwrap();
        let listener = p.sandbox.in_ns(Ns::Server, bind).unwrap();
        wait_until("cookies defend the port", || has_cookies(&p, PORT));
        let wire = p.sandbox.wire_socket().unwrap();
        let mut client = as_client(&p, || call((from, 0).into(), (to, PORT).into())).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        io::Write::write_all(&mut server, b"hello").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        let sequence = next_sequence(&wire, peer);
        assert!(path_mtu(&server, to.is_ipv4()) > i32::from(MTU));

        let before = p.count("limit_icmp_errors");
        flood(&wire);
        let quoted = segment((to, PORT).into(), peer, sequence);
        wire.send(&error(Error::TooBig, &quoted)).unwrap();
        wait_until("the path's MTU is known", || {
            path_mtu(&server, to.is_ipv4()) == i32::from(MTU)
        });
        assert!(p.count("limit_icmp_errors") > before, "a flood it was");
    }
}

/// A UDP socket of the server's own.
fn own_socket(p: &Protected, address: IpAddr) -> UdpSocket {
    let bind = || UdpSocket::bind((address, 0)).unwrap();
    let socket = p.sandbox.in_ns(Ns::Server, bind).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn a_traceroute_of_this_host_hears_its_routers() {
    let p = defended();
    let wire = p.sandbox.wire_socket().unwrap();
    for (own, other) in FAMILIES {
        let to = SocketAddr::new(other, 33_434);
        let socket = own_socket(&p, own);
        receive_errors(&socket, own.is_ipv4());
        let from = socket.local_addr().unwrap();
        socket.send_to(b"probe", to).unwrap();
        wire.send(&error(Error::TimeExceeded, &datagram(from, to)))
            .unwrap();
        let heard = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(heard.raw_os_error(), Some(libc::EHOSTUNREACH), "{heard}");
    }
}

#[test]
fn an_error_of_a_connected_socket_is_heard_in_a_flood_of_forged_ones() {
    let p = defended();
    let wire = p.sandbox.wire_socket().unwrap();
    for (own, other) in FAMILIES {
        let to = SocketAddr::new(other, 33_434);
        let socket = own_socket(&p, own);
        let connect = || socket.connect(to).unwrap();
        p.sandbox.in_ns(Ns::Server, connect).unwrap();
        let from = socket.local_addr().unwrap();
        socket.send(b"probe").unwrap();
        flood(&wire);
        wire.send(&error(Error::PortUnreachable, &datagram(from, to)))
            .unwrap();
        let heard = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(heard.kind(), io::ErrorKind::ConnectionRefused, "{heard}");
    }
}

/// Has a socket that is not connected hear of errors (ip(7), `IP_RECVERR`).
fn receive_errors(socket: &UdpSocket, is_v4: bool) {
    let (level, option) = if is_v4 {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: the option is an integer that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
