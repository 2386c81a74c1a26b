//! Floods of which no two packets are alike: their frames are made beforehand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    super::{
        frame::{self, Ip, Part, protocol},
        sandbox::hosts,
    },
    reflector::Reflector,
    template::{CLOSED, GAME, HTTP, PARTNER_V4, PARTNER_V6, SYN},
    workshop::Workshop,
};

/// How many frames, datagrams or bots an album has, unless there is a reason for another number.
const MANY: u32 = 4096;

fn frames(count: u32, mut make: impl FnMut(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..count).map(&mut make).collect()
}

/// Answers of resolvers, too large for one packet: the first fragment comes from port 53, the
/// others have no ports.
pub fn amplified_fragments(shop: &mut Workshop) -> Vec<Vec<u8>> {
    let datagram = frame::udp(
        53,
        CLOSED,
        &[Reflector::Dns.answer(), vec![b'v'; 2760]].concat(),
    );
    let mut album = Vec::new();
    for id in 0..MANY / 2 {
        let source = shop.one_of(MANY);
        let mut ip = Ip::new(source, shop.server(), protocol::UDP);
        let mut bytes = datagram.clone();
        bytes[2..4].copy_from_slice(&shop.port().to_be_bytes());
        // A multiple of 8, and what fits into 1,500 bytes with IPv6's headers.
        for (index, piece) in bytes.chunks(1448).enumerate() {
            let offset = (index * 1448) as u16;
            let more = usize::from(offset) + piece.len() < bytes.len();
            ip.part = Some(Part { id, offset, more });
            album.push(shop.frame(&ip, piece));
        }
    }
    album
}

/// "Port unreachable" from 16 routers, about packets that the server never sent (BlackNurse).
pub fn unreachable(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |_| {
        let quoted = {
            let (from, to) = (shop.port(), shop.port());
            let ip = Ip::new(shop.server(), shop.anybody(), protocol::UDP);
            shop.frame(&ip, &frame::udp(from, to, &[]))[frame::ETHERNET..].to_vec()
        };
        let (kind, code) = if shop.v6 { (1, 4) } else { (3, 3) };
        let ip = Ip::new(shop.one_of(16), shop.server(), shop.icmp());
        shop.frame(&ip, &frame::icmp(kind, code, [0; 4], &quoted))
    })
}

/// Datagrams of which one fragment after the other comes, and never the last.
pub fn endless_fragments(shop: &mut Workshop) -> Vec<Vec<u8>> {
    let mut album = Vec::new();
    for id in 0..MANY / 8 {
        let mut ip = shop.ip(protocol::UDP);
        let first = frame::udp(shop.port(), CLOSED, &[0; 504]);
        for index in 0..8 {
            let part = Part {
                id,
                offset: index * 512,
                more: true,
            };
            ip.part = Some(part);
            let piece = if index == 0 { &first } else { &vec![0; 512] };
            album.push(shop.frame(&ip, piece));
        }
    }
    album
}

/// Sources that no packet from a wire can have.
pub fn martians(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |_| {
        let (protocol, payload) = shop.transport();
        let low = shop.random.word();
        let source: IpAddr = if shop.v6 {
            let mapped = Ipv4Addr::from(low).to_ipv6_mapped();
            let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, (low >> 16) as u16, low as u16);
            [Ipv6Addr::LOCALHOST, mapped, multicast][low as usize % 3].into()
        } else {
            // The first byte of 127/8, 0/8, multicast, reserved.
            let first = [127, 0, 224 + (low >> 24) % 16, 240 + (low >> 24) % 16][low as usize % 4];
            Ipv4Addr::from(first << 24 | low & 0x00ff_ffff).into()
        };
        shop.frame(&Ip::new(source, shop.server(), protocol), &payload)
    })
}

/// Ten thousand machines with addresses of their own, each with its port, at a game.
pub fn bots(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(10_000, |number| {
        let source = shop.somebody(number.wrapping_mul(0x9e37_79b1));
        let payload = frame::udp(shop.port(), GAME, &[0x5a; 32]);
        shop.frame(&Ip::new(source, shop.server(), protocol::UDP), &payload)
    })
}

/// IPv4 with options of all sorts, some of them nonsense.
pub fn ip_options(shop: &mut Workshop) -> Vec<Vec<u8>> {
    const KINDS: [&[u8]; 8] = [
        // No operation, end of list.
        &[1, 1, 1, 0],
        // Router alert.
        &[148, 4, 0, 0],
        // Record route, room for nine.
        &[7, 39, 4],
        // Time stamps.
        &[68, 36, 5, 0],
        // Loose and strict source route, one hop.
        &[131, 7, 4, 203, 0, 113, 10, 0],
        &[137, 7, 4, 203, 0, 113, 10, 0],
        // Stream identifier.
        &[136, 4, 0, 1],
        // A length of zero.
        &[200, 0, 0, 0],
    ];
    frames(MANY, |_| {
        let (protocol, payload) = shop.transport();
        let mut ip = shop.ip(protocol);
        let option = shop.random.pick(&KINDS).unwrap_or_default();
        ip.options = option.to_vec();
        let length = option.get(1).copied().map_or(4, usize::from);
        ip.options
            .resize(length.max(option.len()).next_multiple_of(4).min(40), 0);
        shop.frame(&ip, &payload)
    })
}

