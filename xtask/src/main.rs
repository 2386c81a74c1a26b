//! `cargo xtask`: one place for set-up, build, tests, demo and benchmark.

mod build;
mod clock;
mod process;
mod setup;
#[allow(
    dead_code,
    reason = "the build scripts of filter-user and xtask use the rest"
)]
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Sets up, builds, tests and shows floodwall"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what the build and the tests need
    Setup,
    /// Build the daemon with the eBPF program inside
    Build,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run()?,
        Task::Build => build::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
