//! `floodwall mode`.

use clap::Args;
use hyper::Method;
use serde::Serialize;

use super::{context::Context, exit::Failure, status, value};
use crate::{
    api::types::{self, Outcome, Override, SCHEMA, SetMode},
    dataplane::pins,
    render,
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Mode {
    /// What to do; without it the mode is shown
    mode: Option<types::Mode>,
    /// With enforce: drop only for these reasons, and watch the others
    reasons: Vec<String>,
    /// How long, like 90s, 1h or 7d; without it, until it is changed again
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME", requires = "mode")]
    duration: Option<String>,
    /// Take it back unless `floodwall confirm` says within this time, like 120s, to keep it
    #[arg(long, value_parser = value::duration, value_name = "TIME", requires = "mode")]
    confirm: Option<String>,
}

/// The mode as JSON.
#[derive(Serialize)]
struct Shown {
    schema: u32,
    mode: types::Mode,
    daemon: bool,
    #[serde(rename = "override")]
    changed: Option<Override>,
}

impl Mode {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let Some(mode) = self.mode else {
            return show(context);
        };
        let body = SetMode {
            mode,
            reasons: self.reasons,
            duration: self.duration,
            confirm: self.confirm,
        };
        if body.mode == types::Mode::Monitor && !body.reasons.is_empty() {
            return Err(Failure::usage(
                "monitor mode takes no reasons: nothing is dropped for any of them",
            ));
        }
        let client = match body.mode {
            types::Mode::Enforce => context.client()?,
            types::Mode::Monitor => context.client()?.urgent(),
        };
        let answer = client.send(Method::PUT, "/v1/mode", &body);
        let outcome = match body.mode {
            types::Mode::Enforce => answer?,
            types::Mode::Monitor => {
                let without = |_: &Failure| {
                    let mended = pins::monitor(&context.config.paths)?;
                    Ok(monitored(mended, body.duration.is_some()))
                };
                let (outcome, absent) = status::or_pins(answer, without)?;
                if let Some(failure) = absent {
                    context.hint(&failure.to_string());
                }
                outcome
            }
        };
        context.show_outcome(&outcome)
    }
}

/// What was done without a daemon.
fn monitored(mended: Option<String>, timed: bool) -> Outcome {
    let mut notes = vec!["monitor mode, set without a daemon: nothing is dropped".to_owned()];
    notes.extend(mended);
    if timed {
        notes.push("nobody is there to end it: it lasts until it is changed again".to_owned());
    }
    Outcome {
        schema: SCHEMA,
        notes,
        ..Outcome::default()
    }
}

fn show(context: &Context) -> Result<(), Failure> {
    let status = status::ask(context)?;
    let changed = status
        .overrides
        .iter()
        .find(|change| change.name == "mode")
        .cloned();
    let shown = Shown {
        schema: SCHEMA,
        mode: status.mode,
        daemon: status.daemon,
        changed,
    };
    context.show(&shown, |out, _| {
        use std::io::Write;
        writeln!(out, "{}", render::status::mode_in_words(&status))?;
        if let Some(change) = &shown.changed {
            let (by, file) = (render::safe(&change.by), render::safe(&change.file));
            let since = render::time(change.since);
            let until = match change.until {
                Some(until) => format!("until {}", render::time(until)),
                None => "without an end".to_owned(),
            };
            writeln!(out, "set by {by} at {since}, {until}; the file says {file}")?;
        }
        Ok(())
    })
}
