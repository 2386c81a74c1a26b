//! When SYNs are answered: the order of switching, and the proof that connections come of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use filter_common::abi::defence::CookiePort;

/// How long cookies are accepted after the last was sent: their two minutes (`MAX_SYNCOOKIE_AGE`).
const DRAIN: Duration = Duration::from_secs(120);
/// How long cookies hold at least, so that who is switched off and on again does not blink.
const HOLD: Duration = Duration::from_secs(10);
/// How long acknowledgements may come without a connection.
const LIFELESS: Duration = Duration::from_secs(1);
/// Acknowledgements of so many sources make a case: a rule may block one or two, and whoever has an
/// address can send any number of his own.
const CASE: u32 = 3;
/// How long they count when no other source follows.
const MEMORY: Duration = Duration::from_secs(10);
/// How long cookies stay off at a port, at first.
const PAUSE: Duration = Duration::from_secs(60);
/// And at most.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// Who switches ports off of which no connection comes.
pub const WATCH: &str = "floodwall, for no connection came of valid cookies";

/// Where the answering of SYNs stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// Nothing is answered, and the kernel's settings are an administrator's.
    #[default]
    Off,
    /// SYNs are answered.
    On(Instant),
    /// None is answered any more, but the kernel still has to accept cookies.
    Draining(Instant),
}

/// What somebody wants of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// SYNs are to be answered.
    On,
    /// They need not be.
    Off,
    /// They must not be: at once.
    Never,
}

/// What is to be done next, in order to be where one is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Note the kernel's setting and change it, then answer.
    Begin,
    /// Answer again; the setting is noted and changed already.
    Resume,
    /// Cease to answer.
    End,
    /// Put the kernel's setting back.
    Restore,
}

impl Switch {
    /// The next step. Whoever carried it out says so with [`Switch::done`].
    pub fn next(self, now: Instant, want: Want) -> Step {
        let since = |start: Instant| now.saturating_duration_since(start);
        match (self, want) {
            (Self::Off, Want::On) => Step::Begin,
            (Self::Off, Want::Off | Want::Never) | (Self::On(_), Want::On) => Step::Stay,
            (Self::On(start), Want::Off) if since(start) < HOLD => Step::Stay,
            (Self::On(_), Want::Off | Want::Never) => Step::End,
            (Self::Draining(_), Want::On) => Step::Resume,
            (Self::Draining(start), Want::Off | Want::Never) if since(start) < DRAIN => Step::Stay,
            (Self::Draining(_), Want::Off | Want::Never) => Step::Restore,
        }
    }

    /// Where the switch stands once a step was carried out.
    #[must_use]
    pub fn done(self, step: Step, now: Instant) -> Self {
        match step {
            Step::Stay => self,
            Step::Begin | Step::Resume => Self::On(now),
            Step::End => Self::Draining(now),
            Step::Restore => Self::Off,
        }
    }

    /// Whether SYNs are answered.
    pub fn answers(self) -> bool {
        matches!(self, Self::On(_))
    }

    /// Whether the kernel's setting is changed.
    pub fn is_in_use(self) -> bool {
        !matches!(self, Self::Off)
    }
}

/// Watches over ports whose SYNs are answered: of valid cookies, connections must come.
#[derive(Clone, Debug, Default)]
pub struct Life {
    ports: BTreeMap<u16, Port>,
    /// How often cookies went off at a port since they were last seen to work there.
    failures: BTreeMap<u16, u32>,
    /// Ports where cookies come back and nobody can tell what becomes of them.
    unseen: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Port {
    last: CookiePort,
    /// Bits of the sources whose cookies came back since the last connection.
    sources: u64,
    /// When the first of these was seen.
    since: Instant,
    /// When the latest was.
    news: Instant,
}

impl Life {
    /// Takes readings of the ports that are answered for; others are forgotten. Gives those of which
    /// no connection comes. Where completed handshakes are not seen of every process, ports that had
    /// none at all are not judged.
    pub fn observe(
        &mut self,
        now: Instant,
        readings: &[(u16, CookiePort)],
        sees_all: bool,
    ) -> Vec<u16> {
        self.ports
            .retain(|port, _| readings.iter().any(|(other, _)| other == port));
        self.unseen.clear();
        let mut lifeless = Vec::new();
        for (number, reading) in readings {
            let port = self.ports.entry(*number).or_insert(Port {
                last: *reading,
                sources: 0,
                since: now,
                news: now,
            });
            let before = port.last;
            if reading.completed != before.completed && reading.accepted != before.accepted {
                self.failures.remove(number);
            }
            let is_lifeless = port.is_lifeless(now, *reading);
            if !sees_all && reading.completed == 0 {
                if reading.accepted > 0 {
                    self.unseen.push(*number);
                }
            } else if is_lifeless {
                lifeless.push(*number);
            }
        }
        lifeless
    }

