//! When defences hold.

use std::{collections::BTreeSet, time::Duration};

use filter_common::{abi::defence::Defence, logic::packet::protocol};

use super::{Decision, Situation, ending, simple};
use crate::{
    config::{
        defence::{DefenceMode, name},
        text::quote,
    },
    core::{
        defences,
        refusal::Refusal,
        state::{Change, State},
    },
};

/// A switch, as somebody wishes it.
pub(super) struct Wish<'a> {
    pub(super) defence: Defence,
    pub(super) mode: DefenceMode,
    pub(super) ports: &'a [u16],
    pub(super) services: &'a [String],
    pub(super) duration: Option<Duration>,
    pub(super) reason: &'a str,
}

impl Situation<'_> {
    pub(super) fn set_defence(&self, by: String, wish: &Wish<'_>) -> Result<Decision, Refusal> {
        let defence = wish.defence;
        if !DefenceMode::of(defence).contains(&wish.mode) {
            return Err(Refusal::invalid(format!(
                "{} can be {}",
                name(defence),
                words(DefenceMode::of(defence))
            )));
        }
        let ports = self.cookie_ports(wish)?;
        if wish.mode != DefenceMode::Off
            && let Some(why) = self.unable.get(&defence)
        {
            return Err(Refusal::refused(format!(
                "{} cannot hold here: {why}",
                name(defence)
            )));
        }
        let until = self.until(wish.duration)?;
        let because = match wish.reason {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let what = format!("{}{}{because}", wish.mode, ending(until));
        if ports.is_empty() {
            let (mut changes, said) = self.end_hold(defence);
            changes.extend(self.forget_ports(defence));
            let set = self.set(wish.mode, by, until);
            changes.push(Change::Defence(defence, Some(set)));
            let text = format!("defence {} is {what}{said}", name(defence));
            return Ok(simple("defence.set", text, changes));
        }
        let is_on = match wish.mode {
            DefenceMode::Off => Some(false),
            DefenceMode::On => Some(true),
            // They go with the defence as a whole.
            DefenceMode::Auto | DefenceMode::Pressure => None,
        };
        let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let noun = if ports.len() == 1 { "port" } else { "ports" };
        let text = format!(
            "defence {} at {noun} {} is {what}",
            name(defence),
            list.join(", ")
        );
        let changes = ports.into_iter().map(|port| {
            let set = is_on.map(|is_on| self.set(is_on, by.clone(), until));
            Change::CookiePort(port, set)
        });
        Ok(simple("defence.set", text, changes.collect()))
    }

    pub(super) fn auto_defence(&self, defence: Defence) -> Decision {
        let (mut changes, said) = self.end_hold(defence);
        changes.extend(self.forget_ports(defence));
        // What nobody set need not be taken out of the store, which may be full.
        if self.state.defences.contains_key(&defence) {
            changes.push(Change::Defence(defence, None));
        }
        let text = format!(
            "defence {} is back to {}{said}",
            name(defence),
            defences::mode(self.config, &State::default(), defence)
        );
        simple("defence.auto", text, changes)
    }

    /// Ports that were switched by themselves go with the defence as a whole again.
    fn forget_ports(&self, defence: Defence) -> Vec<Change> {
        if defence != Defence::Cookies {
            return Vec::new();
        }
        let ports = self.state.cookie_ports.keys();
        ports.map(|port| Change::CookiePort(*port, None)).collect()
    }

    /// The ports that are named, by number or by service.
    fn cookie_ports(&self, wish: &Wish<'_>) -> Result<BTreeSet<u16>, Refusal> {
        if wish.defence != Defence::Cookies && !(wish.ports.is_empty() && wish.services.is_empty())
        {
            return Err(Refusal::invalid(format!(
                "{} holds for the whole host: only `cookies` can be switched at single ports",
                name(wish.defence)
            )));
        }
        let mut ports: BTreeSet<u16> = wish.ports.iter().copied().collect();
        if ports.contains(&0) {
            return Err(Refusal::invalid("nobody listens on port 0"));
        }
        for service in wish.services {
            ports.insert(self.tcp_port(service)?);
        }
        Ok(ports)
    }

    /// The port that a service stands for.
    fn tcp_port(&self, service: &str) -> Result<u16, Refusal> {
        let found = self.service(service)?;
        match (found.matches.protocol, found.matches.port) {
            (protocol::TCP, Some(port)) => Ok(port),
            _ => Err(Refusal::invalid(format!(
                "the service {} is none of one TCP port: name ports with --port",
                quote(service)
            ))),
        }
    }
}

/// `off`, `pressure` or `on`.
fn words(modes: &[DefenceMode]) -> String {
    let words: Vec<String> = modes.iter().map(|mode| format!("`{mode}`")).collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        few => few.concat(),
    }
}
