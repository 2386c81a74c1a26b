//! What every command has: where things are, and how its reader wants them.

use std::{
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    path::{Path, PathBuf},
};

use comfy_table::Table;
use serde::Serialize;

use super::{GlobalOptions, client::Client, exit::Failure};
use crate::{
    api::types::Outcome,
    config::Config,
    render::{self, Style},
};

/// The configuration that is read if it is there and none is named.
const DEFAULT_CONFIG: &str = "/etc/floodwall/floodwall.toml";

/// What every command has.
#[derive(Debug)]
pub struct Context {
    /// Nothing but JSON on stdout.
    pub json: bool,
    /// The configuration, with what the command line says otherwise about paths.
    pub config: Config,
    /// The file it is from.
    pub config_path: Option<PathBuf>,
    /// What the terminal can show.
    pub style: Style,
}

impl Context {
    /// From what stands before and behind the command.
    ///
    /// With `strict`, a default configuration that cannot be used is an error; else a command that
    /// only needs to know where the socket is goes on without.
    pub fn new(options: &GlobalOptions, strict: bool) -> Result<Self, Failure> {
        let (mut config, config_path) = configuration(options, strict)?;
        if let Some(socket) = &options.socket {
            config.paths.socket.clone_from(socket);
        }
        if let Some(bpf) = &options.bpf {
            config.paths.bpf.clone_from(bpf);
        }
        Ok(Self {
            json: options.json,
            config,
            config_path,
            style: style(),
        })
    }

    /// The way to the daemon.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.config.paths.socket, &self.config.access)
    }

    /// Writes a value as JSON, or as `text` renders it.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&mut BufWriter<StdoutLock<'static>>, &Style) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        } else {
            text(&mut out, &self.style)?;
        }
        out.flush()?;
        Ok(())
    }

    /// Writes what a change did.
    pub fn show_outcome(&self, outcome: &Outcome) -> Result<(), Failure> {
        self.show(outcome, |out, _| render::outcome::render(out, outcome))
    }

    /// Says something beside the output, where a person reads along.
    pub fn hint(&self, text: &str) {
        if !self.json {
            // If nobody listens, the output still says what matters.
            let _ = writeln!(io::stderr(), "floodwall: {}", render::safe(text));
        }
    }
}

/// Standard output, in large pieces.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

fn configuration(
    options: &GlobalOptions,
    strict: bool,
) -> Result<(Config, Option<PathBuf>), Failure> {
    let default = Path::new(DEFAULT_CONFIG);
    let (path, strict) = match &options.config {
        Some(path) => (path.as_path(), true),
        None if default.exists() => (default, strict),
        None => return Ok((Config::default(), None)),
    };
    match Config::load(path) {
        Ok(config) => Ok((config, Some(path.to_owned()))),
        Err(error) if strict => Err(Failure::failed(error.to_string())),
        Err(error) => {
            if !options.json {
                // Not what was asked for, but the paths may be others.
                let _ = writeln!(io::stderr(), "floodwall: going on with defaults: {error}");
            }
            Ok((Config::default(), None))
        }
    }
}

fn style() -> Style {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let terminal = io::stdout().is_terminal();
    Style {
        width: Table::new().width().filter(|_| terminal),
        colour: terminal && !plain,
    }
}
