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
/// So many acknowledgements make a case: one may have been lost on its way up.
const CASE: u64 = 3;

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
}

#[derive(Clone, Copy, Debug)]
struct Port {
    last: CookiePort,
    /// Acknowledgements since the last connection.
    owed: u64,
    /// When the first of these was seen.
    since: Option<Instant>,
}

impl Life {
    /// Takes readings of the ports that are answered for; others are forgotten. Gives those of which
    /// no connection comes.
    pub fn observe(&mut self, now: Instant, readings: &[(u16, CookiePort)]) -> Vec<u16> {
        self.ports
            .retain(|port, _| readings.iter().any(|(other, _)| other == port));
        let mut lifeless = Vec::new();
        for (number, reading) in readings {
            let port = self.ports.entry(*number).or_insert(Port {
                last: *reading,
                owed: 0,
                since: None,
            });
            if port.is_lifeless(now, *reading) {
                lifeless.push(*number);
            }
        }
        lifeless
    }
}

impl Port {
    fn is_lifeless(&mut self, now: Instant, reading: CookiePort) -> bool {
        let accepted = reading.accepted.saturating_sub(self.last.accepted);
        let has_completed = reading.completed != self.last.completed;
        self.last = reading;
        if has_completed {
            self.owed = 0;
            self.since = None;
            return false;
        }
        self.owed = self.owed.saturating_add(accepted);
        if accepted > 0 {
            self.since.get_or_insert(now);
        }
        let waited = self.since.map(|since| now.saturating_duration_since(since));
        self.owed >= CASE && waited.is_some_and(|waited| waited >= LIFELESS)
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

    /// Readings a second apart; whether the port is found lifeless at each.
    fn verdicts(readings: &[(u64, u64)]) -> Vec<bool> {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        let each = readings.iter().zip(0..);
        each.map(|((accepted, completed), second)| {
            let reading = CookiePort {
                accepted: *accepted,
                completed: *completed,
                ..CookiePort::default()
            };
            let dead = life.observe(after(start, second), &[(443, reading)]);
            dead == [443]
        })
        .collect()
    }

    #[test]
    fn a_port_of_which_no_connection_comes_is_found_within_two_seconds() {
        assert_eq!(
            verdicts(&[(5, 0), (9, 0), (12, 0)]),
            [false, false, true],
            "what came before the first reading does not count"
        );
    }

    #[test]
    fn connections_that_come_a_little_later_are_life() {
        let readings = [
            (0, 0),
            (9, 0),
            (20, 8),
            (30, 8),
            (40, 20),
            (40, 20),
            (40, 20),
        ];
        assert!(verdicts(&readings).iter().all(|dead| !dead));
    }

    #[test]
    fn a_port_that_nobody_talks_to_is_not_lifeless() {
        assert!(verdicts(&[(7, 7); 10]).iter().all(|dead| !dead));
        let lost = [(0, 0), (1, 0), (2, 0), (2, 0), (2, 0)];
        assert!(verdicts(&lost).iter().all(|dead| !dead), "two may get lost");
    }

    #[test]
    fn ports_that_are_not_read_any_more_are_forgotten() {
        let start = crate::clock::monotonic();
        let mut life = Life::default();
        let reading = |accepted| CookiePort {
            accepted,
            ..CookiePort::default()
        };
        life.observe(start, &[(80, reading(0))]);
        life.observe(after(start, 1), &[(80, reading(9))]);
        life.observe(after(start, 2), &[]);
        assert!(
            life.observe(after(start, 3), &[(80, reading(20))])
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
