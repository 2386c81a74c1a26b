//! What can be changed from the screen: what it is called, what it does, and until when.

use std::time::Duration;

use hyper::Method;
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    super::{client::Client, exit::Failure},
    texts,
};
use crate::{
    api::types::{Action, AddEntries, Mode, Outcome, SetMode, Stats, Status},
    clock,
    config::units::format_duration,
    render::{self, number},
};

/// How long bans last; the command's own default.
const BAN: Duration = Duration::from_mins(10);
/// How long an address is allowed: nobody remembers in the morning what was allowed at night.
const ALLOW: Duration = Duration::from_hours(1);
/// Why, as lists and journal show it.
const REASON: &str = "from floodwall top";

/// A change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Ban { source: IpNet, may_be_forged: bool },
    Allow { source: IpNet, may_be_forged: bool },
    Mode(Mode),
}

impl Change {
    /// In a few words.
    pub fn title(&self) -> String {
        match self {
            Self::Ban { source, .. } => format!("Ban {}", texts::source(source)),
            Self::Allow { source, .. } => format!("Allow {}", texts::source(source)),
            Self::Mode(Mode::Monitor) => "Switch to MONITOR".to_owned(),
            Self::Mode(Mode::Enforce) => "Switch to ENFORCE".to_owned(),
        }
    }

    /// What will happen, and until when: a sentence each.
    pub fn consequences(&self, status: &Status, stats: &Stats, now: Timestamp) -> Vec<String> {
        let lasts = |duration: Duration| {
            let until = render::until(clock::end(now, duration));
            format!("for {}, until {until}", format_duration(duration))
        };
        match self {
            Self::Ban {
                source,
                may_be_forged,
            } => {
                let source = texts::source(source);
                let enforced = status
                    .reasons
                    .get("banned")
                    .is_some_and(|reason| reason.enforced);
                let mut all = vec![if enforced {
                    format!("Every packet from {source} is dropped {}.", lasts(BAN))
                } else {
                    format!(
                        "{source} is banned {}. Its packets are counted and still pass: the mode \
                         does not enforce bans.",
                        lasts(BAN)
                    )
                }];
                if *may_be_forged {
                    all.push(
                        "It never proved its address, which MAY BE FORGED: then the ban hits whom \
                         it really belongs to."
                            .to_owned(),
                    );
                }
                all
            }
            Self::Allow {
                source,
                may_be_forged,
            } => {
                let source = texts::source(source);
                let mut all = vec![format!(
                    "{source} is allowed {}: until then it is not blocked, banned or limited as a \
                     source.",
                    lasts(ALLOW)
                )];
                if *may_be_forged {
                    all.push(
                        "It never proved its address, which MAY BE FORGED: then whoever forges it \
                         gets through."
                            .to_owned(),
                    );
                }
                all
            }
            Self::Mode(Mode::Monitor) => vec![
                format!(
                    "NOTHING IS DROPPED ANY MORE, whatever comes: {} that are stopped now go to \
                     the stack.",
                    number::rate(stats.rates.dropped + stats.rates.answered)
                ),
                UNTIL_CHANGED.to_owned(),
            ],
            Self::Mode(Mode::Enforce) => {
                let reasons = status.reasons.values();
                let reasons = reasons.filter(|it| it.action != Action::Pass).count();
                vec![
                    format!(
                        "What floodwall finds IS DROPPED, for all {reasons} reasons: of what comes \
                         now, {} more.",
                        number::rate(stats.rates.would_drop)
                    ),
                    UNTIL_CHANGED.to_owned(),
                ]
            }
        }
    }

    /// Has the daemon do it.
    pub fn send(self, client: Client) -> Result<Outcome, Failure> {
        let add = |source: IpNet, duration| AddEntries {
            prefixes: vec![source.to_string()],
            duration: Some(format_duration(duration)),
            reason: REASON.to_owned(),
            dry_run: false,
            force: false,
            confirm: None,
        };
        match self {
            Self::Ban { source, .. } => client.send(Method::POST, "/v1/ban", &add(source, BAN)),
            Self::Allow { source, .. } => {
                client.send(Method::POST, "/v1/allow", &add(source, ALLOW))
            }
            Self::Mode(mode) => {
                let body = SetMode {
                    mode,
                    reasons: Vec::new(),
                    duration: None,
                    confirm: None,
                };
                let client = match mode {
                    Mode::Enforce => client,
                    Mode::Monitor => client.urgent(),
                };
                client.send(Method::PUT, "/v1/mode", &body)
            }
        }
    }
}

const UNTIL_CHANGED: &str =
    "It has no end: it lasts, over restarts too, until somebody changes the mode again.";
