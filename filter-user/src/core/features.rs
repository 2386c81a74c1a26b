//! What the program must be able to do.

use filter_common::abi::{
    defence::Defence,
    feature::Feature,
    settings::{Class, FragmentPolicy},
};
use ipnet::IpNet;

use super::{
    defences::{self, Unable},
    settings,
    state::State,
};
use crate::{
    api::types::ListKind,
    config::{Config, detection::Act, limit::LimitName},
};

/// Features that stay once they were on: single entries come and go, and programs should not.
pub const STAYING: u64 = Feature::Allow.bit() | Feature::Block.bit() | Feature::Bans.bit();

/// Features that big sets bring with them.
pub const OF_SETS: u64 = Feature::Set4.bit() | Feature::Set6.bit();

/// The set of features that configuration and state need. Where the ports of sshd are not known,
/// there are some. What cannot work here is left out.
pub fn wanted(config: &Config, state: &State, ssh_ports: Option<&[u16]>, unable: &Unable) -> u64 {
    Feature::ALL
        .into_iter()
        .filter(|feature| is_needed(*feature, config, state, ssh_ports, unable))
        .fold(0, |set, feature| set | feature.bit())
}

fn is_needed(
    feature: Feature,
    config: &Config,
    state: &State,
    ssh_ports: Option<&[u16]>,
    unable: &Unable,
) -> bool {
    let limited = |name: LimitName| settings::limit(config, state, &name).rate.is_some();
    let packets = |name: fn(Class) -> LimitName| {
        let mut classes = Class::ALL
            .into_iter()
            .filter(|class| *class != Class::Bytes);
        classes.any(|class| limited(name(class)))
    };
    let is_able =
        |defence| defences::is_possible(config, state, defence) && !unable.contains_key(&defence);
    // What the controller may do must not wait for a program.
    let acts = config.detection.act == Act::Apply;
    match feature {
        Feature::Lifelines => {
            config.lifeline.iter().any(|lines| !lines.is_empty())
                || ssh_ports.is_none_or(|ports| !ports.is_empty())
        }
        Feature::Allow => has_entries(state, ListKind::Allow),
        Feature::Block => has_entries(state, ListKind::Block),
        Feature::Bans => acts || has_entries(state, ListKind::Ban),
        Feature::Set4 => has_set(
            state,
            |prefixes| prefixes.first(),
            |prefix| matches!(prefix, IpNet::V4(_)),
        ),
        Feature::Set6 => has_set(
            state,
            |prefixes| prefixes.last(),
            |prefix| matches!(prefix, IpNet::V6(_)),
        ),
        Feature::Rules => {
            let prints = acts && config.detection.fingerprints == Act::Apply;
            prints || !config.rules.is_empty() || !state.rules.is_empty()
        }
        Feature::Services => !config.services.is_empty(),
        Feature::SourcePackets => packets(LimitName::Source),
        Feature::SourceBytes => limited(LimitName::Source(Class::Bytes)),
        Feature::PrefixPackets => acts || packets(LimitName::Prefix),
        Feature::PrefixBytes => limited(LimitName::Prefix(Class::Bytes)),
        Feature::Fragments => {
            limited(LimitName::Fragments)
                || settings::fragment_policy(config, state) != FragmentPolicy::Pass
        }
        Feature::Samples => config.samples.passed.is_some() || config.samples.dropped.is_some(),
        Feature::Frags => true,
        // What meets a listener may bring a cookie of the kernel's own, so that sockets want to know
        // cookies too.
        Feature::Cookies => {
            is_able(Defence::Cookies)
                || is_able(Defence::Sockets) && !unable.contains_key(&Defence::Cookies)
        }
        Feature::Sockets => is_able(Defence::Sockets),
        Feature::ClosedPorts => is_able(Defence::ClosedPorts),
        Feature::Solicited => is_able(Defence::Solicited),
        Feature::Connections => is_able(Defence::Connections),
        Feature::Icmp => is_able(Defence::Icmp),
        Feature::Protocols => config.protocols.hold_always() || is_able(Defence::Protocols),
    }
}

/// What the program must be able to do for single entries that come back if nobody confirms that they
/// are gone.
pub fn of_trial(state: &State) -> u64 {
    let Some(trial) = &state.trial else {
        return 0;
    };
    let entries = trial.inverse.entries.iter();
    let removed = entries.filter(|(_, note)| note.is_some());
    removed
        .map(|((kind, _), _)| match kind {
            ListKind::Allow => Feature::Allow.bit(),
            ListKind::Block => Feature::Block.bit(),
            ListKind::Ban => Feature::Bans.bit(),
        })
        .fold(0, |set, bit| set | bit)
}

