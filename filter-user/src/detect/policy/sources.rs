//! What is known of single sources: their standing, and how often they had to be banned.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{config::detection::Detection, detect::Standing};

/// Sources that are remembered at most: some 200 bytes each.
pub const MOST: usize = 4_096;
/// Sources that are asked about at once at most, and how often: to answer costs a walk through the
/// connections of this host.
pub const MOST_ASKED: usize = 16;
const BETWEEN: Duration = Duration::from_millis(250);
/// How old a standing may be that decides.
const FRESH: Duration = Duration::from_secs(2);
/// How long to wait before asking about a source again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait if it may not be acted upon anyway.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
/// How long a healthy session is remembered that ended.
const HEALTH: Duration = Duration::from_secs(60);
/// Standings that a ban needs, one after the other, since the ban before.
const STANDINGS: u32 = 2;
/// How long a source is remembered that did nothing.
const MEMORY: Duration = Duration::from_secs(60);

/// A source as the kernel reckons: an IPv4 address, or a /64 of IPv6.
pub fn unit(address: IpAddr) -> IpNet {
    let v4 = |address| IpNet::V4(Ipv4Net::new_assert(address, 32));
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => v4(address),
            None => {
                let bits = u128::from(address) & (u128::MAX << 64);
                IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(bits), 64))
            }
        },
    }
}

/// The source that a prefix is, if it is no wider than one.
pub fn unit_of(prefix: &IpNet) -> Option<IpNet> {
    let least = match prefix {
        IpNet::V4(_) => 32,
        IpNet::V6(_) => 64,
    };
    (prefix.prefix_len() >= least).then(|| unit(prefix.addr()))
}

/// The neighbourhood of a source: an IPv4 /24, or an IPv6 /48.
pub fn neighbourhood(unit: &IpNet) -> IpNet {
    match unit {
        IpNet::V4(net) => IpNet::V4(Ipv4Net::new_assert(net.addr(), 24).trunc()),
        IpNet::V6(net) => IpNet::V6(Ipv6Net::new_assert(net.addr(), 48).trunc()),
    }
}

/// What may be held against a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nobody said yet.
    Unknown,
    /// Nothing may: it was good on two days, or may not be acted upon.
    Good,
    /// It may share its address with those whose connections are healthy.
    Healthy,
    /// Nothing speaks for it.
    Stranger,
}

/// A source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source {
    standing: Option<(Standing, Duration)>,
    /// Standings in a row, and when the last healthy session was seen.
    standings: u32,
    healthy: Option<Duration>,
    asked: Option<Duration>,
    seen: Duration,
    level: u32,
    offence: Duration,
    banned: Option<(Duration, Duration)>,
    /// Whether it was seen to pass although it was banned: the door refused.
    pub is_doubtful: bool,
}

/// All sources that matter.
#[derive(Debug, Default)]
pub struct Sources {
    known: BTreeMap<IpNet, Source>,
    swept: Duration,
    asked: Option<Duration>,
}

impl Source {
    /// What may be held against it.
    pub fn judgement(&self) -> Judgement {
        match &self.standing {
            None => Judgement::Unknown,
            Some((it, _)) if it.is_untouchable || it.is_known_good => Judgement::Good,
            Some((_, told)) if self.was_healthy(*told) => Judgement::Healthy,
            Some(_) => Judgement::Stranger,
        }
    }

    fn was_healthy(&self, told: Duration) -> bool {
        let ago = |healthy| told.saturating_sub(healthy);
        self.healthy.is_some_and(|healthy| ago(healthy) < HEALTH)
    }

    fn learn(&mut self, standing: Standing, elapsed: Duration) {
        let together = match self.standing {
            // Of several addresses of a /64, what speaks for any speaks for all.
            Some((other, told)) if told == elapsed => Standing {
                source: standing.source,
                is_proven: standing.is_proven && other.is_proven,
                is_known_good: standing.is_known_good || other.is_known_good,
                healthy_sessions: standing.healthy_sessions.max(other.healthy_sessions),
                is_untouchable: standing.is_untouchable || other.is_untouchable,
            },
            Some(_) | None => {
                self.standings = self.standings.saturating_add(1);
                standing
            }
        };
        if together.healthy_sessions > 0 {
            self.healthy = Some(elapsed);
        }
        self.standing = Some((together, elapsed));
    }

    /// Whether it may be banned: it proved its address, nothing speaks for it, and that was said
    /// twice, the last time a moment ago.
    pub fn may_be_banned(&self, elapsed: Duration) -> bool {
        let is_proven = self.standing.is_some_and(|(standing, told)| {
            standing.is_proven && elapsed.saturating_sub(told) <= FRESH
        });
        is_proven
            && self.standings >= STANDINGS
            && self.judgement() == Judgement::Stranger
            && !self.is_banned(elapsed)
    }

    /// Whether a ban of it lasts.
    pub fn is_banned(&self, elapsed: Duration) -> bool {
        self.banned.is_some_and(|(_, until)| elapsed < until)
    }

    /// When it was banned last.
    pub fn banned_at(&self) -> Option<Duration> {
        self.banned.map(|(at, _)| at)
    }

