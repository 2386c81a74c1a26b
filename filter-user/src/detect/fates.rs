//! What became of packets, by class of traffic.
//!
//! The kernel counts classes of what comes in and reasons of what happens, not both at once. Many
//! reasons meet one class alone; the others are shared out as the observed packets of that reason
//! are, or, while none was observed, as the traffic that they can meet.

use filter_common::abi::{
    counter::{happened, observed},
    reason::{Action, Reason},
    traffic::{TRAFFIC_CLASSES, TrafficClass},
};

use super::{
    input::{Fate, Snapshot, Traffic},
    rates::{ByClass, add},
};
use crate::dataplane::Counters;

/// What became of packets, by class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// Dropped, or answered by the filter.
    pub stopped: ByClass,
    /// Dropped, or to be dropped were it enforced, because they belong to nothing here: no socket,
    /// no question, no sense.
    pub alien: ByClass,
    /// Likewise, because they were too many for a limit.
    pub limited: ByClass,
    /// Likewise, because of who sent them: lists, bans, rules.
    pub refused: ByClass,
}

impl Shares {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.stopped, &other.stopped);
        add(&mut self.alien, &other.alien);
        add(&mut self.limited, &other.limited);
        add(&mut self.refused, &other.refused);
    }
}

/// What a drop says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// It belongs to nothing here.
    Alien,
    /// It was one too many.
    Limit,
    /// It was refused for who sent it, or for what a rule says.
    Refused,
    /// Nothing: it was answered in this host's stead, or it passed.
    None,
}

/// What a reason says of a packet.
pub const fn ground(reason: Reason) -> Ground {
    match reason {
        Reason::Clean
        | Reason::NotIp
        | Reason::Control
        | Reason::Lifeline
        | Reason::Allowed
        | Reason::RulePass
        | Reason::Established
        | Reason::CookieAccepted
        | Reason::CookieAnswered => Ground::None,
        Reason::Truncated
        | Reason::Malformed
        | Reason::VlanDepth
        | Reason::ExtensionDepth
        | Reason::HeaderSpan
        | Reason::MartianSource
        | Reason::Land
        | Reason::TcpFlags
        | Reason::PortZero
        | Reason::TinyFragment
        | Reason::FragmentOffset
        | Reason::FragmentOverrun
        | Reason::ForgedDiscovery
        | Reason::CookieRefused
        | Reason::NoSocket
        | Reason::ClosedTcp
        | Reason::ClosedUdp
        | Reason::Unsolicited
        | Reason::FragmentOfDropped
        | Reason::FragmentUnknown
        | Reason::ProtocolDrop => Ground::Alien,
        Reason::CookieCeiling
        | Reason::LimitFragments
        | Reason::LimitAll
        | Reason::LimitSyn
        | Reason::LimitUdp
        | Reason::LimitIcmp
        | Reason::LimitBytes
        | Reason::PrefixAll
        | Reason::PrefixSyn
        | Reason::PrefixUdp
        | Reason::PrefixIcmp
        | Reason::PrefixBytes
        | Reason::CeilingNew
        | Reason::CeilingHeavy
        | Reason::CeilingFull
        | Reason::LimitConnections
        | Reason::PrefixConnections
        | Reason::LimitIcmpErrors
        | Reason::LimitEcho
        | Reason::LimitProtocols => Ground::Limit,
        Reason::Blocked
        | Reason::Banned
        | Reason::Listed
        | Reason::RuleDrop
        | Reason::RuleLimit => Ground::Refused,
    }
}

/// The classes that a reason can meet.
fn classes(reason: Reason) -> &'static [TrafficClass] {
    use TrafficClass as Class;
    const TCP: &[Class] = &[Class::Syn, Class::SynAck, Class::Close, Class::Ack];
    const IP: &[Class] = &[
        Class::Syn,
        Class::SynAck,
        Class::Close,
        Class::Ack,
        Class::Udp,
        Class::Reflected,
        Class::Icmp,
        Class::Fragment,
        Class::Protocol,
    ];
    match reason {
        Reason::CookieAnswered
        | Reason::CookieCeiling
        | Reason::LimitSyn
        | Reason::PrefixSyn
        | Reason::LimitConnections
        | Reason::PrefixConnections => &[Class::Syn],
        Reason::CookieRefused => &[Class::Ack, Class::Close],
        Reason::NoSocket => &[Class::SynAck, Class::Close, Class::Ack],
        Reason::ClosedTcp | Reason::TcpFlags => TCP,
        Reason::ClosedUdp | Reason::LimitUdp | Reason::PrefixUdp => &[Class::Udp, Class::Reflected],
        Reason::Unsolicited => &[Class::Reflected, Class::Udp],
        Reason::LimitIcmp
        | Reason::PrefixIcmp
        | Reason::LimitIcmpErrors
        | Reason::LimitEcho
        | Reason::ForgedDiscovery => &[Class::Icmp],
        Reason::FragmentOfDropped | Reason::FragmentUnknown | Reason::LimitFragments => {
            &[Class::Fragment]
        }
        Reason::ProtocolDrop | Reason::LimitProtocols => &[Class::Protocol],
        Reason::Truncated
        | Reason::Malformed
        | Reason::VlanDepth
        | Reason::ExtensionDepth
        | Reason::HeaderSpan => &[Class::Malformed],
        Reason::NotIp => &[Class::Other],
        Reason::Clean
        | Reason::Control
        | Reason::Lifeline
        | Reason::Allowed
        | Reason::RulePass
        | Reason::Established
        | Reason::CookieAccepted
        | Reason::MartianSource
        | Reason::Land
        | Reason::PortZero
        | Reason::TinyFragment
        | Reason::FragmentOffset
        | Reason::FragmentOverrun
        | Reason::Blocked
        | Reason::Banned
        | Reason::Listed
        | Reason::RuleDrop
        | Reason::RuleLimit
        | Reason::LimitAll
        | Reason::LimitBytes
        | Reason::PrefixAll
        | Reason::PrefixBytes
        | Reason::CeilingNew
        | Reason::CeilingHeavy
        | Reason::CeilingFull => IP,
    }
}

