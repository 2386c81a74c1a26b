//! `floodwall config`.

use std::{io::Write, path::PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::{context::Context, exit::Failure};
use crate::{
    api::types::{Mode, SCHEMA},
    config,
    render::safe,
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say whether a file is good, and if not, what is wrong where
    Check {
        /// The configuration
        file: PathBuf,
    },
}

/// A good configuration, as JSON.
#[derive(Serialize)]
struct Good<'a> {
    schema: u32,
    file: String,
    interfaces: &'a [String],
    default_route: bool,
    mode: Mode,
}

impl Config {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self::Check { file } = self;
        let config =
            config::Config::load(&file).map_err(|error| Failure::failed(error.to_string()))?;
        let good = Good {
            schema: SCHEMA,
            file: file.display().to_string(),
            interfaces: &config.interfaces,
            default_route: config.default_route,
            mode: config.mode,
        };
        context.show(&good, |out, _| {
            let interfaces = match config.interfaces.as_slice() {
                [] if config.default_route => "those that default routes go through".to_owned(),
                [] => "none; `floodwall run --interface IF` names them".to_owned(),
                names => safe(&names.join(", ")),
            };
            let mode = match config.mode {
                Mode::Monitor => "monitor",
                Mode::Enforce => "enforce",
            };
            writeln!(out, "{} is good", safe(&good.file))?;
            writeln!(out, "mode: {mode}; interfaces: {interfaces}")
        })
    }
}
