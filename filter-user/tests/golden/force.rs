//! What is in force while golden packets arrive.

use filter_common::{
    abi::{
        defence::{Defence, PROTOCOLS, PortSet, ProtocolPolicy},
        entry::EntryValue,
        lifeline::{LifelineRule, SessionKey},
        reason::Reason,
        rules::{RuleAction, RuleEntry},
        service::Service,
        settings::Settings,
    },
    logic::{
        address::Address,
        bucket::{FRACTION_BITS, HALF_RANGE, Limit},
        hash::HashKey,
    },
};
use filter_user::{
    api::types::ListKind,
    config::{protocols::Policies, units::parse_prefix},
    rules::{
        Rule,
        rule::{Action, Scope},
        service::ServiceMatch,
    },
};
use ipnet::IpNet;

/// What is in force.
pub struct Force {
    pub settings: Settings,
    /// With the tick at which each ends.
    pub entries: Vec<(ListKind, IpNet, u64)>,
    /// Imported lists by number.
    pub lists: Vec<(u8, Vec<IpNet>)>,
    pub lifelines: Vec<LifelineRule>,
    pub sessions: Vec<SessionKey>,
    /// In order, with the tick at which each ends. Each counts in the slot of its place.
    pub rules: Vec<(Rule, u64)>,
    /// Addresses of this host.
    pub own: Vec<Address>,
    /// Ports in sets.
    pub ports: Vec<(PortSet, u16)>,
    /// What this host sent before, in order.
    pub sent: Vec<Vec<u8>>,
    /// In order, with their ceilings.
    pub services: Vec<(ServiceMatch, Service)>,
    /// Policies of IP protocols.
    pub protocols: Policies,
}

/// The secret of the tables here.
pub const HASH_KEY: HashKey = HashKey::from_random([
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x27d4_eb2f_1656_67c5,
]);

