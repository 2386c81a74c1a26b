//! IP protocols by name, and what becomes of each.

use std::{collections::BTreeMap, fmt};

use filter_common::{
    abi::defence::{PROTOCOLS, ProtocolPolicy},
    logic::packet::protocol,
};

use super::{nearest::suggestion, text::quote};

/// Policies of IP protocols that are neither TCP, UDP nor ICMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Of those that the file does not name.
    pub default: ProtocolPolicy,
    /// Of those that it does, by number.
    pub named: BTreeMap<u8, ProtocolPolicy>,
}

/// Policies by the protocol's number, as the kernel reads them.
pub type Policies = [u32; PROTOCOLS];

/// Protocols that have a name here (IANA, Assigned Internet Protocol Numbers).
const NAMES: &[(&str, u8)] = &[
    ("igmp", protocol::IGMP),
    ("ipip", 4),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("none", 59),
    ("eigrp", 88),
    ("ospf", 89),
    ("etherip", 97),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
    ("mpls", 137),
];

/// What has other limits, and no policy.
const OTHERS: &[(&str, u8, &str)] = &[
    (
        "tcp",
        protocol::TCP,
        "rules, and limits of sources and of services",
    ),
    (
        "udp",
        protocol::UDP,
        "rules, and limits of sources and of services",
    ),
    ("icmp", protocol::ICMP, "`[limits.icmp]` and rules"),
    ("icmpv6", protocol::ICMPV6, "`[limits.icmp]` and rules"),
];

impl Default for Protocols {
    fn default() -> Self {
        Self {
            default: ProtocolPolicy::Default,
            named: BTreeMap::new(),
        }
    }
}

impl Protocols {
    /// What becomes of a protocol's packets.
    pub fn of(&self, number: u8) -> ProtocolPolicy {
        self.named.get(&number).copied().unwrap_or(self.default)
    }

    /// As the kernel reads them.
    pub fn policies(&self) -> Policies {
        let mut policies = [ProtocolPolicy::Default as u32; PROTOCOLS];
        for (number, policy) in (0..=u8::MAX).zip(&mut policies) {
            *policy = self.of(number) as u32;
        }
        policies
    }

    /// Whether anything may be dropped while the defence is off.
    pub fn hold_always(&self) -> bool {
        let policies = self.named.values().chain([&self.default]);
        policies
            .into_iter()
            .any(|policy| matches!(policy, ProtocolPolicy::Limit | ProtocolPolicy::Drop))
    }
}

/// The name of a policy.
pub const fn policy_name(policy: ProtocolPolicy) -> &'static str {
    match policy {
        ProtocolPolicy::Default => "default",
        ProtocolPolicy::Pass => "pass",
        ProtocolPolicy::Limit => "limit",
        ProtocolPolicy::Drop => "drop",
    }
}

/// A protocol by its name, or its number.
pub struct Named(pub u8);

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = OTHERS.iter().map(|(name, number, _)| (*name, *number));
        match NAMES
            .iter()
            .copied()
            .chain(others)
            .find(|it| it.1 == self.0)
        {
            Some((name, _)) => formatter.write_str(name),
            None => self.0.fmt(formatter),
        }
    }
}

/// A protocol by its name or number, TCP, UDP and ICMP among them.
pub fn any_protocol(text: &str) -> Result<u8, String> {
    let named = NAMES.iter().find(|(name, _)| *name == text);
    let other = OTHERS.iter().find(|(name, _, _)| *name == text);
    let number = named
        .map(|(_, number)| *number)
        .or_else(|| other.map(|(_, number, _)| *number))
        .or_else(|| as_number(text));
    number.ok_or_else(|| unknown(text))
}

/// A protocol that can have a policy, by its name or number.
pub fn protocol_with_policy(text: &str) -> Result<u8, String> {
    let number = any_protocol(text)?;
    match OTHERS.iter().find(|(_, other, _)| *other == number) {
        Some((name, _, instead)) => Err(format!("{name} has no policy here: see {instead}")),
        None => Ok(number),
    }
}

/// A number as people write it, without signs and leading zeros.
fn as_number(text: &str) -> Option<u8> {
    text.parse()
        .ok()
        .filter(|number: &u8| number.to_string() == text)
}

fn unknown(text: &str) -> String {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    format!(
        "{} is no IP protocol: {}; or write a number from 0 to 255",
        quote(text),
        suggestion(text, &names)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read_by_name_and_number_and_written_back() {
        for (name, number) in NAMES {
            assert_eq!(protocol_with_policy(name), Ok(*number));
            assert_eq!(protocol_with_policy(&number.to_string()), Ok(*number));
            assert_eq!(Named(*number).to_string(), *name);
        }
        for (name, number, _) in OTHERS {
            assert_eq!(any_protocol(name), Ok(*number));
            assert_eq!(Named(*number).to_string(), *name);
            let error = protocol_with_policy(name).unwrap_err();
            assert!(error.contains("has no policy here"), "{error}");
            let error = protocol_with_policy(&number.to_string()).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        assert_eq!(Named(253).to_string(), "253");
    }

    #[test]
    fn what_is_no_protocol_is_told() {
        for (text, says) in [
            ("gree", "did you mean `gre`?"),
            ("colour", "known: igmp, ipip"),
            ("256", "from 0 to 255"),
            ("047", "no IP protocol"),
            ("+47", "no IP protocol"),
            ("GRE", "did you mean `gre`?"),
            ("", "no IP protocol"),
        ] {
            let error = any_protocol(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn every_protocol_has_the_policy_of_its_own_or_the_default() {
        let mut protocols = Protocols::default();
        assert!(!protocols.hold_always());
        assert_eq!(protocols.policies(), [0; PROTOCOLS]);
        protocols.named.insert(47, ProtocolPolicy::Pass);
        assert!(!protocols.hold_always());
        protocols.named.insert(50, ProtocolPolicy::Limit);
        assert!(protocols.hold_always());
        protocols.default = ProtocolPolicy::Drop;
        let policies = protocols.policies();
        assert_eq!([policies[47], policies[50]], [1, 2]);
        let dropped = policies.iter().filter(|policy| **policy == 3);
        assert_eq!(dropped.count(), 254);
    }
}
