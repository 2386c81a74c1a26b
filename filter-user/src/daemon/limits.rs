//! What the daemon says of limits.

use super::{held, state::Daemon};
use crate::{
    api::types::{LimitStatus, Limits, Override, SCHEMA},
    config::limit::{LimitName, Measure, format_limit},
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
        let limit = settings::limit(&self.config, &self.effective(), name);
        let set = self.state.limits.get(name);
        let held = self.state.held.limits.get(name);
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
                None if settings::is_from_file(&self.config, name) => "file".to_owned(),
                None => "default".to_owned(),
            },
            until: set.and_then(|set| set.until),
            held: held.map(held::status),
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