impl Force {
    /// Everything enforced, nothing listed, no limit, and samples without end.
    pub fn new() -> Self {
        let settings = Settings {
            enforced: Reason::all_drops(),
            key: HASH_KEY,
            ..Settings::default()
        };
        Self {
            settings,
            entries: Vec::new(),
            lists: Vec::new(),
            lifelines: Vec::new(),
            sessions: Vec::new(),
            rules: Vec::new(),
            own: Vec::new(),
            ports: Vec::new(),
            sent: Vec::new(),
            services: Vec::new(),
            protocols: [ProtocolPolicy::Default as u32; PROTOCOLS],
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn list(mut self, kind: ListKind, prefix: &str, until: u64) -> Self {
        let prefix = parse_prefix(prefix).expect("a prefix");
        self.entries.push((kind, prefix, until));
        self
    }

    pub fn block(self, prefix: &str) -> Self {
        self.list(ListKind::Block, prefix, EntryValue::NEVER)
    }

    pub fn ban(self, prefix: &str) -> Self {
        self.list(ListKind::Ban, prefix, EntryValue::NEVER - 1)
    }

    /// Members of the imported list with a number, in any order.
    pub fn listed(mut self, number: u8, prefixes: &[&str]) -> Self {
        let parsed = prefixes
            .iter()
            .map(|text| parse_prefix(text).expect("a prefix"));
        let mut members: Vec<IpNet> = parsed.collect();
        members.sort_unstable();
        self.lists.push((number, members));
        self
    }

    pub fn allow(self, prefix: &str) -> Self {
        self.list(ListKind::Allow, prefix, EntryValue::NEVER)
    }

    /// A rule behind those before it, without end.
    pub fn rule(self, text: &str) -> Self {
        self.rule_until(text, EntryValue::NEVER)
    }

    /// A rule that ends at a tick. The burst of a limit is all that it lets pass.
    pub fn rule_until(mut self, text: &str, until: u64) -> Self {
        let rule = text.parse().expect("a rule");
        self.rules.push((rule, until));
        self
    }

    /// A service of the protected host, behind those before it.
    pub fn service(mut self, to: &str, protocol: u8, port: u16, ceiling: Service) -> Self {
        let place = ServiceMatch {
            to: vec![parse_prefix(to).expect("a prefix")],
            protocol,
            port: Some(port),
        };
        self.services.push((place, ceiling));
        self
    }

    /// Policies of IP protocols by number.
    pub fn policies(mut self, policies: &[(u8, ProtocolPolicy)]) -> Self {
        for (number, policy) in policies {
            self.protocols[usize::from(*number)] = *policy as u32;
        }
        self
    }

    /// A defence that holds in calm, of the host with these addresses.
    pub fn defend(mut self, defence: Defence, own: &[&str]) -> Self {
        self.settings.defences_always |= defence.bit();
        self.own = own.iter().map(|text| address(text)).collect();
        self
    }

    /// This host sends a frame.
    pub fn sends(mut self, frame: Vec<u8>) -> Self {
        self.sent.push(frame);
        self
    }

    pub fn port(mut self, set: PortSet, port: u16) -> Self {
        self.ports.push((set, port));
        self
    }

    pub fn lifeline(mut self, rule: LifelineRule, port: u16) -> Self {
        self.lifelines.push(rule);
        self.settings.lifeline_gate |= filter_common::abi::lifeline::gate_bit(port);
        self
    }

    pub fn session(mut self, source: &str, source_port: u16, port: u16) -> Self {
        self.sessions
            .push(SessionKey::new(&address(source), source_port, port));
        self.settings.lifeline_gate |= filter_common::abi::lifeline::gate_bit(port);
        self
    }
}

pub fn address(text: &str) -> Address {
    Address::from(text.parse::<std::net::IpAddr>().expect("an address"))
}

/// So many packets, and then one a minute, or as late as a bucket of ticks can hold: no test waits for that.
pub fn only(packets: u64, hz: u64) -> Limit {
    let most = (HALF_RANGE / 2) >> FRACTION_BITS;
    let ticks = (hz * 60).min((most - 1) / packets);
    Limit::new(1, packets, ticks, 1).expect("the bucket holds it")
}

#[test]
fn a_few_packets_fit_a_bucket_on_every_kernel() {
    for hz in [100, 250, 300, 1000] {
        for packets in 1..=64 {
            let limit = only(packets, hz);
            let second = hz << FRACTION_BITS;
            assert!(limit.interval >= 4 * second, "{packets} at {hz} Hz");
        }
    }
}

/// So many bytes, and then one in hours: no test waits for that.
pub fn only_bytes(bytes: u64) -> Limit {
    const BYTE: u64 = 1 << 32;
    Limit {
        interval: BYTE << 8,
        depth: BYTE * bytes + (1 << FRACTION_BITS),
        horizon: HALF_RANGE,
    }
}

/// A rule as the kernel has it; `room` makes a limit of a burst.
pub fn entry(rule: &Rule, until: u64, slot: u32, room: impl Fn(u64) -> Limit) -> RuleEntry {
    let mut entry = RuleEntry {
        until,
        slot,
        shadow: u8::from(rule.shadow),
        ..RuleEntry::default()
    };
    let action = match rule.action {
        Action::Drop => RuleAction::Drop,
        Action::Pass => RuleAction::Pass,
        Action::Limit { rate, scope } => {
            entry.limit = room(rate.burst);
            match scope {
                Scope::All => RuleAction::LimitAll,
                Scope::Source => RuleAction::LimitSource,
            }
        }
    };
    entry.action = action as u8;
    if let Some(payload) = &rule.matches.payload {
        entry.offset = payload.offset();
        entry.compared = payload.bytes().len() as u8;
        let bytes = entry.pattern.iter_mut().zip(&mut entry.mask);
        for ((pattern, mask), (value, bits)) in bytes.zip(payload.bytes()) {
            (*pattern, *mask) = (*value, *bits);
        }
    }
    entry
}
