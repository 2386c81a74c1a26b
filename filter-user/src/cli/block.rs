//! `floodwall block`.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Subcommand;
use hyper::Method;

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
    Flush {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Block {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.execute(context, ListKind::Block),
            Self::Del(command) => command.execute(context, ListKind::Block),
            Self::List(command) => command.execute(context, ListKind::Block),
            Self::Import(command) => command.execute(context, ListKind::Block),
            Self::Flush { yes } => flush(context, yes),
        }
    }
}

fn flush(context: &Context, yes: bool) -> Result<(), Failure> {
    if !yes {
        confirm(context)?;
    }
    context.show_outcome(
        &context
            .client()?
            .command(Method::DELETE, "/v1/block", &[])?,
    )
}

fn confirm(context: &Context) -> Result<(), Failure> {
    if context.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(
            "this takes every entry off the blocklist and cannot be undone: say so with `floodwall \
             block flush --yes`",
        ));
    }
    let mut answer = String::new();
    write!(
        io::stderr(),
        "Take every entry off the blocklist, imported lists too? [y/N] "
    )?;
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}
