//! `floodwall run`.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::{GlobalOptions, context::Context, exit::Failure, value};
use crate::{
    api::types::Mode,
    daemon::{self, state::Source},
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Run {
    /// Protect this interface, and not those of the configuration; can be repeated
    #[arg(long = "interface", short, visible_alias = "iface", value_parser = value::interface, value_name = "IF")]
    interfaces: Vec<String>,
    /// How the log is written
    #[arg(long, value_enum, default_value_t = Log::Text, value_name = "FORMAT")]
    log: Log,
    /// Watch or drop, whatever the configuration says
    #[arg(long)]
    mode: Option<Mode>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Log {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

impl Run {
    /// Does it, until it is told to stop.
    pub fn execute(self, context: &Context, options: &GlobalOptions) -> Result<(), Failure> {
        let source = Source {
            file: context.config_path.clone(),
            interfaces: self.interfaces,
            mode: self.mode,
            socket: options.socket.clone(),
            bpf: options.bpf.clone(),
        };
        // Whatever is written is for nobody else, also where no unit says so.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        self.log.begin();
        daemon::run(source).map_err(|error| Failure::failed(format!("{error:#}")))
    }
}

impl Log {
    /// The log goes to stderr; `RUST_LOG` says how much of it.
    fn begin(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(colour);
        match self {
            Self::Text => log.init(),
            Self::Json => log.json().flatten_event(true).init(),
        }
    }
}
