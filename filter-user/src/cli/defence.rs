//! `floodwall defence`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{client::encode, context::Context, exit::Failure, value};
use crate::{
    api::types::{Defences, SetDefence},
    render,
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Defence {
    /// Show the defences, when they hold, what they dropped, and what they leave out
    List,
    /// Say when a defence holds
    Set(Set),
    /// Give a defence back to the configuration
    Auto {
        /// Its name, as `list` shows it
        #[arg(value_parser = value::defence_name)]
        name: String,
        #[command(flatten)]
        trial: value::Trial,
    },
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub struct Set {
    /// cookies, sockets, closed-ports, solicited, connections, icmp or protocols
    #[arg(value_parser = value::defence_name)]
    name: String,
    /// off, on, or pressure: while the CPU receives much; cookies are off or on
    #[arg(value_parser = value::defence_mode)]
    mode: String,
    /// How long, like 90s, 1h or 7d; without it, until `defence auto`
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    /// Of cookies: only at this TCP port; may be given again
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,
    /// Of cookies: only at the TCP port of this service; may be given again
    #[arg(long = "service", value_name = "NAME", value_parser = value::service_name)]
    services: Vec<String>,
    /// Why, for the journal
    #[arg(long, value_parser = value::clean, default_value = "")]
    reason: String,
    #[command(flatten)]
    trial: value::Trial,
}

impl Defence {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => {
                let defences: Defences = context.client()?.get("/v1/defences", &[])?;
                context.show(&defences, |out, style| {
                    render::defences::render(out, &defences, style)
                })
            }
            Self::Set(set) => set.execute(context),
            Self::Auto { name, trial } => {
                let path = format!("/v1/defences/{}", encode(&name));
                let query = [("confirm", trial.confirm)];
                context.show_outcome(&context.client()?.command(Method::DELETE, &path, &query)?)
            }
        }
    }
}

impl Set {
    fn execute(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/defences/{}", encode(&self.name));
        let body = SetDefence {
            mode: self.mode,
            ports: self.ports,
            services: self.services,
            duration: self.duration,
            reason: self.reason,
            confirm: self.trial.confirm,
        };
        context.show_outcome(&context.client()?.send(Method::PUT, &path, &body)?)
    }
}
