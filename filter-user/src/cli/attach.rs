//! `floodwall attach` and `floodwall detach`.

use clap::Args;
use hyper::Method;

use super::{client::encode, context::Context, exit::Failure, status, value};
use crate::{
    api::types::{Outcome, SCHEMA},
    dataplane::pins,
};

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// The interface
    #[arg(value_parser = value::interface)]
    interface: String,
    #[command(flatten)]
    trial: value::Trial,
}

/// Arguments of `detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// The interface; all if none is named
    #[arg(value_parser = value::interface)]
    interface: Option<String>,
    /// How long, like 90s, 1h or 7d; without it, until `attach`
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    /// Until the daemon starts again; it must have been stopped
    #[arg(long, conflicts_with = "duration")]
    once: bool,
    #[command(flatten)]
    trial: value::Trial,
}

impl Attach {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/interfaces/{}/attach", encode(&self.interface));
        let query = [("confirm", self.trial.confirm)];
        context.show_outcome(&context.client()?.command(Method::POST, &path, &query)?)
    }
}

impl Detach {
    /// Does it, without a daemon too.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        if self.once {
            let done = pins::detach_once(&context.config.paths, self.interface.as_deref())
                .map_err(|error| Failure::failed(format!("{error:#}")))?;
            return context.show_outcome(&detached(done, false));
        }
        let path = match &self.interface {
            Some(interface) => format!("/v1/interfaces/{}/detach", encode(interface)),
            None => "/v1/detach".to_owned(),
        };
        let answer = context.client()?.urgent().command(
            Method::POST,
            &path,
            &[
                ("for", self.duration.clone()),
                ("confirm", self.trial.confirm.clone()),
            ],
        );
        let without = |_: &Failure| {
            pins::detach(&context.config.paths, self.interface.as_deref())
                .map(|done| detached(done, self.duration.is_some()))
        };
        let (outcome, absent) = status::or_pins(answer, without)?;
        if let Some(failure) = absent {
            context.hint(&failure.to_string());
        }
        context.show_outcome(&outcome)
    }
}

/// What was done without a daemon.
fn detached(done: pins::Detached, timed: bool) -> Outcome {
    let mut notes: Vec<_> = done
        .names
        .iter()
        .map(|name| format!("{name} is not protected any more"))
        .collect();
    if notes.is_empty() {
        notes.push("no interface was protected".to_owned());
    }
    notes.extend(done.mended);
    notes.extend(done.losses);
    if timed {
        notes.push("nobody is there to end it: it lasts until `floodwall attach`".to_owned());
    }
    Outcome {
        schema: SCHEMA,
        notes,
        ..Outcome::default()
    }
}
