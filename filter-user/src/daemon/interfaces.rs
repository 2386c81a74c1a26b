//! Interfaces: attaching to them, and noticing when they go and come back.

use filter_common::abi::reason::Reason;

use super::state::{Daemon, failed};
use crate::{
    api::types::AttachMode,
    core::{actor::Actor, refusal::Refusal},
    dataplane::{Attachment, Dataplane},
};

/// How one interface fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The program is attached.
    On(Attachment),
    /// It is not, and why.
    Off(String),
    /// An operator detached it.
    Detached,
}

impl<D: Dataplane> Daemon<D> {
    /// What a start does, while drivers may still bring interfaces: one that is missing is waited for.
    pub fn protect_first(&mut self) -> Result<(), Refusal> {
        self.protect_all(true)
    }

    /// What a reload does: a name that no interface has is refused.
    pub fn protect(&mut self) -> Result<(), Refusal> {
        self.protect_all(false)
    }

    /// Attaches to every interface of the configuration that no operator detached: all of them,
    /// or, at the first that refuses, none that was not attached before.
    ///
    /// New ones go first, for they may refuse; only then is anything touched that was there.
    fn protect_all(&mut self, waits: bool) -> Result<(), Refusal> {
        self.follow_routes();
        // Nobody typed those that were found: they are as good as gone for a while.
        let waits = waits || self.config.default_route;
        let mut wanted = Vec::new();
        for name in self.config.interfaces.clone() {
            if self.state.detached.contains_key(&name) {
                self.detach(&name)?;
            } else {
                let before = self.plane.attachment(&name).map_err(failed)?;
                wanted.push((before.is_some(), name));
            }
        }
        wanted.sort_by_key(|(was_attached, _)| *was_attached);
        for (done, (was_attached, name)) in wanted.iter().enumerate() {
            match self.plane.attach(name) {
                Ok(attachment) => self.attached(name, attachment, *was_attached),
                // One that was protected before may be away for a while; it is waited for.
                Err(error) if self.protection.contains_key(name) => {
                    self.unprotected(name, error.to_string());
                }
                Err(_) if waits && self.is_missing(name) => self.await_interface(name),
                Err(error) => {
                    for (_, fresh) in wanted.iter().take(done).filter(|(was, _)| !was) {
                        self.detach_quietly(fresh);
                        self.protection.remove(fresh);
                    }
                    return Err(failed(error));
                }
            }
        }
        self.release_others()
    }

    /// Detaches from interfaces that the configuration no longer names.
    fn release_others(&mut self) -> Result<(), Refusal> {
        for name in self.plane.pinned().map_err(failed)? {
            if !self.config.interfaces.contains(&name) {
                self.plane.detach(&name).map_err(failed)?;
                self.protection.remove(&name);
                let text = format!("{name} is no longer configured and was detached");
                self.tell(&Actor::Daemon, "interface.detached", &text);
            }
        }
        let configured = &self.config.interfaces;
        self.protection.retain(|name, _| configured.contains(name));
        Ok(())
    }

    /// Attaches to one interface, by an operator's wish, and says how.
    pub(super) fn attach(&mut self, name: &str) -> Result<String, Refusal> {
        let attachment = self.plane.attach(name).map_err(failed)?;
        self.attached(name, attachment, false);
        Ok(format!("{name} is protected ({})", how(attachment)))
    }

    /// Detaches from one interface, by an operator's wish.
    pub(super) fn detach(&mut self, name: &str) -> Result<(), Refusal> {
        self.plane.detach(name).map_err(failed)?;
        self.protection
            .insert(name.to_owned(), Protection::Detached);
        Ok(())
    }

    fn detach_quietly(&mut self, name: &str) {
        if let Err(error) = self.plane.detach(name) {
            tracing::error!("{error}");
        }
    }

    fn attached(&mut self, name: &str, attachment: Attachment, again: bool) {
        if again && self.protection.get(name) == Some(&Protection::On(attachment)) {
            return;
        }
        let done = if again {
            "is protected by a new program"
        } else {
            "is protected"
        };
        let text = format!("{name} {done} ({})", how(attachment));
        self.protection
            .insert(name.to_owned(), Protection::On(attachment));
        self.tell(&Actor::Daemon, "interface.attached", &text);
    }