    /// Cookies go off at a port; says for how long: twice as long as the last time.
    pub fn fail(&mut self, port: u16) -> Duration {
        let failures = self.failures.entry(port).or_default();
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX));
        *failures = failures.saturating_add(1);
        pause.min(LONGEST)
    }

    /// Nothing is answered, or nothing is seen.
    pub fn rest(&mut self) {
        self.ports.clear();
        self.unseen.clear();
    }

    /// Ports where cookies come back and nobody can tell what becomes of them.
    pub fn unseen(&self) -> &[u16] {
        &self.unseen
    }
}

impl Port {
    fn is_lifeless(&mut self, now: Instant, reading: CookiePort) -> bool {
        let new = reading.new_sources(&self.last) & !self.sources;
        let has_completed = reading.completed != self.last.completed;
        self.last = reading;
        if has_completed {
            self.sources = 0;
            return false;
        }
        if new != 0 {
            if self.sources == 0 {
                self.since = now;
            }
            self.news = now;
            self.sources |= new;
        } else if now.saturating_duration_since(self.news) >= MEMORY {
            self.sources = 0;
        }
        self.sources.count_ones() >= CASE && now.saturating_duration_since(self.since) >= LIFELESS
    }
}

/// What is likely to keep cookies from becoming connections.
pub fn blame(strict_conntrack: bool, translates: bool) -> String {
    let mut causes = Vec::new();
    if strict_conntrack {
        causes.push(
            "nf_conntrack_tcp_loose is 0, so that connection tracking takes up no connection that it \
             did not see begin (sysctl -w net.netfilter.nf_conntrack_tcp_loose=1)",
        );
    }
    if translates {
        causes.push("the port is translated, and its connections end elsewhere");
    }
    causes.push(
        "a rule of the host's firewall drops what begins without a SYN (`nft list ruleset`: `ct state \
         invalid drop`, `ct state new` without SYN)",
    );
    causes.push(
        "a rule blocks those who call (give it to `floodwall block`, then their SYNs are not answered)",
    );
    causes.push("the program that listens accepts no connections (`ss -ltn`: Recv-Q is full)");
    causes.join("; or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_setting_is_changed_before_and_put_back_long_after() {
        let start = crate::clock::monotonic();
        let mut switch = Switch::default();
        assert_eq!(switch.next(start, Want::Off), Step::Stay);
        assert_eq!(switch.next(start, Want::On), Step::Begin);
        assert!(!switch.answers(), "not before it is carried out");
        switch = switch.done(Step::Begin, start);
        assert!(switch.answers());
        assert_eq!(switch.next(after(start, 9), Want::Off), Step::Stay);
        assert_eq!(switch.next(after(start, 1), Want::Never), Step::End);
        assert_eq!(switch.next(after(start, 10), Want::Off), Step::End);
        switch = switch.done(Step::End, after(start, 10));
        assert!(!switch.answers() && switch.is_in_use());
        assert_eq!(switch.next(after(start, 129), Want::Never), Step::Stay);
        assert_eq!(switch.next(after(start, 129), Want::On), Step::Resume);
        assert_eq!(switch.next(after(start, 130), Want::Off), Step::Restore);
        assert!(!switch.done(Step::Restore, start).is_in_use());
    }

    /// A reading: acknowledgements, the bits of their sources in a generation, and connections.
    type Reading = (u64, u64, u64);

    fn port((accepted, sources, completed): Reading) -> CookiePort {
        CookiePort {
            accepted,
            completed,
            sources,
            ..CookiePort::default()
        }
    }

    /// Readings a second apart; whether the port is found lifeless at each.
    fn verdicts(readings: &[Reading]) -> Vec<bool> {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        let each = readings.iter().zip(0..);
        each.map(|(reading, second)| {
            let dead = life.observe(after(start, second), &[(443, port(*reading))], true);
            dead == [443]
        })
        .collect()
    }

    #[test]
    fn a_port_of_which_no_connection_comes_is_found_within_two_seconds() {
        assert_eq!(
            verdicts(&[(3, 0b111, 0), (9, 0b11_1111, 0), (12, 0b111_1111, 0)]),
            [false, false, true],
            "what came before the first reading does not count"
        );
    }

    #[test]
    fn connections_that_come_a_little_later_are_life() {
        let readings = [
            (0, 0, 0),
            (9, 0xff, 0),
            (20, 0xfff, 8),
            (30, 0xfff, 8),
            (40, 0xffff, 20),
            (40, 0xffff, 20),
            (40, 0xffff, 20),
        ];
        assert!(verdicts(&readings).iter().all(|dead| !dead));
    }

    #[test]
    fn a_port_that_nobody_talks_to_is_not_lifeless() {
        assert!(verdicts(&[(7, 7, 7); 10]).iter().all(|dead| !dead));
    }

    #[test]
    fn sources_that_a_rule_blocks_are_no_case() {
        // One that tries again and again, in a generation each time, and another now and then.
        let again = |second: u64| (second * 5, (second / 4) << 48 | 1, 0);
        let one: Vec<Reading> = (0..60).map(again).collect();
        assert!(verdicts(&one).iter().all(|dead| !dead));
        let others = |second: u64| (second, (second / 4) << 48 | 1 << (second / 12), 0);
        let apart: Vec<Reading> = (0..120).map(others).collect();
        assert!(verdicts(&apart).iter().all(|dead| !dead));
    }

    #[test]
    fn a_port_is_off_for_longer_each_time_until_cookies_work_there() {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        let pauses = [(); 8].map(|()| life.fail(443).as_secs());
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(life.fail(80).as_secs(), 60);
        life.rest();
        for (second, reading) in [(0, (0, 0, 7)), (1, (0, 0, 8))] {
            life.observe(after(start, second), &[(443, port(reading))], true);
        }
        assert_eq!(life.fail(443).as_secs(), 3_600, "without a cookie");
        life.observe(after(start, 2), &[(443, port((1, 1, 9)))], true);
        assert_eq!(life.fail(443).as_secs(), 60);
    }

    #[test]
    fn where_not_every_process_is_seen_a_port_must_have_lived_to_die() {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        let mut dead = |second, completed| {
            let reading = port((second * 9, (1_u64 << (second * 4)) - 1, completed));
            let dead = life.observe(after(start, second), &[(443, reading)], false);
            (dead.len(), life.unseen().len())
        };
        let unseen = [0, 1, 2, 3].map(|second| dead(second, 0));
        assert_eq!(unseen, [(0, 0), (0, 1), (0, 1), (0, 1)]);
        let seen = [4, 5, 6].map(|second| dead(second, 1));
        assert_eq!(seen, [(0, 0), (0, 0), (1, 0)]);
    }

    #[test]
    fn ports_that_are_not_read_any_more_are_forgotten() {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        life.observe(start, &[(80, port((0, 0, 0)))], true);
        life.observe(after(start, 1), &[(80, port((9, 7, 0)))], true);
        life.observe(after(start, 2), &[], true);
        assert!(
            life.observe(after(start, 3), &[(80, port((20, 0xf, 0)))], true)
                .is_empty()
        );
    }

    #[test]
    fn the_blame_names_what_was_found() {
        assert!(blame(true, false).starts_with("nf_conntrack_tcp_loose is 0"));
        assert!(blame(false, true).starts_with("the port is translated"));
        assert!(blame(false, false).starts_with("a rule of the host's firewall"));
    }
}