    /// For how long it would be banned: longer each time.
    pub fn next_ban(&self, elapsed: Duration, config: &Detection) -> Duration {
        lengthened(config.ban, self.level(elapsed, config.ban), config.ban_most)
    }

    /// Bans it.
    pub fn ban(&mut self, elapsed: Duration, config: &Detection) {
        let until = elapsed.saturating_add(self.next_ban(elapsed, config));
        self.level = self.level(elapsed, config.ban).saturating_add(1);
        self.offence = until;
        self.standings = 0;
        self.banned = Some((elapsed, until));
    }

    /// How often it was banned, less one for each ten bans' time of good behaviour.
    fn level(&self, elapsed: Duration, first: Duration) -> u32 {
        let step = first.saturating_mul(10).max(MEMORY);
        let good = elapsed.saturating_sub(self.offence).as_secs() / step.as_secs().max(1);
        self.level
            .saturating_sub(u32::try_from(good).unwrap_or(u32::MAX))
    }

    fn is_forgotten(&self, elapsed: Duration, first: Duration) -> bool {
        self.level(elapsed, first) == 0
            && !self.is_banned(elapsed)
            && elapsed.saturating_sub(self.seen) > MEMORY
    }
}

/// The first ban, doubled `level` times, up to a bound.
pub fn lengthened(first: Duration, level: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(level).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(most)
}

impl Sources {
    /// What is known of one.
    pub fn get(&self, unit: &IpNet) -> Option<&Source> {
        self.known.get(unit)
    }

    /// Likewise, to change it.
    pub fn get_mut(&mut self, unit: &IpNet) -> Option<&mut Source> {
        self.known.get_mut(unit)
    }

    /// All of a neighbourhood.
    pub fn within(&self, prefix: IpNet) -> impl Iterator<Item = (&IpNet, &Source)> {
        // A prefix sorts before its members, and they follow each other.
        let from = self.known.range(prefix..);
        from.take_while(move |(unit, _)| prefix.contains(*unit))
    }

    /// What may be held against one.
    pub fn judgement(&self, unit: &IpNet) -> Judgement {
        self.get(unit).map_or(Judgement::Unknown, Source::judgement)
    }

    /// Takes what was found out about sources that were asked for.
    pub fn learn(&mut self, standings: &[Standing], elapsed: Duration) {
        for standing in standings {
            let Some(source) = self.known.get_mut(&unit(standing.source)) else {
                continue;
            };
            source.learn(*standing, elapsed);
        }
    }

    /// Which of these to ask about: those that matter most come first.
    pub fn ask(
        &mut self,
        wanted: impl Iterator<Item = IpAddr>,
        elapsed: Duration,
        ban: Duration,
    ) -> Vec<IpAddr> {
        self.sweep(elapsed, ban);
        let waits = |asked| elapsed.saturating_sub(asked) < BETWEEN;
        if self.asked.is_some_and(waits) {
            return Vec::new();
        }
        let mut asked = Vec::new();
        for address in wanted {
            if asked.len() >= MOST_ASKED {
                break;
            }
            let unit = unit(address);
            if self.known.len() >= MOST && !self.known.contains_key(&unit) {
                continue;
            }
            let source = self.known.entry(unit).or_default();
            source.seen = elapsed;
            let patience = match source.judgement() {
                Judgement::Good => LONG_PATIENCE,
                Judgement::Unknown | Judgement::Healthy | Judgement::Stranger => PATIENCE,
            };
            let waits = source
                .asked
                .is_some_and(|asked| elapsed.saturating_sub(asked) < patience);
            if !waits && !source.is_banned(elapsed) {
                source.asked = Some(elapsed);
                asked.push(address);
            }
        }
        if !asked.is_empty() {
            self.asked = Some(elapsed);
        }
        asked
    }

    /// Sources that are banned.
    pub fn banned(&self, elapsed: Duration) -> impl Iterator<Item = (&IpNet, &Source)> {
        let all = self.known.iter();
        all.filter(move |(_, source)| source.is_banned(elapsed))
    }

    /// How many are remembered.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Forgets bans: they were taken away.
    pub fn pardon(&mut self) {
        self.known.clear();
    }

    /// Forgets who did nothing for a while; and who did least, where there is no room.
    fn sweep(&mut self, elapsed: Duration, ban: Duration) {
        let is_full = self.known.len().saturating_add(MOST_ASKED) > MOST;
        if !is_full && elapsed.saturating_sub(self.swept) < PATIENCE {
            return;
        }
        self.swept = elapsed;
        self.known
            .retain(|_, source| !source.is_forgotten(elapsed, ban));
        if self.known.len().saturating_add(MOST_ASKED) <= MOST {
            return;
        }
        let mut ranked: Vec<(u32, Duration, IpNet)> = self
            .known
            .iter()
            .filter(|(_, source)| !source.is_banned(elapsed))
            .map(|(unit, source)| (source.level(elapsed, ban), source.seen, *unit))
            .collect();
        ranked.sort_unstable();
        for (_, _, unit) in ranked.iter().take(MOST / 4) {
            self.known.remove(unit);
        }
    }
}
