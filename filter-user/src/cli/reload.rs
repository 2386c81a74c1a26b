//! `floodwall reload`.

use clap::Args;
use hyper::Method;

use super::{context::Context, exit::Failure};

/// Arguments.
#[derive(Debug, Args)]
pub struct Reload {}

impl Reload {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        context.show_outcome(&context.client()?.command(Method::POST, "/v1/reload", &[])?)
    }
}
