//! What `cargo xtask demo`, `bench`, `attack`, `catalogue`, `replay`, `simulate`, `faults` and `vm` hand over
//! to once everything is built; and the first process of the machines of `vm`.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use nix::unistd::Uid;
use xtask::lab::{
    bench::Bench,
    catalogue::Catalogue,
    demo::Demo,
    faults::Faults,
    interrupt::{self, Interrupted},
    openapi::Openapi,
    replay::Replay,
    simulate::Simulate,
    solo::Solo,
    vm::{self, Vm},
};

#[derive(Parser)]
#[command(
    name = "lab",
    about = "Floods, demonstrations and benchmarks of floodwall"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show a flood without and with floodwall, in a sandbox
    Demo(Demo),
    /// Measure the cost of a packet and the flood that is absorbed
    Bench(Bench),
    /// Run one attack alone, or list them
    Attack(Solo),
    /// Measure every attack of the catalogue, with floodwall and without
    Catalogue(Catalogue),
    /// Send captures of real attacks against the same servers
    Replay(Replay),
    /// Run the controller against synthetic calm and attacks, without a kernel
    Simulate(Simulate),
    /// Ask the daemon whatever its own document describes
    Openapi(Openapi),
    /// Do harm to the daemon and its host under a paced flood, and count what leaks and is lost
    Faults(Faults),
    /// Run the golden packets on Debian's kernels, in emulated machines
    Vm(Vm),
    /// Try the installed package, inside a machine of `vm --install`
    #[command(hide = true)]
    Installed,
}

fn main() -> ExitCode {
    // The kernel of a machine starts this as its first process.
    if std::process::id() == 1 {
        vm::guest::run();
    }
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            // As a shell reports a process that a signal ended.
            let signal = error
                .downcast_ref()
                .map_or(0, |Interrupted(signal)| *signal as u8);
            if signal == 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::from(128_u8.saturating_add(signal))
            }
        }
    }
}

fn run(task: Task) -> Result<()> {
    interrupt::install()?;
    match task {
        Task::Demo(demo) => {
            need_root()?;
            demo.run()
        }
        Task::Bench(bench) => {
            need_root()?;
            bench.run()
        }
        Task::Attack(solo) if solo.is_list() => Solo::list(),
        Task::Attack(solo) => {
            need_root()?;
            solo.run()
        }
        Task::Catalogue(catalogue) => {
            need_root()?;
            catalogue.run()
        }
        Task::Replay(replay) => {
            need_root()?;
            replay.run()
        }
        Task::Openapi(openapi) => {
            need_root()?;
            openapi.run()
        }
        Task::Faults(faults) if faults.is_list() => Faults::list(),
        Task::Faults(faults) => {
            need_root()?;
            faults.run()
        }
        Task::Simulate(simulate) => simulate.run(),
        Task::Vm(vm) => vm.run(),
        Task::Installed => vm::install::guest::run_all(),
    }
}

fn need_root() -> Result<()> {
    ensure!(
        Uid::effective().is_root(),
        "network namespaces and XDP need root: run it with sudo"
    );
    Ok(())
}
