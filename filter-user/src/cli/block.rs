//! `floodwall block`.

use clap::Subcommand;

use super::{context::Context, exit::Failure, lists};
use crate::api::types::ListKind;

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Block {
    /// Drop packets from addresses or prefixes
    Add(lists::Add),
    /// Take entries off the list
    Del(lists::Delete),
    /// Show the entries
    List(lists::List),
    /// Drop packets from every address in a file; replaces the list of that name
    Import(lists::Import),
    /// Take every entry off the list, imported ones too
    Flush(lists::Flush),
}

impl Block {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.execute(context, ListKind::Block),
            Self::Del(command) => command.execute(context, ListKind::Block),
            Self::List(command) => command.execute(context, ListKind::Block),
            Self::Import(command) => command.execute(context, ListKind::Block),
            Self::Flush(command) => command.execute(context, ListKind::Block),
        }
    }
}
