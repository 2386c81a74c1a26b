//! `cargo xtask demo`, `bench`, `attack`, `catalogue`, `faults`, `replay` and `simulate`: built here,
//! done by the binary `lab`.
//!
//! The lab knows the daemon and the kernel and takes minutes to compile; `xtask` stays light.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{build, process, setup, toolchain};

/// Tells the lab where the sources are.
pub const WORKSPACE_VARIABLE: &str = "FLOODWALL_WORKSPACE";

/// Whatever the lab's subcommand takes.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    pub arguments: Vec<OsString>,
}

/// Builds the daemon and the lab, then becomes `lab SUBCOMMAND ARGUMENTS`, as root.
///
/// # Errors
/// If something is missing, does not compile, or there is no way to root.
pub fn run(subcommand: &str, arguments: Arguments) -> Result<ExitCode> {
    let mut lab = command(subcommand)?;
    lab.args(arguments.arguments);
    match process::replace_self(lab)? {}
}

/// Builds the daemon and the lab, and gives `lab SUBCOMMAND`, as root.
///
/// # Errors
/// As [`run`].
pub fn command(subcommand: &str) -> Result<Command> {
    build(&["floodwall", "lab"])?;
    if !process::is_root() {
        println!("{subcommand}: network namespaces need root: going on through sudo");
    }
    let lab = lab();
    let daemon = build::daemon();
    let target = toolchain::target_dir();
    let workspace = toolchain::workspace();
    let mut lab = process::as_root(
        lab.as_os_str(),
        &[
            (build::DAEMON_VARIABLE, daemon.as_os_str()),
            ("CARGO_TARGET_DIR", target.as_os_str()),
            (WORKSPACE_VARIABLE, workspace.as_os_str()),
        ],
    )?;
    lab.arg(OsStr::new(subcommand));
    Ok(lab)
}

/// Builds the lab, then becomes `lab SUBCOMMAND ARGUMENTS`, as whoever asked.
///
/// # Errors
/// If something is missing or does not compile.
pub fn run_unprivileged(subcommand: &str, arguments: Arguments) -> Result<ExitCode> {
    build(&["lab"])?;
    let mut lab = Command::new(lab());
    lab.env(WORKSPACE_VARIABLE, toolchain::workspace());
    lab.arg(OsStr::new(subcommand)).args(arguments.arguments);
    match process::replace_self(lab)? {}
}

fn build(binaries: &[&str]) -> Result<()> {
    setup::ensure()?;
    let mut cargo = process::cargo();
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "filter-user",
        "--package",
        "xtask",
        "--features",
        "xtask/lab",
    ]);
    for binary in binaries {
        cargo.args(["--bin", binary]);
    }
    process::run(&mut cargo)
}

fn lab() -> PathBuf {
    toolchain::target_dir().join("release/lab")
}
