//! The rows of the catalogue.

use std::time::Duration;

use super::{
    super::frame::{Tags, protocol},
    Attack, Carrier, Packet, Payload, Reflector, Sources, Template, Traffic, Varies, album,
    template::{ACK, CLOSED, DNS, FROM, GAME, HTTP, SYN},
};

/// An attack before it is said how it is carried.
#[derive(Debug)]
pub struct Base {
    /// Its name, without a prefix.
    pub name: &'static str,
    row: u8,
    families: Families,
    about: &'static str,
    traffic: Traffic,
}

/// In which families of addresses an attack makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
}

/// IPv6 of each of the others.
const V6_ROW: u8 = 20;
/// The same inside VLAN tags.
pub const TAGGED_ROW: u8 = 21;

impl Base {
    /// The attack over one family, if there is one.
    pub fn attack(&self, v6: bool) -> Option<Attack> {
        let (name, row) = match (self.families, v6) {
            (Families::V4, true) | (Families::V6, false) => return None,
            (Families::V4 | Families::Both, false) => (self.name.to_owned(), self.row),
            (Families::V6, true) => (self.name.to_owned(), V6_ROW),
            (Families::Both, true) => (format!("v6-{}", self.name), V6_ROW),
        };
        Some(Attack {
            name,
            row,
            base: self.name,
            base_row: self.row,
            about: self.about,
            traffic: self.traffic,
            carrier: Carrier {
                v6,
                tags: Tags::None,
            },
        })
    }
}

/// Names that attacks also go by.
pub const ALIASES: [(&str, &str); 5] = [
    ("syn6-random", "v6-syn-random"),
    ("syn-16", "syn-few"),
    ("ack-random", "ack"),
    ("udp-random", "udp-closed"),
    ("udp6-random", "v6-udp-closed"),
];

/// What of all that could be tagged is part of the catalogue.
pub const TAGGED: [&str; 9] = [
    "vlan-syn-random",
    "vlan-ack",
    "vlan-udp-closed",
    "vlan-v6-syn-random",
    "vlan-ip-options",
    "qinq-syn-random",
    "qinq-udp-closed",
    "qinq-v6-ack",
    "qinq-amp-dns",
];

const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const URG: u8 = 0x20;

/// Servers that answer to whom they have not heard: 4,096 of them.
const SERVERS: Sources = Sources::Scattered { bits: 12 };
/// What differs between the segments of a flood.
const SEGMENT: &[Varies] = &[
    Varies::SourcePort,
    Varies::Sequence,
    Varies::Acknowledgement,
];
const SYNS: &[Varies] = &[Varies::SourcePort, Varies::Sequence];
/// Who forges does not know the hop limit of whom he forges.
const IN_HIS_NAME: &[Varies] = &[Varies::SourcePort, Varies::Sequence, Varies::HopLimit];

const fn base(
    row: u8,
    name: &'static str,
    families: Families,
    about: &'static str,
    traffic: Traffic,
) -> Base {
    Base {
        name,
        row,
        families,
        about,
        traffic,
    }
}

const fn template(packet: Packet, sources: Sources, varies: &'static [Varies]) -> Traffic {
    Traffic::Template(Template {
        packet,
        sources,
        varies,
    })
}

const fn syn(sources: Sources) -> Traffic {
    template(tcp(SYN, HTTP), sources, SYNS)
}

/// Segments from anybody to the web server.
const fn segments(flags: u8) -> Traffic {
    template(tcp(flags, HTTP), Sources::Random, SEGMENT)
}

const fn tcp(flags: u8, to: u16) -> Packet {
    Packet::Tcp {
        flags,
        from: FROM,
        to,
        payload: 0,
    }
}

const fn udp(to: u16, sources: Sources, varies: &'static [Varies]) -> Traffic {
    let packet = Packet::Udp {
        from: FROM,
        to,
        payload: Payload::Zeros(22),
    };
    template(packet, sources, varies)
}

const fn answers(reflector: Reflector) -> Packet {
    Packet::Udp {
        from: reflector.port(),
        to: CLOSED,
        payload: Payload::Answer(reflector),
    }
}

const fn amplified(name: &'static str, families: Families, reflector: Reflector) -> Base {
    let about = "answers of servers that were asked in the server's name";
    let traffic = template(answers(reflector), SERVERS, &[Varies::DestinationPort]);
    base(10, name, families, about, traffic)
}

const fn fragment(protocol: u8, offset: u16, more: bool, payload: usize) -> Traffic {
    let packet = Packet::Fragment {
        protocol,
        offset,
        more,
        payload,
    };
    template(packet, Sources::Random, &[Varies::Identification])
}

