//! Puts a captured packet onto the sandbox's wire.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use clap::Args;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    super::{
        frame::{Change, Headers, Slice, ip_at, mend, mend_header, protocol, sum},
        sandbox::hosts,
    },
    capture::{Link, Packet},
};

/// The longest frame that the sandbox's wire takes: 1,500 bytes behind Ethernet and one VLAN tag.
pub const LONGEST: usize = 1518;

/// Ports that every segment and datagram has instead of its own; later fragments have none.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The port that every segment and datagram comes from, instead of its own: with a reflector's
    /// flood, as if it came from servers that no table knows
    #[arg(long = "from-port", value_name = "PORT")]
    pub from: Option<u16>,
    /// The port that every segment and datagram goes to, instead of its own; 80 and 443 are the web
    /// server's, 53 is DNS and 7777 a game
    #[arg(long = "to-port", value_name = "PORT")]
    pub to: Option<u16>,
}

/// Why a packet is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// ARP, spanning tree, or cut off before an address.
    NotIp,
    /// Longer than the wire takes: several packets that a card or a driver put together.
    TooLong,
}

impl LeftOut {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotIp => "not IP",
            Self::TooLong => "longer than 1,500 bytes, as a driver puts packets together",
        }
    }
}

/// The frame: to the server, from where it came unless that is in the sandbox, VLAN tags as they
/// were, checksums right, and filled up with zeros where the capture cut it off.
pub fn frame(packet: &Packet, ports: Ports) -> Result<Vec<u8>, LeftOut> {
    let mut frame = [hosts::SERVER.mac, hosts::GATEWAY.mac].concat();
    let (protocol, rest): ([u8; 2], usize) = match packet.link {
        Link::Ethernet => (two(&packet.bytes, 12)?, 14),
        Link::Raw => match packet.bytes.first().map(|byte| byte >> 4) {
            Some(4) => ([0x08, 0x00], 0),
            Some(6) => ([0x86, 0xdd], 0),
            Some(_) | None => return Err(LeftOut::NotIp),
        },
        Link::Cooked => (two(&packet.bytes, 14)?, 16),
        Link::Cooked2 => (two(&packet.bytes, 0)?, 20),
    };
    frame.extend(protocol);
    frame.extend(packet.bytes.get(rest..).ok_or(LeftOut::NotIp)?);
    let length = frame.len() + packet.length - packet.bytes.len();
    if length > LONGEST {
        return Err(LeftOut::TooLong);
    }
    frame.resize(length, 0);
    let (is_v4, ip) = ip_at(&frame).ok_or(LeftOut::NotIp)?;
    readdress(&mut frame, is_v4, ip, ports);
    Ok(frame)
}

fn readdress(frame: &mut [u8], is_v4: bool, ip: usize, ports: Ports) {
    let place = if is_v4 {
        ip + 12..ip + 20
    } else {
        ip + 8..ip + 40
    };
    let headers = Headers::of(frame);
    let (from, to) = headers.as_ref().map_or((0..0, 0..0), port_places);
    let covered = |frame: &[u8]| {
        let places = [&place, &from, &to];
        places.map(|place| sum(&frame[place.clone()])).iter().sum()
    };
    let before = covered(frame);
    let addresses = &mut frame[place.clone()];
    let (source, destination) = addresses.split_at_mut(addresses.len() / 2);
    if is_v4 {
        destination.copy_from_slice(&hosts::SERVER.v4.octets());
        let from = Ipv4Addr::from([source[0], source[1], source[2], source[3]]);
        if is_taken(from.into()) {
            source[..2].copy_from_slice(&STANDING_IN_V4);
        }
    } else {
        destination.copy_from_slice(&hosts::SERVER.v6.octets());
        let from: [u8; 16] = std::array::from_fn(|index| source[index]);
        if is_taken(Ipv6Addr::from(from).into()) {
            source[..4].copy_from_slice(&STANDING_IN_V6);
        }
    }
    for (place, port) in [(&from, ports.from), (&to, ports.to)] {
        if let Some(port) = port.filter(|_| !place.is_empty()) {
            frame[place.clone()].copy_from_slice(&port.to_be_bytes());
        }
    }
    let after = covered(frame);
    match headers {
        Some(headers) if headers.slice == Slice::First => {
            // The rest of what the sum covers is in other fragments.
            mend_header(frame);
            carry(frame, &headers, Change { before, after });
        }
        // What is whole is summed anew, for a card may have left that undone when it was captured.
        Some(_) | None => mend(frame),
    }
}

/// Where the ports lie, source first; nowhere if there are none, or they were cut off.
fn port_places(headers: &Headers) -> (Range<usize>, Range<usize>) {
    let has_ports = [protocol::TCP, protocol::UDP].contains(&headers.protocol);
    let at = headers.transport;
    if !has_ports || headers.slice == Slice::Later || at + 4 > headers.end {
        return (0..0, 0..0);
    }
    (at..at + 2, at + 2..at + 4)
}

fn carry(frame: &mut [u8], headers: &Headers, change: Change) {
    let Some(at) = headers
        .transport_check()
        .filter(|_| headers.has_pseudo_header())
    else {
        return;
    };
    let old = [frame[at], frame[at + 1]];
    let is_udp = headers.protocol == protocol::UDP;
    // UDP without a checksum stays without.
    if is_udp && old == [0, 0] {
        return;
    }
    let new = match change.apply(old) {
        [0, 0] if is_udp => [0xff, 0xff],
        new => new,
    };
    frame[at..at + 2].copy_from_slice(&new);
}

/// What begins the addresses of those that stand in for sources that the sandbox has itself.
const STANDING_IN_V4: [u8; 2] = [198, 18];
const STANDING_IN_V6: [u8; 4] = [0x3f, 0xff, 0x0f, 0xff];

/// Whether the sandbox has this address itself.
fn is_taken(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr, length| Ipv4Net::new(address, length).map(IpNet::from);
    let v6 = |address: Ipv6Addr, length| Ipv6Net::new(address, length).map(IpNet::from);
    let nets = [
        v4(hosts::SERVER.v4, 24),
        v4(hosts::CLIENT.v4, 24),
        v4(hosts::ATTACKER.v4, 24),
        v4(hosts::CROWD, 12),
        v4(hosts::BOTS, 16),
        v4(hosts::FAR_V4, 16),
        v4(hosts::ROUTED_V4, 24),
        v6(hosts::SERVER.v6, 32),
    ];
    nets.into_iter().flatten().any(|net| net.contains(&address))
}

fn two(bytes: &[u8], at: usize) -> Result<[u8; 2], LeftOut> {
    let found = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    found.ok_or(LeftOut::NotIp)
}
