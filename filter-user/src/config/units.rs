//! Rates and times as operators write them.

/// Packets a second, with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets a second, at least 1.
    pub packets: u64,
    /// Burst in packets, at least 1; one second's worth if not given.
    pub burst: u64,
}
