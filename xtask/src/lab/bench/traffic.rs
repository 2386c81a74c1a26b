//! The packets that every program under test sees: one frame, whose source goes its course.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, bail};
use etherparse::{IpNumber, PacketBuilder, ip_number};

use super::{
    super::{
        attack::{self, ACK, Carrier, FROM, Packet, Sources, Template},
        http,
        sandbox::hosts,
        shape::abi::{Course, Shape},
    },
    prefixes,
};

/// One kind of traffic, a column of the result.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// What it is called in the result.
    pub name: &'static str,
    /// The frame before anything varies.
    pub frame: Vec<u8>,
    /// How it varies.
    pub varying: Varying,
}

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub enum Varying {
    /// The source alone, and the rest of the frame stays as a program leaves it.
    Source(Course),
    /// All that differs in a flood; the frame is written anew.
    Packet(Shape),
}

/// 198.18.0.1, of the network for benchmarks (RFC 2544).
const ONE_V4: u64 = 0xc612_0001;
/// 128.0.0.0/2, which holds nobody whom no packet can come from.
const RANDOM_V4: u64 = 0x8000_0000;
/// 3fff::/20, for documentation (RFC 9637), as the first half of an address.
pub const RANDOM_V6: u64 = 0x3fff << 48;

/// One IPv4 source.
pub fn one() -> Result<Traffic> {
    v4("one source", within(ONE_V4, 0))
}

/// A botnet of 65,536 neighbours.
pub fn botnet() -> Result<Traffic> {
    v4("64k sources", within(ONE_V4 & !0xffff, 16))
}

/// Any of 2³⁰ IPv4 sources.
pub fn random() -> Result<Traffic> {
    v4("random IPv4", within(RANDOM_V4, 30))
}

/// One IPv6 source, far from every list.
pub fn one_v6() -> Result<Traffic> {
    v6("one IPv6", within(RANDOM_V6 | 0x0fff_0000_0001, 0))
}

/// Any of 2⁴⁴ IPv6 /64s.
pub fn random_v6() -> Result<Traffic> {
    v6("random IPv6 /64", within(RANDOM_V6, 44))
}

/// Any /64 of the /32s that the [IPv6 list](prefixes::v6) is about: what an attacker would choose
/// who knows it.
pub fn near_listed_v6() -> Result<Traffic> {
    v6(
        "IPv6 near the list",
        within(RANDOM_V6, prefixes::V6_FREE_BITS),
    )
}

/// One member of the [IPv4 list](prefixes::v4).
pub fn one_listed() -> Result<Traffic> {
    let course = within(u64::from(prefixes::v4_member(12_345)), 0);
    v4("one listed", course)
}

/// Any member of an [IPv4 list](prefixes::v4) with so many of them.
pub fn random_listed(members: u32) -> Result<Traffic> {
    let course = Course {
        base: u64::from(prefixes::V4_BASE),
        mask: u64::from(members.saturating_sub(1)),
        factor: u64::from(prefixes::V4_FACTOR),
        spread: u64::from(prefixes::V4_SPREAD),
        family: 4,
    };
    v4("random listed", course)
}

/// The one that is [banned](prefixes::BANNED).
pub fn banned() -> Result<Traffic> {
    v4("banned", within(u64::from(u32::from(prefixes::BANNED)), 0))
}

/// Echo requests from random sources.
pub fn echo() -> Result<Traffic> {
    const REQUEST: [u8; 8] = [8, 0, 0, 0, 0, 7, 0, 0];
    carrying("echo", ip_number::ICMP, &[REQUEST, [0; 8]].concat())
}

/// ICMP errors from random sources, each about a segment that the server's port is said to have
/// sent to somebody who is not connected.
pub fn errors() -> Result<Traffic> {
    const UNREACHABLE: [u8; 8] = [3, 1, 0, 0, 0, 0, 0, 0];
    let to = Ipv4Addr::from(ONE_V4 as u32);
    let mut quoted = Vec::new();
    PacketBuilder::ipv4(hosts::SERVER.v4.octets(), to.octets(), 64)
        .tcp(http::PORT, 50_000, 1, 0)
        .write(&mut quoted, &[])?;
    let message = [&UNREACHABLE[..], &quoted].concat();
    carrying("ICMP errors", ip_number::ICMP, &message)
}

