//! What would happen to a packet, and because of what.

use std::net::IpAddr;

use filter_common::{
    abi::{
        lifeline::{Lifelines, SessionKey},
        reason::{Action, Reason},
        settings::{Class, Settings},
    },
    logic::{address::Address, packet::protocol, sanity},
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    decide::{ending, limit_name},
    lists,
    settings::{self, is_enforced},
    state::State,
};
use crate::{
    api::types::{self, Entry, ListKind, SCHEMA, Why},
    config::Config,
    stats::reasons,
};

/// What the answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The moment.
    pub now: Timestamp,
    /// What operators changed.
    pub state: &'a State,
    /// The file.
    pub config: &'a Config,
    /// What the kernel has.
    pub settings: &'a Settings,
    /// The lifelines that the kernel has.
    pub lifelines: &'a Lifelines,
    /// Administrators' sessions that the kernel has, as peer and local port.
    pub sessions: &'a [super::facts::Session],
}

/// A packet that is asked about: whole, of no particular content.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The source.
    pub address: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: Option<u16>,
}

/// Answers, in the order of the packet's way.
pub fn why(situation: Situation<'_>, question: Question) -> Why {
    let now = situation.now;
    let prefix = IpNet::from(question.address);
    let mut allow = situation.state.list(ListKind::Allow).covering(prefix, now);
    let mut block = situation.state.list(ListKind::Block).covering(prefix, now);
    let (reason, because) = if sanity::is_martian(&Address::from(question.address)) {
        (
            Reason::MartianSource,
            "no host can have this address".to_owned(),
        )
    } else if let Some(lifeline) = lifeline(situation, question) {
        (Reason::Lifeline, lifeline)
    } else if let Some(entry) = allow.first() {
        (Reason::Allowed, because(entry, "allowlist"))
    } else if let Some(entry) = block.first() {
        (Reason::Blocked, because(entry, "blocklist"))
    } else {
        (Reason::Clean, "no entry covers it".to_owned())
    };
    allow.append(&mut block);

    let enforced = match reason.action() {
        Action::Pass => true,
        Action::Drop => is_enforced(situation.settings, reason),
    };
    let fate = match (reason.action(), enforced) {
        (Action::Pass, _) => "passes",
        (Action::Drop, true) => "is dropped",
        (Action::Drop, false) => "passes, because the reason is only watched; it would be dropped",
    };
    Why {
        schema: SCHEMA,
        address: question.address,
        action: match reason.action() {
            Action::Drop if enforced => types::Action::Drop,
            Action::Drop | Action::Pass => types::Action::Pass,
        },
        reason: reasons::name(reason).to_owned(),
        enforced,
        sentence: format!("A packet from {} {fate}: {because}.", question.address),
        entries: allow,
        limits: limits(situation, question, reason),
    }
}

fn because(entry: &Entry, list: &str) -> String {
    let reason = match entry.reason.as_str() {
        "" => String::new(),
        reason => format!(", \"{reason}\""),
    };
    let origin = match entry.list.as_str() {
        lists::MANUAL => String::new(),
        name => format!(" in the imported list {name}"),
    };
    format!(
        "{} is on the {list}{origin} since {}{}, by {}{reason}",
        entry.prefix,
        super::decide::seconds(entry.since),
        ending(entry.until),
        entry.by,
    )
}

fn lifeline(situation: Situation<'_>, question: Question) -> Option<String> {
    let port = question.port?;
    let address = Address::from(question.address);
    let has_session = question.protocol == protocol::TCP
        && situation
            .sessions
            .iter()
            .any(|session| session.peer.ip() == question.address && session.local_port == port);
    if has_session {
        return Some(format!(
            "an administrator's session from there to port {port} is open, and its packets never \
             are cut off"
        ));
    }
    let rules = situation
        .lifelines
        .rules
        .iter()
        .take(situation.lifelines.count as usize);
    let mut matching = rules.filter(|rule| rule.matches(&address, question.protocol, port, true));
    matching.next().map(|_| {
        format!("port {port} is a lifeline for it, up to a ceiling for new connections or packets")
    })
}

/// The key of a session in the kernel's set.
pub fn session_key(session: &super::facts::Session) -> SessionKey {
    SessionKey::new(
        &Address::from(session.peer.ip()),
        session.peer.port(),
        session.local_port,
    )
}

fn limits(situation: Situation<'_>, question: Question, reason: Reason) -> Vec<String> {
    if reason != Reason::Clean {
        return vec!["limits are not reached: the verdict falls before them".to_owned()];
    }
    let own = match question.protocol {
        protocol::TCP => Some(Class::Syn),
        protocol::UDP => Some(Class::Udp),
        protocol::ICMP | protocol::ICMPV6 => Some(Class::Icmp),
        _ => None,
    };
    [Some(Class::All), own]
        .into_iter()
        .flatten()
        .map(|class| {
            let limit = settings::limit(situation.config, situation.state, class);
            match limit.rate {
                None => format!("{} is off", limit_name(class)),
                Some(rate) if limit.always => format!("{} holds: {rate}", limit_name(class)),
                Some(rate) => format!(
                    "{} holds while the CPU receives more than {}: {rate}",
                    limit_name(class),
                    situation
                        .config
                        .limits
                        .pressure
                        .map_or_else(|| "0/s".to_owned(), |rate| rate.to_string()),
                ),
            }
        })
        .collect()
}
