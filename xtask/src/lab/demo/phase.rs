//! The phases of the demonstration, and what was measured in each.

use std::time::Duration;

use super::super::http::Heard;

/// What happens while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody attacks.
    Calm,
    /// The flood comes; floodwall only watches.
    Monitored,
    /// floodwall enforces its default limits.
    Limited,
    /// An operator has blocked the botnet, too.
    Blocked,
    /// The flood is over.
    CalmAgain,
}

impl Phase {
    /// Its name in lines and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Monitored => "flood, watched",
            Self::Limited => "flood, limited",
            Self::Blocked => "flood, blocked",
            Self::CalmAgain => "calm again",
        }
    }

    /// What a newcomer should know about it.
    pub fn about(self) -> &'static str {
        match self {
            Self::Calm => "Nobody attacks. Visitors load small pages as fast as they come.",
            Self::Monitored => {
                "The flood begins. floodwall is in monitor mode: it counts, and drops nothing."
            }
            Self::Limited => {
                "floodwall enforces. The default limits per source meet the flood by themselves."
            }
            Self::Blocked => "An operator has blocked the botnet's prefix as well.",
            Self::CalmAgain => "The flood is over.",
        }
    }

    /// Whether a flood is under way.
    pub fn is_flood(self) -> bool {
        match self {
            Self::Monitored | Self::Limited | Self::Blocked => true,
            Self::Calm | Self::CalmAgain => false,
        }
    }

    /// Whether floodwall drops what it recognises.
    pub fn is_enforced(self) -> bool {
        match self {
            Self::Limited | Self::Blocked => true,
            Self::Calm | Self::Monitored | Self::CalmAgain => false,
        }
    }

    /// Its part of the whole demonstration.
    pub fn seconds(self, whole: u64) -> u64 {
        let parts_of_forty = match self {
            Self::Calm => 7,
            Self::Monitored => 10,
            Self::Limited => 9,
            Self::Blocked => 8,
            Self::CalmAgain => 6,
        };
        (whole * parts_of_forty / 40).max(1)
    }
}

/// What was measured in a while.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How long it was.
    pub time: Duration,
    /// Packets of the flood put on the wire.
    pub sent: u64,
    /// Packets of the flood that reached the interface.
    pub arrived: u64,
    /// Packets that floodwall dropped.
    pub dropped: u64,
    /// Packets that it would have dropped, were everything enforced.
    pub would_drop: u64,
    /// What visitors noticed.
    pub heard: Heard,
}

impl Measured {
    /// Adds another while.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.sent += other.sent;
        self.arrived += other.arrived;
        self.dropped += other.dropped;
        self.would_drop += other.would_drop;
        self.heard.add(&other.heard);
    }

    /// Packets of the flood that reached the stack.
    pub fn passed(&self) -> u64 {
        self.arrived.saturating_sub(self.dropped)
    }

    /// The share of the flood that did not reach the stack.
    pub fn dropped_share(&self) -> f64 {
        if self.arrived == 0 {
            0.0
        } else {
            1.0 - self.passed() as f64 / self.arrived as f64
        }
    }

    /// Any count as a rate.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// A phase that is over.
#[derive(Clone, Debug)]
pub struct PhaseResult {
    /// Which.
    pub phase: Phase,
    /// All its seconds.
    pub measured: Measured,
}

impl PhaseResult {
    /// Before its first second.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            measured: Measured::default(),
        }
    }

    /// Adds a second.
    pub fn add(&mut self, second: &Measured) {
        self.measured.add(second);
    }
}
