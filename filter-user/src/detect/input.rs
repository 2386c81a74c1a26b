//! What the controller is told.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use filter_common::{
    abi::{reason::Reason, traffic::TrafficClass},
    logic::packet::TcpFlags,
};
use jiff::Timestamp;

use crate::dataplane::Counters;
pub use crate::dataplane::Traffic;

/// Bytes of payload that an observed packet carries at most.
pub const PAYLOAD: usize = 48;

/// What was read of a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Wall-clock time: for people, and for the hour of the week. May jump.
    pub now: Timestamp,
    /// Time since the start of whoever drives the controller. Never jumps.
    pub elapsed: Duration,
    /// What came in, of all interfaces together.
    pub traffic: Traffic,
    /// What came in at each interface.
    pub interfaces: Vec<InterfaceReading>,
    /// What became of packets, by reason, as in [`filter_common::abi::counter`].
    pub counters: Box<Counters>,
    /// What each TCP port saw that somebody listens on.
    pub handshakes: BTreeMap<u16, Handshakes>,
    /// What the stack behind the filter says.
    pub stack: Stack,
    /// Packets seen since the snapshot before, a small and fair choice of those that passed and of
    /// those that did not.
    pub observed: Vec<Observed>,
    /// What was found out about sources that an [`Output`](super::Output) asked for.
    pub standings: Vec<Standing>,
    /// TCP and UDP ports of this host that somebody listens on: (protocol, port).
    pub listening: Vec<(u8, u16)>,
}

/// What one interface says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterfaceReading {
    /// Its name.
    pub name: String,
    /// What came in.
    pub traffic: Traffic,
    /// Packets that the card or its driver lost before the filter; `None` if it does not say.
    pub lost: Option<u64>,
    /// Speed of the link in bits a second, if it has one.
    pub speed: Option<u64>,
}

/// Handshakes at one TCP port, since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// Valid cookies that came back.
    pub accepted: u64,
    /// Handshakes that the kernel completed.
    pub completed: u64,
}

/// What the stack lost, since boot, and how busy this host is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stack {
    /// Connections that found a listener's queue full (`TcpExt.ListenOverflows`, `ListenDrops`).
    pub listen_drops: u64,
    /// SYN cookies that the kernel sent itself (`TcpExt.SyncookiesSent`).
    pub cookies_sent: u64,
    /// Datagrams that found a socket's buffer full (`Udp.RcvbufErrors`, both families).
    pub udp_drops: u64,
    /// Packets that a CPU's backlog had no room for (`softnet_stat`).
    pub backlog_drops: u64,
    /// Share of the busiest CPU that soft interrupts take, 0 to 1.
    pub softirq: f32,
    /// Share of all CPUs that is idle, 0 to 1.
    pub idle: f32,
}

/// What became of an observed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It went to the stack.
    Passed,
    /// It went to the stack, and this reason would have dropped it, were it enforced.
    Watched(Reason),
    /// It was dropped, or answered by the filter itself.
    Stopped(Reason),
}

/// A packet as the controller looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Its kind.
    pub class: TrafficClass,
    /// IP protocol.
    pub protocol: u8,
    /// Source and destination port, where there are any.
    pub ports: Option<(u16, u16)>,
    /// Flags of TCP; zero of all others.
    pub flags: TcpFlags,
    /// Type and code of ICMP.
    pub icmp: Option<(u8, u8)>,
    /// Whether it is a piece of another.
    pub is_fragment: bool,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// Length of the IP packet in bytes, as rules mean it.
    pub length: u16,
    /// The beginning of what TCP, UDP or ICMP carries.
    pub payload: Payload,
    /// What became of it.
    pub fate: Fate,
    /// Whether it belonged to an established connection, came from the allowlist, or otherwise
    /// from somebody whose address is certain.
    pub is_proven: bool,
}

/// The beginning of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    bytes: [u8; PAYLOAD],
    length: u8,
}

impl Payload {
    /// Takes as much as there is room for.
    pub fn new(bytes: &[u8]) -> Self {
        let mut own = [0; PAYLOAD];
        let length = bytes.len().min(PAYLOAD);
        if let (Some(to), Some(from)) = (own.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        Self {
            bytes: own,
            length: length as u8,
        }
    }

    /// What was taken.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

/// What is known of a source, asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub source: IpAddr,
    /// Whether it completed a handshake today or yesterday: it cannot be forged.
    pub is_proven: bool,
    /// Whether it, or for IPv6 its /48, was good on two days.
    pub is_known_good: bool,
    /// Connections of it that are established now and got data acknowledged.
    pub healthy_sessions: u32,
    /// Whether it may never be acted upon: lifeline, allowlist, this host itself, its gateways and
    /// resolvers, administrators.
    pub is_untouchable: bool,
}
