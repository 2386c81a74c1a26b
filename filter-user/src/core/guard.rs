//! What a change may not do: cut off this host, its operators, or most of the world.
//!
//! It goes by what is covered, however that is spelled.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;

use super::{
    facts::{Facts, Part},
    lists::{List, within},
    state::State,
};
use crate::{
    api::types::ListKind,
    config::{Config, units::Rate},
    rules::{
        Rule,
        rule::{Action, Scope},
    },
};

mod ordinary;

/// What a list holds beside what is put on it.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The list.
    pub list: &'a List,
    /// The name of the imported list that goes, if one does.
    pub without: Option<&'a str>,
}

/// Why putting these sorted prefixes on a list would do harm; `None` if it would not.
pub fn harm(
    kind: ListKind,
    prefixes: &[IpNet],
    before: Before<'_>,
    config: &Config,
    facts: &Facts,
) -> Option<String> {
    let protected = match kind {
        ListKind::Allow => None,
        ListKind::Block | ListKind::Ban => {
            cannot_tell(facts).or_else(|| covers_protected(prefixes, config, facts))
        }
    };
    protected.or_else(|| covers_too_much(kind, prefixes, before))
}

/// Why adding this rule would do harm; `None` if it would not: it drops everyday packets from
/// somewhere which a block may not cover, or what this host's name servers answer, or lets nearly
/// everything pass. What a flood meets at a low limit is as good as dropped.
pub fn rule_harm(rule: &Rule, config: &Config, facts: &Facts) -> Option<String> {
    if rule.shadow {
        return None;
    }
    let before = Before {
        list: &List::default(),
        without: None,
    };
    let harm = |kind, sources: &[IpNet]| match sources {
        [] => None,
        some => harm(kind, some, before, config, facts),
    };
    match rule.action {
        Action::Pass => {
            return harm(ListKind::Allow, &ordinary::let_in(&rule.matches, facts));
        }
        Action::Limit { rate, scope } if !is_low(rate, scope) => return None,
        Action::Drop | Action::Limit { .. } => {}
    }
    let covered = harm(ListKind::Block, &ordinary::cut_off(&rule.matches, facts));
    covered.or_else(|| {
        let mut resolvers = facts.resolvers.iter();
        let resolver =
            resolvers.find(|resolver| ordinary::silences(&rule.matches, **resolver, facts))?;
        let verb = match rule.action {
            Action::Limit { .. } => "limits",
            Action::Drop | Action::Pass => "drops",
        };
        Some(format!(
            "this rule {verb} what {resolver}, a resolver of this host, answers"
        ))
    })
}

/// Whether a limit can leave somebody without service: whoever shares a rate with a flood gets
/// nothing of it, and one source alone may need so many packets a second.
const fn is_low(rate: Rate, scope: Scope) -> bool {
    const ENOUGH: u64 = 100;
    match scope {
        Scope::All => true,
        Scope::Source => rate.packets < ENOUGH,
    }
}

/// Whether nothing may be done to a source, whatever it does: something protected or allowed is in it,
/// or nobody can tell. A source is an IPv4 address or an IPv6 /64.
pub fn is_untouchable(
    source: IpAddr,
    state: &State,
    config: &Config,
    facts: &Facts,
    now: Timestamp,
) -> bool {
    let source = match source.to_canonical() {
        address @ IpAddr::V4(_) => IpNet::from(address),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::new_assert(address, 64).trunc()),
    };
    cannot_tell(facts).is_some()
        || covers_protected(&[source], config, facts).is_some()
        || !state.covering(ListKind::Allow, source, now).is_empty()
        || state.list(ListKind::Allow).has_within(&source)
}

/// Without these, nobody can tell whom a block would cut off. Name servers may be unknown: a host
/// answers without them.
fn cannot_tell(facts: &Facts) -> Option<String> {
    let parts = [Part::Addresses, Part::Gateways, Part::Sessions];
    let part = parts.iter().find(|part| facts.unknown.contains(part))?;
    let reason = facts
        .warnings
        .iter()
        .find(|warning| warning.starts_with(&part.to_string()));
    Some(format!(
        "the {part} of this host are unknown, so that nobody can tell whether this would cut it \
         off{}",
        reason.map_or_else(String::new, |reason| format!("; {reason}"))
    ))
}

fn covers_protected(prefixes: &[IpNet], config: &Config, facts: &Facts) -> Option<String> {
    protected(config, facts)
        .into_iter()
        .find_map(|(net, what)| {
            let prefix = overlap(prefixes, &net)?;
            Some(format!(
                "{prefix} covers {net}, {what}: blocking it would cut that off"
            ))
        })
}

