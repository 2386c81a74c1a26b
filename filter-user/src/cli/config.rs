//! `floodwall config`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use hyper::Method;
use serde::Serialize;

use super::{context::Context, exit::Failure};
use crate::{
    api::types::{ConfigDiff, DiffConfig, Mode, SCHEMA},
    config,
    render::{self, safe},
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say whether a file is good, and if not, what is wrong where
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Show what a reload would change, and whom of the last hour's samples it would hit
    Diff {
        /// The configuration; the daemon's own file as it is now if none is named
        file: Option<PathBuf>,
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
        match self {
            Self::Check { file } => check(context, &file),
            Self::Diff { file } => diff(context, file.as_deref()),
        }
    }
}

fn diff(context: &Context, file: Option<&Path>) -> Result<(), Failure> {
    let text = file
        .map(|file| {
            // What is wrong is told with the name of this file, and not of the daemon's.
            let text = config::Config::read(file).map_err(unusable)?;
            config::Config::parse(&text, file).map_err(unusable)?;
            Ok::<_, Failure>(text)
        })
        .transpose()?;
    let client = context.client()?;
    let body = DiffConfig { text };
    let diff: ConfigDiff = client.post(Method::POST, "/v1/config/diff", &body)?;
    context.show(&diff, |out, style| render::diff::render(out, &diff, style))
}

fn check(context: &Context, file: &Path) -> Result<(), Failure> {
    let config = config::Config::load(file).map_err(unusable)?;
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

fn unusable(error: config::file::ConfigError) -> Failure {
    Failure::failed(error.to_string())
}