    /// Looks which program protected interfaces have, after another was put in force. What went wrong
    /// is found by [`Daemon::keep_protected`].
    pub(super) fn renew_attachments(&mut self) {
        for (name, protection) in &mut self.protection {
            if let Protection::On(attachment) = protection
                && let Ok(Some(new)) = self.plane.attachment(name)
            {
                *attachment = new;
            }
        }
    }

    /// Looks whether every interface is still protected, and protects again what came back.
    pub(super) fn keep_protected(&mut self) {
        self.follow_routes();
        match self.plane.keep_pins() {
            Ok(is_renewed) => {
                match self.plane.lone_pins() {
                    Some(text) => self.trouble("pins", text),
                    None => drop(self.troubles.remove("pins")),
                }
                if is_renewed {
                    let text =
                        "the BPF file system was unmounted: all pins were gone, and are made anew";
                    tracing::warn!("{text}");
                    self.tell(&Actor::Daemon, "pins.renewed", text);
                }
            }
            Err(error) => {
                // Nothing is known of links without their pins, and they are as they were.
                self.trouble("pins", error.to_string());
                return;
            }
        }
        for name in self.config.interfaces.clone() {
            if self.state.detached.contains_key(&name) {
                continue;
            }
            match self.plane.attachment(&name) {
                Ok(Some(attachment)) => {
                    self.protection.insert(name, Protection::On(attachment));
                }
                Ok(None) => self.protect_again(&name),
                Err(error) => self.unprotected(&name, error.to_string()),
            }
        }
    }

    fn protect_again(&mut self, name: &str) {
        match self.plane.attach(name) {
            Ok(attachment) => self.attached(name, attachment, false),
            Err(_) if self.is_missing(name) => self.await_interface(name),
            Err(error) => self.unprotected(name, error.to_string()),
        }
    }

    /// Whether there is no such interface; what cannot be asked is not missing.
    fn is_missing(&mut self, name: &str) -> bool {
        let links = self.host.links();
        links.is_ok_and(|links| links.iter().all(|link| link.name != name))
    }

    fn await_interface(&mut self, name: &str) {
        let problem = format!(
            "there is no interface {name}; it is protected as soon as there is one. If that is not \
             its name, mend `interfaces` in the configuration and reload: `ip link` shows those there \
             are"
        );
        self.unprotected(name, problem);
    }

    fn unprotected(&mut self, name: &str, problem: String) {
        let off = Protection::Off(problem.clone());
        if self.protection.get(name) != Some(&off) {
            let text = format!("{name} is NOT protected: {problem}");
            tracing::error!("{text}");
            self.protection.insert(name.to_owned(), off);
            self.tell(&Actor::Daemon, "interface.lost", &text);
        }
    }

    fn protected(&self) -> Vec<&str> {
        self.protection
            .iter()
            .filter(|(_, protection)| matches!(protection, Protection::On(_)))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What the daemon does once it has started, in words.
    pub fn greeting(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let names = self.protected();
        if names.is_empty() {
            return format!("floodwall {version} runs; no interface is protected yet");
        }
        format!("floodwall {version} protects {}", names.join(", "))
    }

    /// What stays behind when the daemon stops, in words.
    pub fn farewell(&self) -> String {
        let names = self.protected();
        if names.is_empty() {
            return "floodwall stops; no interface is protected".to_owned();
        }
        let does = if self.settings.enforced & Reason::all_drops() == 0 {
            "goes on counting"
        } else {
            "goes on dropping"
        };
        format!(
            "floodwall stops; the filter stays attached to {} and {does}. `floodwall detach` takes \
             it away",
            names.join(", ")
        )
    }
}

/// An attachment in words.
fn how(attachment: Attachment) -> String {
    let mode = match attachment.mode {
        AttachMode::Native => "native mode",
        AttachMode::Generic => "generic mode: slower, and an aggregate of packets counts as one",
    };
    format!("{mode}, program {}", attachment.program_id)
}
