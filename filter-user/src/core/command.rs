//! What an operator, or a detector, can ask for. Both come in by this door.

use std::{sync::Arc, time::Duration};

use filter_common::abi::{defence::Defence, reason::Reason};
use ipnet::IpNet;

use super::rules::RuleId;
use crate::{
    api::types::{ListKind, Mode},
    config::{
        defence::DefenceMode,
        limit::{LimitName, LimitRate},
    },
    rules::Rule,
};

/// A wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Put prefixes on a list. They are masked already.
    Add {
        /// Which list.
        list: ListKind,
        /// What.
        prefixes: Vec<IpNet>,
        /// For how long.
        duration: Option<Duration>,
        /// Why; clean text.
        reason: String,
        /// Even where it would do harm.
        force: bool,
    },
    /// Take prefixes off a list.
    Remove {
        /// Which list.
        list: ListKind,
        /// What.
        prefixes: Vec<IpNet>,
    },
    /// Empty a list: single entries and imported lists.
    Flush {
        /// Which list.
        list: ListKind,
    },
    /// Replace a named list.
    Import {
        /// Which list.
        list: ListKind,
        /// Its name.
        name: String,
        /// All of it, masked, in order, without repetitions.
        prefixes: Arc<[IpNet]>,
        /// For how long.
        duration: Option<Duration>,
        /// Why; clean text.
        reason: String,
        /// Even where it would do harm.
        force: bool,
    },
    /// Set a limit by hand; `None` is off.
    SetLimit {
        /// Which.
        name: LimitName,
        /// To what, in what the limit counts.
        rate: Option<LimitRate>,
        /// For how long.
        duration: Option<Duration>,
    },
    /// Give a limit back to the file and the defaults.
    AutoLimit {
        /// Which.
        name: LimitName,
    },
    /// Say when a defence holds.
    SetDefence {
        /// Which.
        defence: Defence,
        /// When.
        mode: DefenceMode,
        /// Of cookies: only at these TCP ports; all if neither ports nor services are named.
        ports: Vec<u16>,
        /// Likewise, at the ports of these services.
        services: Vec<String>,
        /// For how long.
        duration: Option<Duration>,
        /// Why; clean text.
        reason: String,
    },
    /// Give a defence back to the file and the defaults.
    AutoDefence {
        /// Which.
        defence: Defence,
    },
    /// Hold a defence for a time beside what file and operators say: the controller's alone.
    Hold {
        /// Which.
        defence: Defence,
        /// Of cookies: at these TCP ports; all that listen if none is named.
        ports: Vec<u16>,
        /// For how long, from now on; again before that, it goes on.
        duration: Duration,
        /// Why, with figures; clean text.
        reason: String,
    },
    /// Let go of a defence that is held.
    Release {
        /// Which.
        defence: Defence,
    },
    /// Lower a limit for a time that no operator and no file has set: the controller's alone.
    Lower {
        /// Which.
        name: LimitName,
        /// To what. Never above what holds otherwise.
        rate: LimitRate,
        /// For how long, from now on; again before that, it goes on.
        duration: Duration,
        /// Why, with figures; clean text.
        reason: String,
    },
    /// Give a limit back that was lowered.
    Raise {
        /// Which.
        name: LimitName,
    },
    /// Put a rule among those added at run time.
    AddRule {
        /// What it does with which packets.
        rule: Box<Rule>,
        /// Before which other; behind all if none.
        before: Option<RuleId>,
        /// For how long.
        duration: Option<Duration>,
        /// Why; clean text.
        reason: String,
        /// Even where it would do harm.
        force: bool,
    },
    /// Take rules away that were added at run time.
    RemoveRules {
        /// Which.
        ids: Vec<RuleId>,
    },
    /// Change the mode.
    SetMode {
        /// To what.
        mode: Mode,
        /// With `enforce`, only these; all if empty.
        reasons: Vec<Reason>,
        /// For how long.
        duration: Option<Duration>,
    },
    /// Protect an interface that was detached.
    Attach {
        /// Its name.
        interface: String,
    },
    /// Stop protecting an interface, and remember that.
    Detach {
        /// Its name; all if none.
        interface: Option<String>,
        /// For how long.
        duration: Option<Duration>,
    },
    /// Read the configuration file again.
    Reload,
    /// Carry another out, and take it back unless somebody confirms it in time.
    Try {
        /// The other.
        command: Box<Command>,
        /// How long to wait for that.
        within: Duration,
    },
    /// Keep what waits for that.
    Confirm,
    /// Take back what waits for confirmation, or else what an operator did last.
    Undo,
}

impl Command {
    /// Whether it reads the configuration again.
    pub fn reloads(&self) -> bool {
        if let Self::Try { command, .. } = self {
            return command.reloads();
        }
        *self == Self::Reload
    }
}