/// What the program must be able to do for a limit; none for those of services, which are in maps of
/// their own.
pub const fn of_limit(name: &LimitName) -> Option<Feature> {
    match name {
        LimitName::Source(Class::Bytes) => Some(Feature::SourceBytes),
        LimitName::Source(_) => Some(Feature::SourcePackets),
        LimitName::Prefix(Class::Bytes) => Some(Feature::PrefixBytes),
        LimitName::Prefix(_) => Some(Feature::PrefixPackets),
        LimitName::Connections(_) => Some(Feature::Connections),
        LimitName::Fragments => Some(Feature::Fragments),
        LimitName::IcmpErrors | LimitName::IcmpEcho => Some(Feature::Icmp),
        LimitName::Protocols => Some(Feature::Protocols),
        LimitName::Service(..) => None,
    }
}

/// Whether a list has single entries. Members of lists imported to the allowlist are such.
fn has_entries(state: &State, kind: ListKind) -> bool {
    let list = state.list(kind);
    let has_imports = match kind {
        ListKind::Allow => !list.imports.is_empty(),
        ListKind::Block | ListKind::Ban => false,
    };
    has_imports || !list.manual.is_empty()
}

/// Whether an imported list has a member of a family. Members are sorted, IPv4 before IPv6.
fn has_set(
    state: &State,
    end: fn(&[IpNet]) -> Option<&IpNet>,
    is_of_family: fn(&IpNet) -> bool,
) -> bool {
    let mut lists = state.list(ListKind::Block).sets();
    lists.any(|(_, _, list)| end(&list.prefixes).is_some_and(is_of_family))
}