/// Of what is observed in a step, so much weighs in the next: half of it after 0.7 s.
const FADE: f64 = 0.9;

/// Reads what became of packets.
#[derive(Debug, Default)]
pub struct Fates {
    last: Option<Box<Counters>>,
    /// Observed packets by reason and class, fading.
    seen: Vec<ByClass>,
}

impl Fates {
    /// What became of packets since the reading before, where `before` is what had come in by then;
    /// `None` if the counters are of new maps.
    pub fn read(&mut self, snapshot: &Snapshot, before: &Traffic) -> Option<Shares> {
        self.look(snapshot);
        let last = self.last.as_ref()?;
        let mut shares = Shares::default();
        for reason in Reason::ALL {
            if matches!(reason.action(), Action::Pass) {
                continue;
            }
            let grown = |index: u32| {
                let of = |counters: &Counters| counters.get(index as usize).map(|c| c.packets);
                let (new, old) = (of(&snapshot.counters)?, of(last)?);
                new.checked_sub(old).map(|packets| packets as f64)
            };
            let stopped = grown(happened(*reason))?;
            let watched = grown(observed(reason.code()))?;
            if stopped + watched <= 0.0 {
                continue;
            }
            let split = self.split(*reason, snapshot, before);
            let part = |packets: f64| split.map(|share| share * packets);
            add(&mut shares.stopped, &part(stopped));
            let both = part(stopped + watched);
            match ground(*reason) {
                Ground::Alien => add(&mut shares.alien, &both),
                Ground::Limit => add(&mut shares.limited, &both),
                Ground::Refused => add(&mut shares.refused, &both),
                Ground::None => {}
            }
        }
        Some(shares)
    }

    /// Takes the counters for the next reading.
    pub fn rebase(&mut self, snapshot: &Snapshot) {
        match &mut self.last {
            Some(last) => last.clone_from(&snapshot.counters),
            None => self.last = Some(snapshot.counters.clone()),
        }
    }

    fn look(&mut self, snapshot: &Snapshot) {
        self.seen
            .resize(Reason::ALL.len().max(64), [0.0; TRAFFIC_CLASSES]);
        if snapshot.observed.is_empty() {
            return;
        }
        for by_class in &mut self.seen {
            for count in by_class {
                *count *= FADE;
            }
        }
        for packet in &snapshot.observed {
            let (Fate::Stopped(reason) | Fate::Watched(reason)) = packet.fate else {
                continue;
            };
            if let Some(by_class) = self.seen.get_mut(usize::from(reason.code())) {
                by_class[packet.class as usize] += 1.0;
            }
        }
    }

    /// Shares of the classes in what a reason met; they sum up to one.
    fn split(&self, reason: Reason, snapshot: &Snapshot, before: &Traffic) -> ByClass {
        let mut split = [0.0; TRAFFIC_CLASSES];
        let classes = classes(reason);
        if let [only] = classes {
            split[*only as usize] = 1.0;
            return split;
        }
        let seen = self.seen.get(usize::from(reason.code()));
        for class in classes {
            let index = *class as usize;
            split[index] = seen.map_or(0.0, |seen| seen[index]);
        }
        // Less than a packet is what is left of long ago.
        if split.iter().sum::<f64>() < 0.5 {
            for class in classes {
                let index = *class as usize;
                let (new, old) = (snapshot.traffic[index].packets, before[index].packets);
                split[index] = new.saturating_sub(old) as f64;
            }
        }
        let sum = split.iter().sum::<f64>();
        if sum > 0.0 {
            split.map(|share| share / sum)
        } else {
            let even = 1.0 / classes.len() as f64;
            for class in classes {
                split[*class as usize] = even;
            }
            split
        }
    }
}
