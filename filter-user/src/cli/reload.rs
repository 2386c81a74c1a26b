//! `floodwall reload`.

use clap::Args;
use hyper::Method;

use super::{context::Context, exit::Failure, value};

/// Arguments.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    trial: value::Trial,
}

impl Reload {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = [("confirm", self.trial.confirm)];
        let client = context.client()?;
        context.show_outcome(&client.command(Method::POST, "/v1/reload", &query)?)
    }
}
