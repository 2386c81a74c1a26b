//! `floodwall limit`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{client::encode, context::Context, exit::Failure, value};
use crate::{
    api::types::{Limits, SetLimit},
    render,
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Limit {
    /// Show the limits, who set them and when they hold
    Show,
    /// Set a limit, which then holds in calm too
    Set(Set),
    /// Give a limit back to the configuration
    Auto {
        /// Its name, as `show` lists it
        #[arg(value_parser = value::limit_name)]
        name: String,
        #[command(flatten)]
        trial: value::Trial,
    },
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub struct Set {
    /// source. or prefix. with packets, syn, udp, icmp or bytes behind it; fragments;
    /// service.NAME or service.NAME.bytes
    #[arg(value_parser = value::limit_name)]
    name: String,
    /// Like 200/s, `20k/s burst 400` (quotes may be left out), 100MB/s, 1Gbit/s, or off
    #[arg(required = true, num_args = 1..)]
    rate: Vec<String>,
    /// How long, like 90s, 1h or 7d; without it, until `limit auto`
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    #[command(flatten)]
    trial: value::Trial,
}

impl Limit {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Show => {
                let limits: Limits = context.client()?.get("/v1/limits", &[])?;
                context.show(&limits, |out, style| {
                    render::limits::render(out, &limits, style)
                })
            }
            Self::Set(set) => set.execute(context),
            Self::Auto { name, trial } => {
                let path = format!("/v1/limits/{}", encode(&name));
                let query = [("confirm", trial.confirm)];
                context.show_outcome(&context.client()?.command(Method::DELETE, &path, &query)?)
            }
        }
    }
}

impl Set {
    fn execute(self, context: &Context) -> Result<(), Failure> {
        let rate = value::limit(&self.name, &self.rate.join(" ")).map_err(Failure::usage)?;
        let body = SetLimit {
            rate,
            duration: self.duration,
            confirm: self.trial.confirm,
        };
        let path = format!("/v1/limits/{}", encode(&self.name));
        context.show_outcome(&context.client()?.send(Method::PUT, &path, &body)?)
    }
}
