//! `floodwall ban`.

use clap::Subcommand;

use super::{context::Context, exit::Failure, lists};
use crate::api::types::ListKind;

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Ban {
    /// Drop packets from addresses or prefixes for a time: 10 minutes, unless --for says
    Add(lists::Add),
    /// Lift bans
    Del(lists::Delete),
    /// Show the bans
    List(lists::List),
    /// Lift every ban
    Flush(lists::Flush),
}

impl Ban {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.execute(context, ListKind::Ban),
            Self::Del(command) => command.execute(context, ListKind::Ban),
            Self::List(command) => command.execute(context, ListKind::Ban),
            Self::Flush(command) => command.execute(context, ListKind::Ban),
        }
    }
}