/// The name in `status`.
pub const fn name(feature: Feature) -> &'static str {
    match feature {
        Feature::Lifelines => "lifelines",
        Feature::Allow => "allow",
        Feature::Block => "block",
        Feature::Bans => "bans",
        Feature::Set4 => "lists_v4",
        Feature::Set6 => "lists_v6",
        Feature::Rules => "rules",
        Feature::Services => "services",
        Feature::SourcePackets => "source_packets",
        Feature::SourceBytes => "source_bytes",
        Feature::PrefixPackets => "prefix_packets",
        Feature::PrefixBytes => "prefix_bytes",
        Feature::Fragments => "fragments",
        Feature::Samples => "samples",
        Feature::Frags => "frags",
        Feature::Cookies => "cookies",
        Feature::Sockets => "sockets",
        Feature::ClosedPorts => "closed_ports",
        Feature::Solicited => "solicited",
        Feature::Connections => "connections",
        Feature::Icmp => "icmp",
        Feature::Protocols => "protocols",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::core::{held::Held, lists::Note, state::Change};

    /// What a file says, where the controller does nothing.
    fn config(text: &str) -> Config {
        let mut config = Config::parse(text, Path::new("f.toml")).expect(text);
        config.detection.act = Act::Suggest;
        config
    }

    /// What is needed without any defence, which the defaults have.
    const BARE: &str = "defences = { cookies = \"off\", sockets = \"off\", closed_ports = \"off\", solicited = \"off\", \
        connections = \"off\", icmp = \"off\", protocols = \"off\" }\n";

    fn wanted(config: &Config, state: &State, ssh_ports: Option<&[u16]>) -> u64 {
        super::wanted(config, state, ssh_ports, &Unable::new())
    }

    fn names(set: u64) -> Vec<&'static str> {
        let on = Feature::ALL.into_iter().filter(|it| set & it.bit() != 0);
        on.map(name).collect()
    }

    #[test]
    fn what_the_defaults_need_is_little() {
        let set = wanted(&config(BARE), &State::default(), Some(&[]));
        assert_eq!(
            names(set),
            ["source_packets", "fragments", "samples", "frags"]
        );
        let defended = wanted(&config(""), &State::default(), Some(&[]));
        assert_eq!(
            names(defended & !set),
            [
                "cookies",
                "sockets",
                "closed_ports",
                "solicited",
                "connections",
                "icmp",
                "protocols"
            ]
        );
        let set = wanted(&config(""), &State::default(), None);
        assert!(names(set).contains(&"lifelines"));
    }

    #[test]
    fn what_is_configured_is_needed() {
        for (text, feature) in [
            (
                "[[lifeline]]\nfrom = [\"::/0\"]\nport = 22",
                Feature::Lifelines,
            ),
            ("rules = [\"drop udp dport 53\"]", Feature::Rules),
            (
                "[[service]]\nname = \"a\"\nto = [\"::1\"]\nprotocol = \"tcp\"",
                Feature::Services,
            ),
            ("limits.source.bytes = \"1Gbit/s\"", Feature::SourceBytes),
            ("limits.prefix.udp = \"1k/s\"", Feature::PrefixPackets),
            ("limits.prefix.bytes = \"1Gbit/s\"", Feature::PrefixBytes),
        ] {
            let set = wanted(&config(text), &State::default(), Some(&[]));
            let before = wanted(&config(""), &State::default(), Some(&[]));
            assert_eq!(set & !before, feature.bit(), "{text}");
        }
    }

    #[test]
    fn what_is_switched_off_is_not_needed() {
        for (text, feature) in [
            (
                "limits.source = { packets = \"off\", syn = \"off\", udp = \"off\", icmp = \"off\" }",
                Feature::SourcePackets,
            ),
            (
                "fragments = { unknown = \"pass\", limit = \"off\" }",
                Feature::Fragments,
            ),
            (
                "samples = { passed = \"off\", dropped = \"off\" }",
                Feature::Samples,
            ),
        ] {
            let set = wanted(&config(text), &State::default(), Some(&[]));
            let before = wanted(&config(""), &State::default(), Some(&[]));
            assert_eq!(before & !set, feature.bit(), "{text}");
        }
    }

    #[test]
    fn policies_of_protocols_hold_without_the_defence() {
        let off = "defences.protocols = \"off\"";
        let before = wanted(&config(off), &State::default(), Some(&[]));
        assert_eq!(before & Feature::Protocols.bit(), 0);
        for policy in ["protocols.gre = \"drop\"", "protocols.default = \"limit\""] {
            let config = config(&format!("{off}\n{policy}"));
            let set = wanted(&config, &State::default(), Some(&[]));
            assert_eq!(set & !before, Feature::Protocols.bit(), "{policy}");
        }
    }

    #[test]
    fn cookies_and_sockets_need_to_know_cookies() {
        for (text, is_needed) in [
            ("defences = { sockets = \"off\", cookies = \"off\" }", false),
            ("defences = { sockets = \"off\" }", true),
            ("defences = { sockets = \"off\", cookies = \"on\" }", true),
            ("defences = { sockets = \"on\" }", true),
        ] {
            let set = wanted(&config(text), &State::default(), Some(&[]));
            assert_eq!(set & Feature::Cookies.bit() != 0, is_needed, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_here_is_not_loaded() {
        let config = config("defences.cookies = \"on\"");
        let before = wanted(&config, &State::default(), Some(&[]));
        assert_ne!(before & Feature::Cookies.bit(), 0);
        let unable = Unable::from([(Defence::Cookies, "an old kernel".to_owned())]);
        let set = super::wanted(&config, &State::default(), Some(&[]), &unable);
        assert_eq!(before & !set, Feature::Cookies.bit());
    }

    #[test]
    fn the_first_entry_of_a_list_needs_the_list() {
        for (kind, feature) in [
            (ListKind::Allow, Feature::Allow),
            (ListKind::Block, Feature::Block),
            (ListKind::Ban, Feature::Bans),
        ] {
            let mut state = State::default();
            let note = Note {
                reason: String::new(),
                by: "test".to_owned(),
                since: jiff::Timestamp::UNIX_EPOCH,
                until: None,
            };
            let prefix = "192.0.2.0/24".parse().expect("a prefix");
            let _ = state.apply(Change::Manual(kind, prefix, Some(note)));
            let before = wanted(&config(""), &State::default(), Some(&[]));
            let set = wanted(&config(""), &state, Some(&[]));
            assert_eq!(set & !before, feature.bit(), "{kind:?}");
        }
    }

    #[test]
    fn what_the_controller_may_do_waits_for_no_program() {
        let mut config = config("");
        let passive = wanted(&config, &State::default(), Some(&[]));
        config.detection.act = Act::Apply;
        let acting = wanted(&config, &State::default(), Some(&[]));
        assert_eq!(
            names(acting & !passive),
            ["bans", "rules", "prefix_packets"]
        );
        let mut state = State::default();
        for defence in Defence::ALL {
            let held = Held {
                value: [80].into(),
                since: jiff::Timestamp::UNIX_EPOCH,
                until: jiff::Timestamp::MAX,
                reason: String::new(),
            };
            let _ = state.apply(Change::HeldDefence(defence, Some(held)));
        }
        let effective = state.effective(&config);
        assert_eq!(wanted(&config, &effective, Some(&[])), acting);
        config.detection.fingerprints = Act::Suggest;
        let without = wanted(&config, &state, Some(&[]));
        assert_eq!(names(acting & !without), ["rules"]);
    }
}
