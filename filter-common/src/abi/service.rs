//! Protected services and their ceilings.

use super::map_value;
use crate::logic::bucket::Limit;

/// Services that there can be.
pub const SERVICES: u32 = 64;

/// The ceiling of a service; an element of the map `SERVICES`. A zero limit is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// Packets, of all sources together.
    pub packets: Limit,
    /// Bytes of frame, of all sources together.
    pub bytes: Limit,
}

/// The state of a service, on a cache line of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceState {
    /// Bucket of packets.
    pub packets: u64,
    /// Bucket of bytes.
    pub bytes: u64,
    /// The tick until which the service counts as overloaded.
    pub overloaded_until: u64,
    /// The fair share of one source while the service is overloaded, as the interval between its
    /// packets: units of time as in [`crate::logic::bucket`].
    pub fair: u64,
    /// The tick in which `fair` was last looked at.
    pub fair_tick: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

/// What a service was sent, for each CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceCounter {
    /// Packets within the ceiling.
    pub passed: u64,
    /// Packets above it, of newcomers.
    pub dropped_new: u64,
    /// Packets above it, of known sources that sent more than their share.
    pub dropped_heavy: u64,
    /// Packets above it, of sources that were known or whose connection was established.
    pub dropped_known: u64,
}

map_value!(Service: 48, ServiceState: 64, ServiceCounter: 32);
