//! `floodwall status`.

use clap::Args;

use super::{
    context::Context,
    exit::{Code, Failure},
};
use crate::{api::types, dataplane::pins, render};

/// Arguments.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let status = ask(context)?;
        context.show(&status, |out, style| {
            render::status::render(out, &status, style)
        })
    }
}

/// The daemon's status, or without a daemon what the pins tell.
pub fn ask(context: &Context) -> Result<types::Status, Failure> {
    let answer = context.client()?.urgent().get("/v1/status", &[]);
    let without = |absent: &Failure| pins::status(&context.config.paths, &absent.to_string());
    or_pins(answer, without).map(|(status, _)| status)
}

/// What the daemon answered; if none does, what can be done without, and the daemon's absence.
pub fn or_pins<T>(
    answer: Result<T, Failure>,
    without: impl FnOnce(&Failure) -> anyhow::Result<T>,
) -> Result<(T, Option<Failure>), Failure> {
    match answer {
        Ok(value) => Ok((value, None)),
        Err(failure) if failure.code == Code::NoDaemon => match without(&failure) {
            Ok(value) => Ok((value, Some(failure))),
            Err(error) => Err(failure.and(&format!("without it: {error:#}"))),
        },
        Err(failure) => Err(failure),
    }
}