const fn other(
    name: &'static str,
    families: Families,
    number: u8,
    varies: &'static [Varies],
) -> Base {
    let packet = Packet::Other {
        protocol: number,
        payload: 64,
    };
    let about = "an IP protocol that nobody uses, each packet from another forged address";
    let traffic = template(packet, Sources::Random, varies);
    base(15, name, families, about, traffic)
}

const fn echo(sources: Sources) -> Traffic {
    template(Packet::Echo { payload: 56 }, sources, &[Varies::Sequence])
}

use Families::{Both, V4, V6};

/// Every attack, untagged.
#[rustfmt::skip]
pub const BASES: &[Base] = &[
    base(1, "syn-random", Both, "SYNs to the web server's port, each from another forged address", syn(Sources::Random)),
    base(2, "syn-one", Both, "SYNs to the web server's port from one address", syn(Sources::One)),
    base(2, "syn-few", Both, "SYNs to the web server's port from a botnet of 16 addresses", syn(Sources::Many { bits: 4 })),
    base(3, "syn-closed", Both, "SYNs to ports where nobody listens, each from another forged address",
        template(tcp(SYN, CLOSED), Sources::Random, &[Varies::SourcePort, Varies::DestinationPort, Varies::Sequence])),
    base(4, "syn-ack-reflected", Both, "SYN-ACKs of real servers that were called in the server's name",
        template(Packet::Tcp { flags: SYN | ACK, from: 443, to: CLOSED, payload: 0 }, SERVERS,
            &[Varies::DestinationPort, Varies::Sequence, Varies::Acknowledgement])),
    base(5, "ack", Both, "ACKs that belong to no connection, each from another forged address", segments(ACK)),
    base(5, "psh-ack", Both, "data that belongs to no connection, each from another forged address",
        template(Packet::Tcp { flags: PSH | ACK, from: FROM, to: HTTP, payload: 512 }, Sources::Random, SEGMENT)),
    base(6, "rst", Both, "RSTs that belong to no connection", segments(RST)),
    base(6, "fin", Both, "FINs that belong to no connection", segments(FIN | ACK)),
    base(6, "xmas", Both, "segments with FIN, PSH and URG", segments(FIN | PSH | URG)),
    base(6, "null", Both, "segments without any flag", segments(0)),
    base(6, "syn-fin", Both, "segments with SYN and FIN", segments(SYN | FIN)),
    base(7, "connections", V4, "connections that 16 real machines open and drop again", Traffic::Connections),
    base(8, "udp-closed", Both, "UDP to random ports, each from another forged address",
        udp(CLOSED, Sources::Random, &[Varies::SourcePort, Varies::DestinationPort])),
    base(8, "udp-one", Both, "UDP to a closed port from one address", udp(CLOSED, Sources::One, &[Varies::SourcePort])),
    base(8, "udp-64k", Both, "UDP to a closed port from a botnet of 65,536 addresses",
        udp(CLOSED, Sources::Many { bits: 16 }, &[Varies::SourcePort])),
    base(9, "udp-open", Both, "UDP to a game's port, each from another forged address",
        udp(GAME, Sources::Random, &[Varies::SourcePort])),
    amplified("amp-qotd", V4, Reflector::Qotd),
    amplified("amp-chargen", V4, Reflector::Chargen),
    amplified("amp-dns", Both, Reflector::Dns),
    amplified("amp-ntp", Both, Reflector::Ntp),
    amplified("amp-snmp", V4, Reflector::Snmp),
    amplified("amp-cldap", V4, Reflector::Cldap),
    amplified("amp-ssdp", V4, Reflector::Ssdp),
    amplified("amp-ws-discovery", V4, Reflector::WsDiscovery),
    amplified("amp-coap", V4, Reflector::Coap),
    amplified("amp-memcached", V4, Reflector::Memcached),
    base(10, "amp-ntp-open", Both, "answers of time servers, to a game's port",
        template(Packet::Udp { from: 123, to: GAME, payload: Payload::Answer(Reflector::Ntp) }, SERVERS, &[])),
    base(10, "amp-unlisted", V4, "answers of games' servers, whose port is in no table of reflectors, to a game's port",
        template(Packet::Udp { from: Reflector::Steam.port(), to: GAME, payload: Payload::Answer(Reflector::Steam) }, SERVERS, &[])),
    base(11, "amp-fragments", Both, "answers of resolvers in fragments, of which the later ones have no ports",
        Traffic::Album(album::amplified_fragments)),
    base(11, "udp-frag", Both, "later fragments of large datagrams, whose first ones never come",
        fragment(protocol::UDP, 1480, false, 1200)),
    base(12, "dns-queries", Both, "queries for random names, each from another forged address",
        template(Packet::Udp { from: FROM, to: DNS, payload: Payload::DnsQuery }, Sources::Random,
            &[Varies::SourcePort, Varies::Name])),
    base(13, "icmp-echo", Both, "echo requests, each from another forged address", echo(Sources::Random)),
    base(13, "icmp-echo-one", Both, "echo requests from one address", echo(Sources::One)),
    base(13, "icmp-unreachable", Both, "errors about packets that were never sent, from 16 addresses (BlackNurse)",
        Traffic::Album(album::unreachable)),
    base(14, "tiny-fragments", Both, "first fragments that end within TCP's header", fragment(protocol::TCP, 0, true, 8)),
    base(14, "syn-fragments", Both, "SYNs in first fragments whose others never come", fragment(protocol::TCP, 0, true, 24)),
    base(14, "tcp-offset-1", Both, "fragments that would write over TCP's flags", fragment(protocol::TCP, 8, false, 32)),
    base(14, "overlong", Both, "fragments that end behind byte 65,535", fragment(protocol::UDP, 65_528, false, 64)),
    base(14, "endless-fragments", Both, "datagrams whose last fragment never comes", Traffic::Album(album::endless_fragments)),
    other("proto-gre", Both, protocol::GRE, &[]),
    other("proto-esp", Both, protocol::ESP, &[Varies::Association]),
    other("proto-ipip", Both, protocol::IPIP, &[]),
    other("proto-0", V4, protocol::HOP_BY_HOP, &[]),
    other("proto-255", Both, protocol::RESERVED, &[]),
    base(16, "land", Both, "SYNs from the server's own address", syn(Sources::Server)),
    base(16, "martians", Both, "packets from addresses that nobody has", Traffic::Album(album::martians)),
    base(17, "carpet", Both, "UDP to every address of a /24 of the server's",
        udp(CLOSED, Sources::Random, &[Varies::Destination, Varies::SourcePort, Varies::DestinationPort])),
    base(17, "carpet-syn", Both, "SYNs to every address of a /24 of the server's",
        template(tcp(SYN, HTTP), Sources::Random, &[Varies::Destination, Varies::SourcePort, Varies::Sequence])),
    base(18, "bots-10k", Both, "10,000 real machines at a game's port", Traffic::Album(album::bots)),
    base(19, "pulse", V4, "ten seconds of a flood, twenty of nothing, and then the next",
        Traffic::InTurn { names: &["syn-random", "udp-closed", "ack"], on: Duration::from_secs(10), off: Duration::from_secs(20) }),
    base(19, "vectors", V4, "another flood each minute",
        Traffic::InTurn { names: &["syn-random", "amp-dns", "ack", "icmp-echo"], on: Duration::from_secs(60), off: Duration::ZERO }),
    base(20, "v6-walk", V6, "SYNs from all addresses of one /64", syn(Sources::Walk)),
    base(20, "v6-extension-headers", V6, "extension headers of all sorts, up to eight", Traffic::Album(album::extension_headers)),
    base(20, "v6-atomic-fragments", V6, "whole packets that say they are fragments", Traffic::Album(album::atomic_fragments)),
    base(20, "v6-ra", V6, "router and neighbour discovery that crossed a router", Traffic::Album(album::off_link_discovery)),
    base(22, "ip-options", V4, "IPv4 options of all sorts", Traffic::Album(album::ip_options)),
    base(22, "jumbo", V4, "frames of 9,000 bytes", Traffic::Album(album::jumbo)),
    base(22, "minimal", Both, "the shortest packets there are, and some cut short", Traffic::Album(album::minimal)),
    base(22, "lying-lengths", Both, "headers whose lengths are not the packet's", Traffic::Album(album::lying_lengths)),
    base(23, "partner", Both, "all that gets an address banned, in the name of a partner", Traffic::Album(album::partner)),
    base(23, "partner-syn", Both, "SYNs in the name of a partner, more than any one prefix is answered", template(tcp(SYN, HTTP), Sources::Partner, IN_HIS_NAME)),
    base(24, "hash-flood", Both, "sources in order that are alike in their low bits, none of them twice", syn(Sources::InOrder)),
    base(25, "flash-crowd", V4, "no attack: fifty times as many visitors as usual", Traffic::Crowd),
];
