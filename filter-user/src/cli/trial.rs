//! `floodwall confirm` and `floodwall undo`.

use clap::Args;
use hyper::Method;

use super::{context::Context, exit::Failure, value};

/// Arguments of `confirm`.
#[derive(Debug, Args)]
pub struct Confirm {}

/// Arguments of `undo`.
#[derive(Debug, Args)]
pub struct Undo {
    /// Say what would be taken back, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    trial: value::Trial,
}

impl Confirm {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.show_outcome(&client.command(Method::POST, "/v1/confirm", &[])?)
    }
}

impl Undo {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = [
            ("dry_run", self.dry_run.then(|| "true".to_owned())),
            ("confirm", self.trial.confirm),
        ];
        let client = context.client()?;
        context.show_outcome(&client.command(Method::POST, "/v1/undo", &query)?)
    }
}
