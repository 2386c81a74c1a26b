//! What a reload would change, and whom of those that pass it would hit.

use std::{collections::BTreeMap, net::IpAddr};

use filter_common::{
    abi::{
        defence::ProtocolPolicy,
        reason::{Action, Reason},
        sample::Sample,
    },
    logic::{packet::Packet, parse},
};

use super::{album::Beginning, reload::needs_restart, state::Daemon};
use crate::{
    api::types::{ConfigDiff, ConfigHit, SCHEMA},
    config::{Config, diff, protocols::Policies},
    core::{
        refusal::Refusal,
        rules::{self, Listed},
        settings,
        state::State,
    },
    dataplane::Dataplane,
    rules::{matches, rule},
    stats::reasons,
};

/// How far back samples are looked at, in seconds.
const BACK: u64 = 3_600;
/// Sources that are told of.
const TOLD: usize = 20;

impl<D: Dataplane> Daemon<D> {
    /// Compares the configuration in force with another text, or with what the file says.
    pub(super) fn compare_config(&mut self, text: Option<&str>) -> Result<ConfigDiff, Refusal> {
        let text = match text {
            Some(text) => text.to_owned(),
            None => self.source.text()?,
        };
        let new = self
            .source
            .parse(&text)
            .map_err(|refusal| Refusal::invalid(refusal.message))?;
        let moment = self.moment()?;
        let before = Policy::of(&self.config, &self.state);
        let after = Policy::of(&new, &self.state);
        let since = moment.tick.saturating_sub(BACK.saturating_mul(moment.hz));
        let mut samples = 0;
        let mut hits: BTreeMap<(IpAddr, String), u64> = BTreeMap::new();
        let recent = self.album.samples().filter(|sample| sample.tick >= since);
        for seen in recent.filter_map(Seen::of) {
            samples += 1;
            if before.stops(&seen).is_none()
                && let Some(cause) = after.stops(&seen)
            {
                let source = IpAddr::from(seen.packet.source);
                *hits.entry((source, cause)).or_default() += 1;
            }
        }
        let hits = hits.into_iter();
        let mut hits: Vec<ConfigHit> = hits
            .map(|((source, cause), packets)| ConfigHit {
                source,
                packets,
                cause,
            })
            .collect();
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.packets));
        hits.truncate(TOLD);
        Ok(ConfigDiff {
            schema: SCHEMA,
            changes: diff::keys(&self.text, &text),
            restart: needs_restart(&self.config, &new).map(str::to_owned),
            samples,
            hits,
        })
    }
}

/// A sampled packet that passed.
struct Seen<'s> {
    packet: Packet,
    payload: &'s [u8],
    /// What it was only watched for.
    watched: Option<Reason>,
}

impl<'s> Seen<'s> {
    /// Nothing of what was dropped, and of what no rule comes by: the allowlist and lifelines.
    fn of(sample: &'s Sample) -> Option<Self> {
        let captured = usize::from(sample.captured).min(sample.bytes.len());
        let bytes = sample.bytes.get(..captured)?;
        let frame = Beginning {
            bytes,
            length: sample.length,
        };
        let packet = parse::packet(&frame).continue_value()?;
        let reason = Reason::try_from(sample.reason).ok()?;
        let spared = Reason::try_from(sample.spared).ok()?;
        let is_exempt =
            |reason| matches!(reason, Reason::Allowed | Reason::Lifeline | Reason::Control);
        if sample.dropped != 0 || is_exempt(reason) || is_exempt(spared) {
            return None;
        }
        let payload = match packet.payload {
            0 => &[],
            at => bytes
                .get(usize::from(at)..bytes.len().min(packet.end as usize))
                .unwrap_or_default(),
        };
        let watched = match reason.action() {
            Action::Pass => None,
            Action::Drop | Action::Answer => Some(reason),
        };
        Some(Self {
            packet,
            payload,
            watched,
        })
    }
}

/// What a configuration does to a packet, whatever came before it. What limits do depends on rates, and
/// is left out.
struct Policy<'c> {
    enforced: u64,
    rules: Vec<Listed<'c>>,
    protocols: Policies,
}

impl<'c> Policy<'c> {
    fn of(config: &'c Config, state: &'c State) -> Self {
        Self {
            enforced: settings::mode(config, state).enforced(),
            rules: rules::all(config, state),
            protocols: config.protocols.policies(),
        }
    }

    /// By what a packet is stopped, if it is.
    fn stops(&self, seen: &Seen<'_>) -> Option<String> {
        let enforces = |reason: Reason| self.enforced & reason.bit() != 0;
        // What rules are for is judged anew.
        let watched = seen.watched.filter(|reason| {
            !matches!(
                reason,
                Reason::RuleDrop | Reason::RuleLimit | Reason::ProtocolDrop
            )
        });
        if let Some(reason) = watched.filter(|reason| enforces(*reason)) {
            return Some(format!("{} is enforced", reasons::name(reason)));
        }
        let decides = self.rules.iter().find(|listed| {
            let is_final = !matches!(listed.rule.action, rule::Action::Limit { .. });
            is_final
                && !listed.rule.shadow
                && matches::matches(listed.rule, &seen.packet, seen.payload)
        });
        if let Some(listed) = decides {
            let drops = listed.rule.action == rule::Action::Drop && enforces(Reason::RuleDrop);
            return drops.then(|| listed.rule.to_string());
        }
        let policy = self.protocols.get(usize::from(seen.packet.protocol));
        let is_dropped = policy == Some(&(ProtocolPolicy::Drop as u32));
        (is_dropped && enforces(Reason::ProtocolDrop))
            .then(|| format!("IP protocol {} is dropped", seen.packet.protocol))
    }
}
