//! What would happen to a packet, and because of what.

use std::net::IpAddr;

use filter_common::{
    abi::{
        defence::{Defence, ProtocolPolicy},
        lifeline::{Lifelines, SessionKey},
        reason::{Action, Reason},
        settings::{Class, Settings},
    },
    logic::{address::Address, packet::protocol, sanity},
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    decide::ending,
    lists, rules,
    settings::{self, LimitInForce, is_enforced},
    state::State,
};
use crate::{
    api::types::{self, Entry, ListKind, SCHEMA, Why},
    config::{
        Config,
        limit::{LimitName, Measure},
        protocols,
    },
    rules::{
        question::{Answer, Known},
        rule,
    },
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

/// Answers, in the order of the packet's way and by the kernel's rule: a reason that is only watched
/// is noted, and the packet goes on.
pub fn why(situation: Situation<'_>, question: Question) -> Why {
    let now = situation.now;
    let prefix = IpNet::from(question.address);
    let entries: Vec<Entry> = [ListKind::Allow, ListKind::Ban, ListKind::Block]
        .into_iter()
        .flat_map(|kind| situation.state.covering(kind, prefix, now))
        .collect();
    let first = |reason: Reason, is: fn(&Entry) -> bool| {
        let entry = entries.iter().find(|entry| is(entry))?;
        Some((reason, because(entry)))
    };
    let rules = rules(situation, question);
    let allowed = first(Reason::Allowed, |entry| entry.kind == ListKind::Allow);
    let policy = policy(situation, question);
    let found = [
        martian(question),
        lifeline(situation, question),
        // The policy of its protocol holds for the allowed, too.
        policy.clone().filter(|_| allowed.is_some()),
        allowed,
        first(Reason::Banned, |entry| entry.kind == ListKind::Ban),
        first(Reason::Blocked, |entry| {
            entry.kind == ListKind::Block && entry.list == lists::MANUAL
        }),
        listed(situation.state, &entries),
        rules.verdict,
        policy,
    ];

    let verdict = judge(situation.settings, found.into_iter().flatten());
    Why {
        schema: SCHEMA,
        address: question.address,
        action: match verdict.reason.action() {
            Action::Drop if verdict.enforced => types::Action::Drop,
            Action::Answer if verdict.enforced => types::Action::Answer,
            Action::Drop | Action::Answer | Action::Pass => types::Action::Pass,
        },
        reason: reasons::name(verdict.reason).to_owned(),
        enforced: verdict.enforced,
        sentence: verdict.sentence(question.address),
        entries,
        rules: if reaches_rules(&verdict) {
            rules.notes
        } else {
            Vec::new()
        },
        limits: limits(situation, question, verdict.reason),
        defences: Vec::new(),
    }
}

/// Whether a packet is asked about rules, too: only what is enforced keeps it from them.
const fn reaches_rules(verdict: &Verdict) -> bool {
    !verdict.enforced
        || matches!(
            verdict.reason,
            Reason::Clean | Reason::RuleDrop | Reason::RulePass | Reason::ProtocolDrop
        )
}

/// The list that counts a member of several: that with the lowest number.
fn listed(state: &State, entries: &[Entry]) -> Option<(Reason, String)> {
    let imports = &state.list(ListKind::Block).imports;
    let number = |entry: &Entry| imports.get(&entry.list).and_then(|list| list.number);
    let listed = entries
        .iter()
        .filter(|entry| entry.kind == ListKind::Block && entry.list != lists::MANUAL);
    let entry = listed.min_by_key(|entry| number(entry))?;
    Some((Reason::Listed, because(entry)))
}

/// What becomes of a packet.
struct Verdict {
    reason: Reason,
    because: String,
    enforced: bool,
}

/// The first reason that decides; if none does, the first that was watched.
fn judge(settings: &Settings, found: impl Iterator<Item = (Reason, String)>) -> Verdict {
    let mut watched = None;
    for (reason, because) in found {
        let enforced = match reason.action() {
            Action::Pass => true,
            Action::Drop | Action::Answer if settings.unchecked & reason.bit() != 0 => continue,
            Action::Drop | Action::Answer => is_enforced(settings, reason),
        };
        let verdict = Verdict {
            reason,
            because,
            enforced,
        };
        if enforced {
            return verdict;
        }
        watched.get_or_insert(verdict);
    }
    watched.unwrap_or_else(|| Verdict {
        reason: Reason::Clean,
        because: "no entry covers it".to_owned(),
        enforced: true,
    })
}

impl Verdict {
    fn sentence(&self, address: IpAddr) -> String {
        let fate = match (self.reason.action(), self.enforced) {
            (Action::Pass, _) => "passes",
            (Action::Drop, true) => "is dropped",
            (Action::Answer, true) => "is answered with a cookie",
            (Action::Drop | Action::Answer, false) => {
                "passes, because the reason is only watched; it would be dropped"
            }
        };
        format!("A packet from {address} {fate}: {}.", self.because)
    }
}

/// What rules say: the first that decides whatever else the packet is, and a sentence for each
/// before it that may.
struct OfRules {
    verdict: Option<(Reason, String)>,
    notes: Vec<String>,
}

fn rules(situation: Situation<'_>, question: Question) -> OfRules {
    let known = Known {
        source: question.address,
        protocol: question.protocol,
        source_port: None,
        destination_port: question.port,
    };
    let mut notes = Vec::new();
    for listed in rules::all(situation.config, situation.state) {
        if listed.until().is_some_and(|until| until <= situation.now) {
            continue;
        }
        let condition = match listed.rule.matches.ask(known) {
            Answer::No => continue,
            Answer::Yes => None,
            Answer::If(more) => Some(more),
        };
        let name = format!("rule {} ({})", listed.id, listed.rule);
        let verb = match (listed.rule.action, listed.rule.shadow) {
            (rule::Action::Drop, false) => "drops it",
            (rule::Action::Pass, false) => "passes it, except for ceilings of services",
            (rule::Action::Limit { .. }, false) => "drops it above its rate",
            (rule::Action::Drop, true) => "counts it as one it would drop",
            (rule::Action::Pass, true) => "counts it as one it would pass",
            (rule::Action::Limit { .. }, true) => "counts it above its rate",
        };
        let reason = reasons::of_action(listed.rule.action);
        match condition {
            Some(more) => notes.push(format!("{name} {verb}, if it matches `{more}` too")),
            None if reason != Reason::RuleLimit && !listed.rule.shadow => {
                return OfRules {
                    verdict: Some((reason, format!("{name} {verb}{}", ending(listed.until())))),
                    notes,
                };
            }
            None => notes.push(format!("{name} {verb}")),
        }
    }
    OfRules {
        verdict: None,
        notes,
    }
}

/// What drops every packet of its protocol.
fn policy(situation: Situation<'_>, question: Question) -> Option<(Reason, String)> {
    let policy = situation.config.protocols.of(question.protocol);
    let has_policy = own_class(question.protocol).is_none();
    (has_policy && policy == ProtocolPolicy::Drop).then(|| {
        let name = protocols::Named(question.protocol);
        let text = format!("[protocols] says to drop {name}");
        (Reason::ProtocolDrop, text)
    })
}

/// The class of its own that a protocol is limited in.
const fn own_class(number: u8) -> Option<Class> {
    match number {
        protocol::TCP => Some(Class::Syn),
        protocol::UDP => Some(Class::Udp),
        protocol::ICMP | protocol::ICMPV6 => Some(Class::Icmp),
        _ => None,
    }
}

fn martian(question: Question) -> Option<(Reason, String)> {
    sanity::is_martian(&Address::from(question.address)).then(|| {
        (
            Reason::MartianSource,
            "no host can have this address".to_owned(),
        )
    })
}

fn because(entry: &Entry) -> String {
    let reason = match entry.reason.as_str() {
        "" => String::new(),
        reason => format!(", \"{reason}\""),
    };
    let origin = match entry.list.as_str() {
        lists::MANUAL => String::new(),
        name => format!(" in the imported list {name}"),
    };
    format!(
        "{} is on the {}{origin} since {}{}, by {}{reason}",
        entry.prefix,
        entry.kind,
        super::decide::seconds(entry.since),
        ending(entry.until),
        entry.by,
    )
}

/// What keeps every packet of the question, not only one that opens a connection.
fn lifeline(situation: Situation<'_>, question: Question) -> Option<(Reason, String)> {
    let port = question.port?;
    let has_session = question.protocol == protocol::TCP
        && situation
            .sessions
            .iter()
            .any(|session| session.peer.ip() == question.address && session.local_port == port);
    if has_session {
        let text = format!(
            "an administrator's session from there to port {port} is open, and its packets never \
             are cut off"
        );
        return Some((Reason::Lifeline, text));
    }
    // TCP packets of a known connection open nothing; datagrams all may.
    let opening = question.protocol != protocol::TCP;
    matches(situation, question, port, opening).then(|| {
        let text = format!("port {port} is a lifeline for it, up to a ceiling");
        (Reason::Lifeline, text)
    })
}

fn matches(situation: Situation<'_>, question: Question, port: u16, opening: bool) -> bool {
    let address = Address::from(question.address);
    let rules = &situation.lifelines.rules;
    rules
        .iter()
        .take(situation.lifelines.count as usize)
        .any(|rule| rule.matches(&address, question.protocol, port, opening))
}

/// The key of a session in the kernel's set.
pub fn session_key(session: &super::facts::Session) -> SessionKey {
    SessionKey::new(
        &Address::from(session.peer.ip()),
        session.peer.port(),
        session.local_port,
    )
}

/// What the limits say, and whether opening a connection is a matter of its own. What is allowed or
/// passed by a rule is spared limits of sources, but not services' ceilings.
fn limits(situation: Situation<'_>, question: Question, reason: Reason) -> Vec<String> {
    let opens = question
        .port
        .filter(|port| reason != Reason::Lifeline && matches(situation, question, *port, true));
    let opening = opens.map(|port| {
        format!(
            "a packet that opens a connection to port {port} passes all the same, up to the rate \
             reserved for that"
        )
    });
    let is_spared = matches!(reason, Reason::Allowed | Reason::RulePass);
    let rest = if is_spared {
        let shared = shared(situation, question).filter(|_| reason == Reason::Allowed);
        let mut ceilings: Vec<String> = shared
            .into_iter()
            .chain(services(situation, question))
            .collect();
        if ceilings.is_empty() {
            ceilings.push("it is spared limits, and belongs to no service".to_owned());
        }
        ceilings
    } else if reason == Reason::Clean {
        let own = own_class(question.protocol);
        let classes = [Some(Class::All), own, Some(Class::Bytes)];
        let classes = classes.into_iter().flatten();
        // Those per prefix are said where there are any.
        let prefixes = classes.clone().map(LimitName::Prefix);
        let prefixes = prefixes.filter(|name| in_force(situation, name).rate.is_some());
        classes
            .map(LimitName::Source)
            .chain(prefixes)
            .map(|name| limit(situation, &name))
            .chain(shared(situation, question))
            .chain(services(situation, question))
            .collect()
    } else {
        vec!["limits are not reached: the verdict falls before them".to_owned()]
    };
    opening.into_iter().chain(rest).collect()
}

/// The limit that all sources of its protocol share: echo stands for ICMP.
fn shared(situation: Situation<'_>, question: Question) -> Option<String> {
    let (name, defence) = match own_class(question.protocol) {
        Some(Class::Icmp) => (LimitName::IcmpEcho, Defence::Icmp),
        Some(Class::All | Class::Syn | Class::Udp | Class::Bytes) => return None,
        None => (LimitName::Protocols, Defence::Protocols),
    };
    let policy = situation.config.protocols.of(question.protocol);
    let settings = situation.settings;
    let when = match policy {
        ProtocolPolicy::Limit if defence == Defence::Protocols => "holds",
        ProtocolPolicy::Pass | ProtocolPolicy::Drop if defence == Defence::Protocols => {
            return None;
        }
        ProtocolPolicy::Default
        | ProtocolPolicy::Pass
        | ProtocolPolicy::Limit
        | ProtocolPolicy::Drop => match (settings.defences_always, settings.defences_pressed) {
            (always, _) if always & defence.bit() != 0 => "holds",
            (_, pressed) if pressed & defence.bit() != 0 => "holds under pressure",
            _ => return None,
        },
    };
    let rate = in_force(situation, &name).rate?;
    Some(format!("{name} {when}, for all sources together: {rate}"))
}

fn in_force(situation: Situation<'_>, name: &LimitName) -> LimitInForce {
    settings::limit(situation.config, situation.state, name)
}

fn limit(situation: Situation<'_>, name: &LimitName) -> String {
    let limit = in_force(situation, name);
    match (limit.rate, situation.config.limits.pressure) {
        (None, _) => format!("{name} is off"),
        (Some(rate), Some(floor)) if !limit.always => {
            format!("{name} holds while the CPU receives more than {floor}: {rate}")
        }
        (Some(rate), _) => format!("{name} holds: {rate}"),
    }
}

/// The services that the packet belongs to, if it goes to one of their addresses.
fn services(situation: Situation<'_>, question: Question) -> impl Iterator<Item = String> {
    let services = situation.config.services.iter();
    let reached = services.filter(move |service| {
        let port = service.matches.port;
        let is_family = |prefix: &IpNet| prefix.addr().is_ipv4() == question.address.is_ipv4();
        service.matches.protocol == question.protocol
            && (port.is_none() || question.port.is_none() || port == question.port)
            && service.matches.to.iter().any(is_family)
    });
    reached.map(move |service| {
        let ceiling = |measure| {
            let name = LimitName::Service(service.name.clone(), measure);
            in_force(situation, &name).rate.map(|rate| rate.to_string())
        };
        let ceilings = [Measure::Packets, Measure::Bytes].map(ceiling);
        let ceilings: Vec<String> = ceilings.into_iter().flatten().collect();
        let to: Vec<String> = service.matches.to.iter().map(ToString::to_string).collect();
        let shared = match ceilings.as_slice() {
            [] => "which has no ceiling".to_owned(),
            some => format!("whose sources share {}", some.join(" and ")),
        };
        format!(
            "to {} it belongs to the service {}, {shared}",
            to.join(", "),
            service.name
        )
    })
}

#[cfg(test)]
mod tests {
    use filter_common::{abi::lifeline::LifelineRule, logic::bucket::Limit};

    use super::*;
    use crate::core::{lists::Note, state::Change};

    /// What is said of a TCP packet to port 22, where that is a lifeline for new connections.
    fn ask(address: &str, blocked: &str, settings: Settings) -> Why {
        let state = listing(ListKind::Block, blocked);
        let mut lifelines = Lifelines::default();
        let ceiling = Limit::new(1, 1, 250, 1).unwrap();
        lifelines.rules[0] =
            LifelineRule::opening_from_anywhere(protocol::TCP, 22).with_ceiling(ceiling);
        lifelines.count = 1;
        let situation = Situation {
            now: "2026-01-01T00:00:01Z".parse().unwrap(),
            state: &state,
            config: &Config::default(),
            settings: &settings,
            lifelines: &lifelines,
            sessions: &[],
        };
        let question = Question {
            address: address.parse().unwrap(),
            protocol: protocol::TCP,
            port: Some(22),
        };
        why(situation, question)
    }

    fn listing(kind: ListKind, prefix: &str) -> State {
        let note = Note {
            reason: String::new(),
            by: "test".to_owned(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            until: None,
        };
        let mut state = State::default();
        state.apply(Change::Manual(kind, prefix.parse().unwrap(), Some(note)));
        state
    }

    /// What is said of a TCP packet to a port, where 443 has a service with a ceiling.
    fn ask_with_service(state: &State, rules: &[&str], port: u16) -> Why {
        let config = Config {
            rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            services: vec![crate::config::Service {
                name: "web".to_owned(),
                matches: crate::rules::ServiceMatch {
                    to: vec!["203.0.113.10/32".parse().unwrap()],
                    protocol: protocol::TCP,
                    port: Some(443),
                },
                packets: Some(crate::config::units::Rate::per_second(1_000)),
                bytes: None,
            }],
            ..Config::default()
        };
        let situation = Situation {
            now: "2026-01-01T00:00:01Z".parse().unwrap(),
            state,
            config: &config,
            settings: &enforcing(Reason::all_drops()),
            lifelines: &Lifelines::default(),
            sessions: &[],
        };
        let question = Question {
            address: "192.0.2.1".parse().unwrap(),
            protocol: protocol::TCP,
            port: Some(port),
        };
        why(situation, question)
    }

    #[test]
    fn what_is_spared_limits_still_meets_ceilings() {
        let allowed = ask_with_service(&listing(ListKind::Allow, "192.0.2.0/24"), &[], 443);
        let passed = ask_with_service(&State::default(), &["pass tcp dport 443"], 443);
        assert_eq!(allowed.reason, "allowed");
        assert_eq!(passed.reason, "rule_pass");
        for why in [allowed, passed] {
            let [service] = why.limits.as_slice() else {
                panic!("{:?}", why.limits);
            };
            assert!(service.contains("the service web"), "{service}");
            assert!(service.contains("share 1k/s"), "{service}");
        }
    }

    #[test]
    fn what_is_dropped_or_meets_no_service_has_no_ceiling() {
        let allowed = ask_with_service(&listing(ListKind::Allow, "192.0.2.0/24"), &[], 80);
        assert!(
            allowed.limits[0].contains("no service"),
            "{:?}",
            allowed.limits
        );
        let dropped = ask_with_service(&listing(ListKind::Block, "192.0.2.0/24"), &[], 443);
        assert!(
            dropped.limits[0].contains("not reached"),
            "{:?}",
            dropped.limits
        );
    }

    fn enforcing(reasons: u64) -> Settings {
        Settings {
            enforced: reasons,
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_not_looked_at_does_not_decide() {
        let settings = Settings {
            unchecked: Reason::MartianSource.bit(),
            ..enforcing(Reason::all_drops())
        };
        assert_eq!(ask("240.1.2.3", "10.0.0.0/8", settings).reason, "clean");
    }

    #[test]
    fn what_is_only_watched_does_not_hide_what_is_enforced() {
        let why = ask("240.1.2.3", "240.0.0.0/8", enforcing(Reason::Blocked.bit()));
        assert_eq!(
            (why.reason.as_str(), why.action),
            ("blocked", types::Action::Drop)
        );
    }

    #[test]
    fn what_is_only_watched_is_told_of_a_packet_that_passes() {
        let why = ask("192.0.2.1", "192.0.2.0/24", enforcing(0));
        assert_eq!((why.reason.as_str(), why.enforced), ("blocked", false));
        assert_eq!(why.action, types::Action::Pass);
    }

    /// What is said of GRE from 192.0.2.1.
    fn ask_of_gre(config: &str, state: &State, rule: &[&str], settings: Settings) -> Why {
        let mut config =
            Config::parse(config, std::path::Path::new("f.toml")).expect("a configuration");
        config.rules = rule.iter().map(|rule| rule.parse().unwrap()).collect();
        let situation = Situation {
            now: "2026-01-01T00:00:01Z".parse().unwrap(),
            state,
            config: &config,
            settings: &settings,
            lifelines: &Lifelines::default(),
            sessions: &[],
        };
        let question = Question {
            address: "192.0.2.1".parse().unwrap(),
            protocol: 47,
            port: None,
        };
        why(situation, question)
    }

    #[test]
    fn the_policy_of_a_protocol_holds_for_the_allowed_and_not_for_what_a_rule_passes() {
        let drop = "protocols.gre = \"drop\"";
        let all = enforcing(Reason::all_drops());
        let allowed = listing(ListKind::Allow, "192.0.2.0/24");
        let none = State::default();
        let pass = ["pass ip proto 47"];
        for (config, state, rule, reason) in [
            (drop, &none, &[][..], "protocol_drop"),
            (drop, &allowed, &[], "protocol_drop"),
            (drop, &none, &pass, "rule_pass"),
            ("protocols.default = \"drop\"", &none, &[], "protocol_drop"),
            ("protocols.esp = \"drop\"", &none, &[], "clean"),
        ] {
            let why = ask_of_gre(config, state, rule, all);
            assert_eq!(why.reason, reason, "{config}: {why:?}");
        }
        let why = ask_of_gre(drop, &none, &[], enforcing(0));
        assert_eq!(
            (why.reason.as_str(), why.enforced),
            ("protocol_drop", false)
        );
        assert!(
            why.sentence.contains("says to drop gre"),
            "{}",
            why.sentence
        );
    }

    #[test]
    fn the_limit_of_protocols_is_told_where_it_holds() {
        let limit = "protocols.gre = \"limit\"";
        let on = Settings {
            defences_pressed: Defence::Protocols.bit(),
            ..enforcing(Reason::all_drops())
        };
        for (config, settings, says) in [
            (limit, enforcing(0), Some("protocols holds, ")),
            ("", on, Some("protocols holds under pressure, ")),
            ("", enforcing(0), None),
            ("protocols.gre = \"pass\"", on, None),
        ] {
            let why = ask_of_gre(config, &State::default(), &[], settings);
            let said = why.limits.iter().find(|line| line.starts_with("protocols"));
            match says {
                Some(says) => assert!(said.expect(config).starts_with(says), "{said:?}"),
                None => assert_eq!(said, None, "{config}"),
            }
        }
    }

    #[test]
    fn a_lifeline_for_new_connections_keeps_no_other_packet() {
        let why = ask("192.0.2.1", "192.0.2.0/24", enforcing(Reason::all_drops()));
        assert_eq!(
            (why.reason.as_str(), why.action),
            ("blocked", types::Action::Drop)
        );
        assert!(
            why.limits[0].contains("opens a connection to port 22"),
            "{:?}",
            why.limits
        );
    }
}
