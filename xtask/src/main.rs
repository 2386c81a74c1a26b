//! `cargo xtask`: one place for set-up, build, tests, demo and benchmark.

mod build;
mod clock;
mod forward;
mod fuzz;
mod libtest;
mod lint;
mod package;
mod process;
mod run;
mod setup;
mod test;
#[allow(
    dead_code,
    reason = "the build scripts of filter-user and xtask use the rest"
)]
mod toolchain;
mod vm;

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
    /// Check the format, clippy, licences and sources
    Lint,
    /// Run every test, the privileged ones too, and count them by kind
    Test(test::Arguments),
    /// Make the Debian package, or a tarball with a static binary, and check what is in it
    Package(package::Arguments),
    /// Look for input that breaks something, guided by coverage
    Fuzz(fuzz::Arguments),
    /// Watch a flood being dropped, in network namespaces of its own
    Demo(forward::Arguments),
    /// Measure nanoseconds a packet
    Bench(forward::Arguments),
    /// Run one attack of the catalogue alone, in a sandbox; `attack list` names them
    Attack(forward::Arguments),
    /// Measure every attack of the catalogue, with floodwall and without
    Catalogue(forward::Arguments),
    /// Send captures of real attacks against the same servers, and print their rows
    Replay(forward::Arguments),
    /// Run the controller against synthetic calm and attacks, without a kernel
    Simulate(forward::Arguments),
    /// Do harm to the daemon and its host under a paced flood, and count what leaks and is lost
    Faults(forward::Arguments),
    /// Run the golden packets on Debian's kernels, in emulated machines
    Vm(forward::Arguments),
    /// Start the daemon on a real interface, in monitor mode unless told otherwise
    Run(run::Arguments),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run()?,
        Task::Build => build::run()?,
        Task::Lint => lint::run()?,
        Task::Test(arguments) => return test::run(&arguments),
        Task::Package(arguments) => package::run(&arguments)?,
        Task::Fuzz(arguments) => return fuzz::run(&arguments),
        Task::Demo(arguments) => return forward::run("demo", arguments),
        Task::Bench(arguments) => return forward::run("bench", arguments),
        Task::Attack(arguments) => return forward::run("attack", arguments),
        Task::Catalogue(arguments) => return forward::run("catalogue", arguments),
        Task::Replay(arguments) => return forward::run("replay", arguments),
        Task::Simulate(arguments) => return forward::run_unprivileged("simulate", arguments),
        Task::Faults(arguments) => return forward::run("faults", arguments),
        Task::Vm(arguments) => return vm::run(arguments),
        Task::Run(arguments) => return run::run(arguments),
    }
    Ok(ExitCode::SUCCESS)
}
