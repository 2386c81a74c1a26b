//! What comes in, by kind, whatever becomes of it: the detector's first look.
//!
//! The map `TRAFFIC` has [`TrafficCounters`] per CPU for each place of an interface. An interface's
//! place is [`place`]; two whose indexes share one are counted together.

#[cfg(doc)]
use super::defence::PortSet;
use super::{counter::Counter, map_value};
use crate::logic::packet::{Fragment, Packet, TcpFlags, Transport};

/// A kind of traffic. Every packet is of exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TrafficClass {
    /// TCP that opens a connection: SYN without ACK.
    Syn = 0,
    /// TCP that answers an opening: SYN with ACK.
    SynAck = 1,
    /// TCP that closes: RST or FIN, without SYN.
    Close = 2,
    /// All other TCP: ACK, data.
    Ack = 3,
    /// UDP that does not come from a port of [`PortSet::Reflectors`].
    Udp = 4,
    /// UDP that does.
    Reflected = 5,
    /// ICMP and ICMPv6.
    Icmp = 6,
    /// Later fragments, and first ones whose transport header is not seen.
    Fragment = 7,
    /// Every other IP protocol.
    Protocol = 8,
    /// What cannot be parsed, down to its transport header.
    Malformed = 9,
    /// What is not IP.
    Other = 10,
}

/// Number of [`TrafficClass`]es.
pub const TRAFFIC_CLASSES: usize = 11;
/// Counters for each place of an interface: a power of two.
pub const TRAFFIC_ROOM: usize = 16;
/// Places of interfaces: a power of two.
pub const TRAFFIC_PLACES: u32 = 32;

impl TrafficClass {
    /// Every class, by rising number.
    pub const ALL: [Self; TRAFFIC_CLASSES] = [
        Self::Syn,
        Self::SynAck,
        Self::Close,
        Self::Ack,
        Self::Udp,
        Self::Reflected,
        Self::Icmp,
        Self::Fragment,
        Self::Protocol,
        Self::Malformed,
        Self::Other,
    ];

    /// The class of a parsed packet; `is_reflector` says whether a port is one of
    /// [`PortSet::Reflectors`].
    #[inline(always)]
    pub fn of(packet: &Packet, is_reflector: impl FnOnce(u16) -> bool) -> Self {
        match packet.transport() {
            Transport::Tcp { flags, .. } => Self::of_tcp(flags),
            Transport::Udp { source_port, .. } if is_reflector(source_port) => Self::Reflected,
            Transport::Udp { .. } => Self::Udp,
            Transport::Icmp { .. } => Self::Icmp,
            Transport::Opaque if !matches!(packet.fragment, Fragment::Whole) => Self::Fragment,
            Transport::Opaque if packet.defect.is_some() => Self::Malformed,
            Transport::Opaque => Self::Protocol,
        }
    }

    /// The class of a TCP segment.
    #[inline(always)]
    pub const fn of_tcp(flags: TcpFlags) -> Self {
        const BOTH: u8 = TcpFlags::SYN | TcpFlags::ACK;
        match flags.0 & BOTH {
            TcpFlags::SYN => Self::Syn,
            BOTH => Self::SynAck,
            _ if flags.0 & (TcpFlags::RST | TcpFlags::FIN) != 0 => Self::Close,
            _ => Self::Ack,
        }
    }
}

/// The place of an interface.
#[inline(always)]
pub const fn place(interface: u32) -> u32 {
    interface & TRAFFIC_PLACES.wrapping_sub(1)
}

/// What one CPU counted at a place of interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TrafficCounters {
    /// The counters, by [`TrafficClass`]; those behind the last class stay zero.
    pub counters: [Counter; TRAFFIC_ROOM],
}

map_value!(TrafficCounters: 256);

const _: () = assert!(TRAFFIC_CLASSES <= TRAFFIC_ROOM && TRAFFIC_ROOM.is_power_of_two());
