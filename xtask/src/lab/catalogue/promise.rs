//! What each row of the catalogue promises.

use super::{
    super::{attack::Attack, people},
    Measured, Setup, site,
};

/// The share of a flood that must not reach the stack.
const STOPPED: f64 = 0.995;
/// The share of everybody's requests that must be answered.
const SERVED: f64 = 0.999;
/// The share of the partner's requests in whose name others forge.
const PARTNER_SERVED: f64 = 0.99;
/// The row of the forged partner.
pub const PARTNER: u8 = 23;

/// Who asks the attacked name server.
const DNS: &str = "DNS in";

/// What must be so while an attack lasts, counted and not timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    /// The flood does not reach the stack, and nobody notices.
    Stopped,
    /// No more of the flood reaches the stack than a limit lets through, and nobody notices but those
    /// who do the same in earnest.
    Limited {
        /// Packets a second.
        rate: f64,
        /// Who they are.
        attacked: &'static str,
    },
    /// Nobody notices but whoever wants the very service that is attacked.
    Held {
        /// Who may notice.
        attacked: &'static str,
    },
    /// Nobody notices, and fewer connections of bots are accepted than they ask for.
    Refused,
    /// The partner in whose name is forged has connections.
    PartnerServed,
    /// Nothing is dropped.
    Untouched,
}

impl Promise {
    /// What an attack's row promises; of the same over IPv6 or in tags, what it promises over IPv4.
    pub fn of(attack: &Attack, setup: Setup) -> Self {
        let limit = match setup {
            Setup::Default => site::LOWERED,
            Setup::Defended => site::LIMIT,
        };
        match (attack.base_row, attack.base) {
            // Fragments without the others are limited: what they belong to cannot be known.
            (_, "udp-frag" | "v6-atomic-fragments") => Self::Held { attacked: "nobody" },
            // Who forges more SYNs than one prefix is answered takes its answers.
            (_, "partner-syn") => Self::Held {
                attacked: people::PARTNER,
            },
            (7, _) => Self::Refused,
            (9 | 18, _) | (_, "amp-unlisted") => Self::Held { attacked: "game" },
            (12, _) => Self::Held { attacked: DNS },
            (13 | 15, _) => Self::Limited {
                rate: limit,
                attacked: "ping",
            },
            (PARTNER, _) => Self::PartnerServed,
            (25, _) => Self::Untouched,
            (_, _) => Self::Stopped,
        }
    }

    /// Whether 95 % have to be stopped within a second: not of real connections, of questions for names
    /// that might exist, nor of a crowd.
    pub fn is_in_time(self) -> bool {
        match self {
            Self::Stopped | Self::Limited { .. } | Self::PartnerServed => true,
            Self::Held { attacked } => attacked != DNS,
            Self::Refused | Self::Untouched => false,
        }
    }

