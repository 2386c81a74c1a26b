//! What the daemon says of limits.

use super::state::Daemon;
use crate::{
    api::types::{LimitStatus, Limits, Override, SCHEMA},
    config::{
        Config,
        limit::{LimitName, Measure, format_limit},
    },
    core::{settings, state::State},
    dataplane::Dataplane,
};

impl<D: Dataplane> Daemon<D> {
    /// All limits: of sources, of prefixes, of fragments, of ICMP and other protocols, of services.
    pub(super) fn limit_status(&self) -> Limits {
        let services = self.config.services.iter().flat_map(|service| {
            [Measure::Packets, Measure::Bytes]
                .map(|measure| LimitName::Service(service.name.clone(), measure))
        });
        let limits = LimitName::fixed().chain(services);
        let pressure = self.config.limits.pressure;
        Limits {
            schema: SCHEMA,
            pressure: pressure.map_or_else(|| "0/s".to_owned(), |rate| rate.to_string()),
            limits: limits.map(|name| self.one_limit(&name)).collect(),
        }
    }

    fn one_limit(&self, name: &LimitName) -> LimitStatus {
        let limit = settings::limit(&self.config, &self.state, name);
        let set = self.state.limits.get(name);
        LimitStatus {
            name: name.to_string(),
            rate: format_limit(limit.rate),
            holds: match (limit.rate, limit.always) {
                (None, _) => "off",
                (Some(_), _) if is_of_a_defence(name) => "defence",
                (Some(_), true) => "always",
                (Some(_), false) => "pressure",
            }
            .to_owned(),
            by: match set {
                Some(set) => set.by.clone(),
                None if is_from_file(&self.config, name) => "file".to_owned(),
                None => "default".to_owned(),
            },
            until: set.and_then(|set| set.until),
        }
    }

    /// Limits that somebody set by hand.
    pub(super) fn limit_overrides(&self) -> impl Iterator<Item = Override> {
        let file = State::default();
        self.state.limits.iter().map(move |(name, set)| Override {
            name: format!("limit.{name}"),
            value: format_limit(set.value),
            file: format_limit(settings::limit(&self.config, &file, name).rate),
            by: set.by.clone(),
            since: set.since,
            until: set.until,
        })
    }
}

/// Whether a limit holds while its defence is on.
const fn is_of_a_defence(name: &LimitName) -> bool {
    match name {
        LimitName::Connections(_)
        | LimitName::IcmpErrors
        | LimitName::IcmpEcho
        | LimitName::Protocols => true,
        LimitName::Source(_)
        | LimitName::Prefix(_)
        | LimitName::Fragments
        | LimitName::Service(..) => false,
    }
}

fn is_from_file(config: &Config, name: &LimitName) -> bool {
    let limits = &config.limits;
    let class = match name {
        LimitName::Source(class) => limits.source.get(*class as usize),
        LimitName::Prefix(class) => limits.prefix.classes.get(*class as usize),
        LimitName::Connections(sender) => limits.connections.get(*sender as usize),
        LimitName::Fragments => return config.fragments != Config::default().fragments,
        LimitName::IcmpErrors => return limits.icmp.errors != Config::default().limits.icmp.errors,
        LimitName::IcmpEcho => return limits.icmp.echo != Config::default().limits.icmp.echo,
        LimitName::Protocols => return limits.protocols != Config::default().limits.protocols,
        LimitName::Service(..) => return true,
    };
    class.is_some_and(|limit| limit.by_hand)
}
