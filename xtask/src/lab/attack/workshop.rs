//! Where frames of an album are made: addresses, ports and packets at random, but the same in
//! each run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{
    frame::{self, Ip, protocol},
    random::Random,
    sandbox::hosts,
};
use super::template::{CLOSED, HTTP, SYN};

/// Makes frames of one family to the sandbox's server.
#[derive(Debug)]
pub struct Workshop {
    /// Whether they are IPv6.
    pub v6: bool,
    /// Where choices come from.
    pub random: Random,
}

impl Workshop {
    /// A workshop for one family.
    pub fn new(v6: bool) -> Self {
        Self {
            v6,
            random: Random::new(0x0a1b_4d5e),
        }
    }

    /// The server's address.
    pub fn server(&self) -> IpAddr {
        if self.v6 {
            hosts::SERVER.v6.into()
        } else {
            hosts::SERVER.v4.into()
        }
    }

    /// Anybody's address, as [`Sources::Random`](super::Sources::Random) has them.
    pub fn anybody(&mut self) -> IpAddr {
        let number = self.random.word();
        self.somebody(number)
    }

    /// The address of somebody with this number.
    pub fn somebody(&self, number: u32) -> IpAddr {
        if self.v6 {
            let (high, low) = ((number >> 16) as u16, number as u16);
            Ipv6Addr::new(0x3fff, 0, high, low, 0, 0, 0, 1).into()
        } else {
            Ipv4Addr::from(0x8000_0000 | number & 0x3fff_ffff).into()
        }
    }

    /// One of so many addresses, the same ones each time.
    pub fn one_of(&mut self, count: u32) -> IpAddr {
        let number = self.random.below(count).wrapping_mul(0x9e37_79b1);
        self.somebody(number)
    }

    /// A port of a client, or one where nobody listens.
    pub fn port(&mut self) -> u16 {
        0x8000 | self.random.word() as u16
    }

    /// A packet from anybody to the server.
    pub fn ip(&mut self, protocol: u8) -> Ip {
        let source = self.anybody();
        Ip::new(source, self.server(), protocol)
    }

    /// A SYN to the web server, an ACK that belongs to nobody, or UDP to a closed port.
    pub fn transport(&mut self) -> (u8, Vec<u8>) {
        let from = self.port();
        match self.random.below(3) {
            0 => (protocol::TCP, frame::tcp(from, HTTP, SYN, &[])),
            1 => (protocol::TCP, frame::tcp(from, HTTP, 0x10, &[])),
            _ => (protocol::UDP, frame::udp(from, CLOSED, &[0; 22])),
        }
    }

    /// The whole frame.
    pub fn frame(&self, ip: &Ip, payload: &[u8]) -> Vec<u8> {
        ip.frame([hosts::GATEWAY.mac, hosts::SERVER.mac], payload)
    }

    /// The number of ICMP in this family.
    pub fn icmp(&self) -> u8 {
        if self.v6 {
            protocol::ICMPV6
        } else {
            protocol::ICMP
        }
    }
}