/// GRE from random sources.
pub fn gre() -> Result<Traffic> {
    carrying("GRE", ip_number::GRE, &[0; 28])
}

/// IPv4 from random sources that carries this.
fn carrying(name: &'static str, protocol: IpNumber, payload: &[u8]) -> Result<Traffic> {
    let (from, to) = (hosts::GATEWAY, hosts::SERVER);
    let source = Ipv4Addr::from(ONE_V4 as u32);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(from.mac, to.mac)
        .ipv4(source.octets(), to.v4.octets(), 60)
        .write(&mut frame, protocol, payload)?;
    Ok(Traffic {
        name,
        frame,
        varying: Varying::Source(within(RANDOM_V4, 30)),
    })
}

/// SYNs of a forged flood, written anew for each program that answers them.
pub fn forged_syns(name: &'static str, carrier: Carrier, sources: Sources) -> Result<Traffic> {
    let syn = Template { sources, ..syn()? };
    Ok(Traffic {
        name,
        frame: syn.frame(carrier),
        // They go nowhere.
        varying: Varying::Packet(syn.shape(carrier, 0)?),
    })
}

/// ACKs of any of 2³⁰ IPv4 sources, to a port.
pub fn random_acks(name: &'static str, port: u16) -> Result<Traffic> {
    acks(name, Carrier::V4, [FROM, port], within(RANDOM_V4, 30))
}

/// ACKs of any of 2⁴⁴ IPv6 /64s, to a port.
pub fn random_acks_v6(name: &'static str, port: u16) -> Result<Traffic> {
    let course = Course {
        family: 6,
        ..within(RANDOM_V6, 44)
    };
    acks(name, Carrier::V6, [FROM, port], course)
}

/// ACKs of a connection of this source.
pub fn connected(source: SocketAddrV4, port: u16) -> Result<Traffic> {
    let course = within(u64::from(u32::from(*source.ip())), 0);
    let ports = [source.port(), port];
    acks("a connection", Carrier::V4, ports, course)
}

fn acks(
    name: &'static str,
    carrier: Carrier,
    [from, to]: [u16; 2],
    course: Course,
) -> Result<Traffic> {
    let mut ack = syn()?;
    ack.packet = Packet::Tcp {
        flags: ACK,
        from,
        to,
        payload: 0,
    };
    Ok(carried(name, ack, carrier, course))
}

/// Any of 2^`bits` numbers from `base` on; the family is put right later.
fn within(base: u64, bits: u32) -> Course {
    let mask = (1 << bits) - 1;
    Course {
        base,
        mask,
        factor: 1,
        spread: mask,
        family: 4,
    }
}

fn v4(name: &'static str, course: Course) -> Result<Traffic> {
    of(name, Carrier::V4, course)
}

fn v6(name: &'static str, course: Course) -> Result<Traffic> {
    let course = Course {
        family: 6,
        ..course
    };
    of(name, Carrier::V6, course)
}

fn of(name: &'static str, carrier: Carrier, course: Course) -> Result<Traffic> {
    Ok(carried(name, syn()?, carrier, course))
}

/// A SYN to the web server's port.
fn syn() -> Result<Template> {
    match attack::named("syn-random")?.traffic {
        attack::Traffic::Template(template) => Ok(template),
        attack::Traffic::Album(_)
        | attack::Traffic::InTurn { .. }
        | attack::Traffic::Connections
        | attack::Traffic::Crowd => bail!("the benchmark's packets have no template"),
    }
}

fn carried(name: &'static str, template: Template, carrier: Carrier, course: Course) -> Traffic {
    Traffic {
        name,
        frame: template.frame(carrier),
        varying: Varying::Source(course),
    }
}