/// IPv6 extension headers in all orders, up to eight.
pub fn extension_headers(shop: &mut Workshop) -> Vec<Vec<u8>> {
    // Each as its bytes behind the first: a length in units, and padding or nothing.
    let padding = |units: u8| {
        let rest = usize::from(units) * 8 + 4;
        [vec![units, 1, rest as u8], vec![0; rest]].concat()
    };
    let kinds = [
        (protocol::HOP_BY_HOP, padding(0)),
        (protocol::DESTINATION, padding(1)),
        // Type 0 (RFC 5095 forbids it) and a segment routing header, nothing left.
        (protocol::ROUTING, [vec![2, 0, 0], vec![0; 20]].concat()),
        (protocol::ROUTING, [vec![2, 4, 0], vec![0; 20]].concat()),
        (protocol::AH, [vec![4], vec![0; 22]].concat()),
        (protocol::MOBILITY, padding(0)),
    ];
    frames(MANY, |_| {
        let (protocol, payload) = shop.transport();
        let mut ip = shop.ip(protocol);
        for _ in 0..=shop.random.below(8) {
            let index = shop.random.below(kinds.len() as u32) as usize;
            ip.extensions.push(kinds[index].clone());
        }
        shop.frame(&ip, &payload)
    })
}

/// Whole packets that say they are fragments (RFC 6946).
pub fn atomic_fragments(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |id| {
        let (protocol, payload) = shop.transport();
        let mut ip = shop.ip(protocol);
        ip.part = Some(Part {
            id,
            offset: 0,
            more: false,
        });
        shop.frame(&ip, &payload)
    })
}

/// Advertisements, solicitations and redirects that crossed a router.
pub fn off_link_discovery(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |_| {
        let (kind, length) =
            [(133, 0), (134, 8), (135, 16), (136, 16), (137, 32)][shop.random.below(5) as usize];
        let mut ip = shop.ip(protocol::ICMPV6);
        if shop.random.below(2) == 0 {
            let low = shop.random.word() as u16;
            ip.source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, low).into();
        }
        shop.frame(&ip, &frame::icmp(kind, 0, [64, 0, 7, 8], &vec![0; length]))
    })
}

/// The shortest packets there are, without Ethernet's padding, and some that are cut short.
pub fn minimal(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |_| {
        let from = shop.port();
        let (protocol, payload) = match shop.random.below(4) {
            0 => (protocol::TCP, frame::tcp(from, HTTP, SYN, &[])),
            1 => (protocol::TCP, frame::tcp(from, HTTP, 0x10, &[])),
            _ => (protocol::UDP, frame::udp(from, CLOSED, &[])),
        };
        let ip = shop.ip(protocol);
        let mut frame = shop.frame(&ip, &payload);
        if shop.random.below(4) == 0 {
            let rest = frame.len() - frame::ETHERNET;
            frame.truncate(frame::ETHERNET + shop.random.below(rest as u32) as usize);
        }
        frame
    })
}

/// Headers whose lengths are not those of the packet.
pub fn lying_lengths(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(MANY, |_| {
        let from = shop.port();
        let lie = shop.random.below(5);
        let is_udp = lie == 3;
        let (protocol, payload) = if is_udp {
            (protocol::UDP, frame::udp(from, CLOSED, &[0; 22]))
        } else {
            (protocol::TCP, frame::tcp(from, HTTP, SYN, &[]))
        };
        let ip = shop.ip(protocol);
        let mut bytes = shop.frame(&ip, &payload);
        let ip_at = frame::ETHERNET;
        let (length_at, transport) = if shop.v6 {
            (ip_at + 4, ip_at + 40)
        } else {
            (ip_at + 2, ip_at + 20)
        };
        let (at, value): (usize, &[u8]) = match lie {
            // IP ends behind the frame, or before its own header does.
            0 => (length_at, &[0x40, 0x00]),
            1 if shop.v6 => (length_at, &[0x00, 0x07]),
            1 => (length_at, &[0x00, 0x13]),
            // TCP's header ends behind the packet, or before it is whole.
            2 => (transport + 12, &[0xf0]),
            // UDP ends behind IP.
            3 => (transport + 4, &[0x20, 0x00]),
            _ => (transport + 12, &[0x40]),
        };
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    })
}

/// All that gets an address banned, in the name of a partner.
pub fn partner(shop: &mut Workshop) -> Vec<Vec<u8>> {
    let source: IpAddr = if shop.v6 {
        PARTNER_V6.into()
    } else {
        PARTNER_V4.into()
    };
    frames(MANY, |_| {
        let (from, to) = (shop.port(), shop.port());
        let (protocol, payload) = match shop.random.below(128) {
            // So few that answers to one prefix stay below their ceiling, above which nobody of that
            // prefix gets one.
            0 => (protocol::TCP, frame::tcp(from, HTTP, SYN, &[])),
            1..32 => (protocol::TCP, frame::tcp(from, HTTP, 0x10, &[])),
            32..64 => (protocol::TCP, frame::tcp(from, to, SYN, &[])),
            64..96 => (protocol::UDP, frame::udp(from, to, &[0; 22])),
            _ => {
                let kind = if shop.v6 { 128 } else { 8 };
                (shop.icmp(), frame::icmp(kind, 0, [0, 7, 0, 1], &[0; 56]))
            }
        };
        let mut frame = shop.frame(&Ip::new(source, shop.server(), protocol), &payload);
        if protocol == protocol::TCP {
            // Sequence numbers of a stranger.
            let at = frame.len() - payload.len() + 4;
            frame[at..at + 4].copy_from_slice(&shop.random.word().to_be_bytes());
            frame::mend(&mut frame);
        }
        frame
    })
}

/// Frames of 9,000 bytes to a closed port.
pub fn jumbo(shop: &mut Workshop) -> Vec<Vec<u8>> {
    frames(256, |_| {
        let ip = shop.ip(protocol::UDP);
        let payload = frame::udp(shop.port(), CLOSED, &vec![0; 8900]);
        ip.frame([hosts::GATEWAY.mac, hosts::SERVER.mac], &payload)
    })
}
