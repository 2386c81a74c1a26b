//! `floodwall allow`.

use clap::Subcommand;

use super::{context::Context, exit::Failure, lists};
use crate::api::types::ListKind;

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Never block or limit addresses or prefixes
    Add(lists::Add),
    /// Take entries off the list
    Del(lists::Delete),
    /// Show the entries
    List(lists::List),
    /// Never block or limit any address in a file; replaces the list of that name
    Import(lists::Import),
}

impl Allow {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.execute(context, ListKind::Allow),
            Self::Del(command) => command.execute(context, ListKind::Allow),
            Self::List(command) => command.execute(context, ListKind::Allow),
            Self::Import(command) => command.execute(context, ListKind::Allow),
        }
    }
}
