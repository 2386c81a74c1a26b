//! The command line: one file a noun, its arguments and its handler together.

mod allow;
mod attach;
mod ban;
mod block;
mod client;
mod config;
mod context;
mod defence;
mod doctor;
mod events;
mod exit;
mod incident;
mod limit;
mod lists;
mod mode;
mod reload;
mod rule;
mod run;
mod samples;
mod service;
mod stats;
mod status;
mod top;
mod trial;
mod value;
mod why;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use self::{
    context::Context,
    exit::{Code, Failure},
};
use crate::version;

/// Drops flood traffic at the network card, and says what it did.
#[derive(Debug, Parser)]
#[command(name = "floodwall", version = version::SHORT, long_version = version::LONG)]
#[command(max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon, 4 not permitted, \
                        5 refused.\nstatus, detach and mode monitor work without a daemon."
)]
struct Cli {
    #[command(flatten)]
    options: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct GlobalOptions {
    /// The daemon's control socket; the configuration names it otherwise
    #[arg(long, global = true, env = "FLOODWALL_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print nothing but JSON on stdout, errors too
    #[arg(long, global = true)]
    json: bool,
    /// The configuration; /etc/floodwall/floodwall.toml if it is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of pins; the configuration names it otherwise
    #[arg(long, global = true, value_name = "DIR")]
    bpf: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: protect interfaces and answer the other commands
    ///
    /// Stopping it leaves the filter in place; `floodwall detach` takes it away.
    Run(run::Run),
    /// Show mode, interfaces, totals, reasons, changes by hand and warnings
    Status(status::Status),
    /// Show rates of the last second
    Stats(stats::Stats),
    /// Watch attacks and act on them, on one screen
    Top(top::Top),
    /// Drop sources, or see which are dropped
    #[command(subcommand)]
    Block(block::Block),
    /// Drop sources for a time
    #[command(subcommand)]
    Ban(ban::Ban),
    /// Never drop sources, or see which are never dropped
    #[command(subcommand)]
    Allow(allow::Allow),
    /// Show or set limits of sources, prefixes, fragments and services
    #[command(subcommand)]
    Limit(limit::Limit),
    /// Show or switch the defences that do not ask who sent a packet
    #[command(subcommand)]
    Defence(defence::Defence),
    /// Show, add or remove rules
    #[command(subcommand)]
    Rule(rule::Rule),
    /// Show how protected services fare
    #[command(subcommand)]
    Service(service::Service),
    /// Show the mode, watch only, or drop
    Mode(mode::Mode),
    /// Tell what would happen to a packet from an address, and because of what
    Why(why::Why),
    /// Show what happened and who did what
    Events(events::Events),
    /// Show attacks that were noticed: what came, what was done, what passed
    #[command(subcommand)]
    Incident(incident::Incident),
    /// Show sampled packets, or save them for Wireshark
    Samples(samples::Samples),
    /// Check a configuration, or see what it would change
    #[command(subcommand)]
    Config(config::Config),
    /// Have the daemon read its configuration again, all or nothing
    Reload(reload::Reload),
    /// Keep what was changed with --confirm
    Confirm(trial::Confirm),
    /// Take back what waits for confirmation, or else the last change
    Undo(trial::Undo),
    /// Protect an interface again
    Attach(attach::Attach),
    /// Take the filter off an interface, or off all, until `attach`
    Detach(attach::Detach),
    /// See whether this host can be protected, and what would make it better
    Doctor(doctor::Doctor),
}

/// The command line as a value, for what is made of it: manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let json = cli.options.json;
    match execute(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.tell(json);
            ExitCode::from(failure.code as u8)
        }
    }
}

/// Help and version are no errors to clap either.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if wants_json && error.use_stderr() {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        Failure::usage(text).tell(true);
    } else {
        // If nobody listens, the exit code still says it.
        let _ = error.print();
    }
    if error.use_stderr() {
        ExitCode::from(Code::Usage as u8)
    } else {
        ExitCode::SUCCESS
    }
}

fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    let strict = matches!(cli.command, Command::Run(_) | Command::Doctor(_));
    let context = &Context::new(&cli.options, strict)?;
    match cli.command {
        Command::Run(command) => command.execute(context, &cli.options)?,
        Command::Status(command) => command.execute(context)?,
        Command::Stats(command) => command.execute(context)?,
        Command::Top(command) => command.execute(context)?,
        Command::Block(command) => command.execute(context)?,
        Command::Ban(command) => command.execute(context)?,
        Command::Allow(command) => command.execute(context)?,
        Command::Limit(command) => command.execute(context)?,
        Command::Defence(command) => command.execute(context)?,
        Command::Rule(command) => command.execute(context)?,
        Command::Service(command) => command.execute(context)?,
        Command::Mode(command) => command.execute(context)?,
        Command::Why(command) => command.execute(context)?,
        Command::Events(command) => command.execute(context)?,
        Command::Incident(command) => command.execute(context)?,
        Command::Samples(command) => command.execute(context)?,
        Command::Config(command) => command.execute(context)?,
        Command::Reload(command) => command.execute(context)?,
        Command::Confirm(command) => command.execute(context)?,
        Command::Undo(command) => command.execute(context)?,
        Command::Attach(command) => command.execute(context)?,
        Command::Detach(command) => command.execute(context)?,
        Command::Doctor(command) => return command.execute(context),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
