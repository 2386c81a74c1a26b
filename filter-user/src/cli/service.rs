//! `floodwall service`.

use clap::Subcommand;

use super::{context::Context, exit::Failure};
use crate::{api::types::Services, render};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Show the services, their ceilings, and what was dropped above them
    List,
}

impl Service {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => {
                let services: Services = context.client()?.get("/v1/services", &[])?;
                context.show(&services, |out, style| {
                    render::services::render(out, &services.services, style)
                })
            }
        }
    }
}
