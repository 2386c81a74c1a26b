//! What the daemon says of what the controller holds.

use super::state::Daemon;
use crate::{
    api::types::{HeldOverride, HeldStatus},
    config::defence::name,
    core::{defences, held::Held, settings},
    dataplane::Dataplane,
};

impl<D: Dataplane> Daemon<D> {
    /// Everything that the controller holds, and how an operator ends it.
    pub(super) fn held_overrides(&self) -> Vec<HeldOverride> {
        let held = &self.state.held;
        let defences = held.defences.iter().map(|(defence, held)| {
            let ports: Vec<String> = held.value.iter().map(ToString::to_string).collect();
            HeldOverride {
                name: format!("defence.{}", name(*defence)),
                value: match ports.as_slice() {
                    [] => "on".to_owned(),
                    some => format!("on at TCP {}", some.join(", ")),
                },
                otherwise: defences::mode(&self.config, &self.state, *defence).to_string(),
                held: status(held),
                ends: format!("floodwall defence auto {}", name(*defence)),
            }
        });
        let limits = held.limits.iter().map(|(name, held)| {
            let otherwise = settings::limit(&self.config, &self.state, name).rate;
            HeldOverride {
                name: format!("limit.{name}"),
                value: held.value.to_string(),
                otherwise: crate::config::limit::format_limit(otherwise),
                held: status(held),
                ends: format!("floodwall limit auto {name}"),
            }
        });
        defences.chain(limits).collect()
    }
}

/// What the controller holds, as it is shown.
pub(super) fn status<T>(held: &Held<T>) -> HeldStatus {
    HeldStatus {
        since: held.since,
        until: held.until,
        reason: held.reason.clone(),
    }
}