fn protected(config: &Config, facts: &Facts) -> Vec<(IpNet, &'static str)> {
    let hosts = |addresses: &[IpAddr], what| {
        addresses
            .iter()
            .map(move |address| (IpNet::from(*address), what))
            .collect::<Vec<_>>()
    };
    let mut all = hosts(&facts.addresses, "an address of this host");
    all.extend(hosts(&facts.gateways, "a gateway of this host"));
    all.extend(hosts(&facts.resolvers, "a resolver of this host"));
    all.extend(facts.sessions.iter().map(|session| {
        (
            IpNet::from(session.peer.ip()),
            "where an administrator is logged in",
        )
    }));
    let lifelines = config.lifeline.iter().flatten();
    all.extend(lifelines.flat_map(|line| line.from.iter().map(|from| (*from, "a lifeline"))));
    all
}

/// One of sorted prefixes that has an address in common with another prefix.
fn overlap(sorted: &[IpNet], net: &IpNet) -> Option<IpNet> {
    let mut wider = std::iter::successors(Some(*net), IpNet::supernet);
    let covering = wider.find(|wider| sorted.binary_search(wider).is_ok());
    covering.or_else(|| within(sorted, net).first().copied())
}

fn covers_too_much(kind: ListKind, prefixes: &[IpNet], before: Before<'_>) -> Option<String> {
    let eighth = "more than an eighth of the address space";
    let remedy = match kind {
        ListKind::Allow => "to let everything pass, use `floodwall mode monitor`",
        ListKind::Block | ListKind::Ban => "narrow it",
    };
    if let Some(prefix) = prefixes
        .iter()
        .find(|prefix| !Covered::by([**prefix]).is_fine())
    {
        return Some(format!("{prefix} covers {eighth}: {remedy}"));
    }
    // A sum that counts overlaps twice is an upper bound; most changes are far below it.
    let bound = Covered::by(prefixes.iter().copied()).plus(Covered::by(before.prefixes()));
    if bound.is_fine() {
        return None;
    }
    let all: Vec<IpNet> = before.prefixes().chain(prefixes.iter().copied()).collect();
    if Covered::by(IpNet::aggregate(&all)).is_fine() {
        return None;
    }
    Some(format!(
        "with these, the {kind} covers {eighth} in all: {remedy}"
    ))
}

impl<'a> Before<'a> {
    fn prefixes(self) -> impl Iterator<Item = IpNet> + 'a {
        let without = self.without;
        let stays = move |(name, _): &(&String, _)| without != Some(name.as_str());
        let imports = self.list.imports.iter().filter(stays);
        let members = imports.flat_map(|(_, list)| list.prefixes.iter().copied());
        self.list.manual.keys().copied().chain(members)
    }
}

/// How much is covered: IPv4 addresses, and IPv6 /64s, of these those that are global unicast.
#[derive(Clone, Copy, Debug, Default)]
struct Covered {
    v4: u128,
    v6: u128,
    v6_global: u128,
}

impl Covered {
    /// An eighth of 2³² addresses.
    const MOST_V4: u128 = 1 << 29;
    /// An eighth of 2⁶⁴ /64s.
    const MOST_V6: u128 = 1 << 61;
    /// An eighth of the 2⁶¹ /64s in 2000::/3, which is all that is in use.
    const MOST_V6_GLOBAL: u128 = 1 << 58;

    fn by(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        prefixes
            .into_iter()
            .map(Self::one)
            .fold(Self::default(), Self::plus)
    }

    fn one(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(net) => Self {
                v4: size_v4(net),
                ..Self::default()
            },
            IpNet::V6(net) => {
                let global =
                    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
                let size = size_v6(net);
                let v6_global = if net.contains(&global) {
                    size_v6(global)
                } else if global.contains(&net) {
                    size
                } else {
                    0
                };
                Self {
                    v4: 0,
                    v6: size,
                    v6_global,
                }
            }
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            v4: self.v4 + other.v4,
            v6: self.v6 + other.v6,
            v6_global: self.v6_global + other.v6_global,
        }
    }

    fn is_fine(self) -> bool {
        self.v4 <= Self::MOST_V4
            && self.v6 <= Self::MOST_V6
            && self.v6_global <= Self::MOST_V6_GLOBAL
    }
}

fn size_v4(net: Ipv4Net) -> u128 {
    1 << (32 - net.prefix_len())
}

/// In /64s; what is smaller counts as nothing.
fn size_v6(net: Ipv6Net) -> u128 {
    match net.prefix_len() {
        length @ 0..=64 => 1 << (64 - length),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