    /// What of it was not kept, in words.
    pub fn broken(self, measured: &Measured) -> Vec<String> {
        let mut broken = Vec::new();
        let mut need = |share: f64, least: f64, what: &str| {
            if share < least {
                let (share, least) = (share * 100.0, least * 100.0);
                broken.push(format!("{what}: {share:.3} %, and it should be {least} %"));
            }
        };
        let of_others = |attacked: &str| measured.heard(|who| !who.starts_with(attacked)).success();
        match self {
            Self::Stopped => {
                need(measured.stopped(), STOPPED, "stopped before the stack");
                need(measured.success(), SERVED, "requests answered");
            }
            Self::Limited { rate, attacked } => {
                // A limit has a burst of a second, and holds to a tenth.
                let allowed = rate * 1.1 * (measured.time.as_secs_f64() + 1.0);
                if measured.passed as f64 > allowed {
                    need(measured.stopped(), STOPPED, "stopped before the stack");
                }
                need(of_others(attacked), SERVED, "requests of others answered");
            }
            Self::Held { attacked } => {
                need(of_others(attacked), SERVED, "requests of others answered");
            }
            Self::Refused => {
                need(measured.success(), SERVED, "requests answered");
                let refused = 1.0 - measured.strangers as f64 / measured.sent.max(1) as f64;
                need(refused, 0.5, "bots refused");
            }
            Self::PartnerServed => {
                let partner = measured.heard(|who| who == people::PARTNER);
                need(
                    partner.success(),
                    PARTNER_SERVED,
                    "the partner's requests answered",
                );
                // Echo requests are among what is sent, and limited.
                let others = |who: &str| who != people::PARTNER && !who.starts_with("ping");
                let others = measured.heard(others).success();
                need(others, SERVED, "requests of others answered");
            }
            Self::Untouched => {
                need(measured.success(), SERVED, "requests answered");
                if measured.dropped > 0 {
                    broken.push(format!(
                        "{} packets of visitors were dropped",
                        measured.dropped
                    ));
                }
            }
        }
        if !broken.is_empty() {
            broken.extend(measured.sufferers());
            broken.push(format!(
                "of {} that arrived, {} reached the stack; reasons: {}",
                measured.arrived,
                measured.passed,
                measured.reasons()
            ));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::super::people::Report, *};

    /// A flood of 100,000 of which so many passed, and who asked how often and how often in vain.
    fn measured(passed: u64, people: &[(&'static str, u64, u64)]) -> Measured {
        let reports = people.iter().map(|(who, answered, failed)| {
            let mut report = Report {
                who,
                heard: Default::default(),
            };
            (0..*answered).for_each(|_| report.heard.note(true, Duration::ZERO));
            (0..*failed).for_each(|_| report.heard.note(false, Duration::ZERO));
            report
        });
        Measured {
            time: Duration::from_secs(1),
            sent: 100_000,
            arrived: 100_000,
            passed,
            reports: reports.collect(),
            ..Measured::default()
        }
    }

    #[track_caller]
    fn is_kept(promise: Promise, is_kept: bool, measured: &Measured) {
        let broken = promise.broken(measured);
        assert_eq!(broken.is_empty(), is_kept, "{promise:?}: {broken:?}");
    }

    #[test]
    fn a_flood_that_reaches_the_stack_or_is_noticed_breaks_a_promise() {
        let people = [(people::WEB, 1999, 1), ("ping in", 10, 0)];
        is_kept(Promise::Stopped, true, &measured(500, &people));
        is_kept(Promise::Stopped, false, &measured(501, &people));
        let two = [(people::WEB, 1500, 2)];
        is_kept(Promise::Stopped, false, &measured(0, &two));
        let nothing_came = Measured {
            arrived: 0,
            ..measured(0, &people)
        };
        is_kept(Promise::Stopped, false, &nothing_came);
    }

    #[test]
    fn who_does_the_same_in_earnest_may_notice_and_nobody_else() {
        let limited = Promise::Limited {
            rate: 1000.0,
            attacked: "ping",
        };
        let pings = [(people::WEB, 1000, 0), ("ping in", 0, 10)];
        is_kept(limited, true, &measured(2200, &pings));
        is_kept(limited, false, &measured(2300, &pings));
        let held = Promise::Held { attacked: "game" };
        let game = [(people::WEB, 1000, 0), ("game", 0, 10)];
        is_kept(held, true, &measured(90_000, &game));
        is_kept(held, false, &measured(0, &pings));
        is_kept(limited, false, &measured(0, &game));
    }

    #[test]
    fn bots_a_partner_and_a_crowd_have_promises_of_their_own() {
        let web = [(people::WEB, 1000, 0)];
        for (strangers, kept) in [(50_000, true), (51_000, false)] {
            let measured = Measured {
                strangers,
                ..measured(0, &web)
            };
            is_kept(Promise::Refused, kept, &measured);
        }
        for (failed, kept) in [(1, true), (2, false)] {
            let people = [
                (people::WEB, 1000, 0),
                (people::PARTNER, 150 - failed, failed),
            ];
            is_kept(Promise::PartnerServed, kept, &measured(0, &people));
        }
        is_kept(Promise::Untouched, true, &measured(0, &web));
        let dropped = Measured {
            dropped: 1,
            ..measured(0, &web)
        };
        is_kept(Promise::Untouched, false, &dropped);
    }
}
