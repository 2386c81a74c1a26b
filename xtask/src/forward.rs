//! `cargo xtask demo`, `bench`, `attack`, `catalogue` and `replay`: built here, done by the binary
//! `lab`.
//!
//! The lab knows the daemon and the kernel and takes minutes to compile; `xtask` stays light.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{build, process, setup, toolchain};

/// Whatever the lab's subcommand takes.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

/// Builds the daemon and the lab, then becomes `lab SUBCOMMAND ARGUMENTS`, as root.
///
/// # Errors
/// If something is missing, does not compile, or there is no way to root.
pub fn run(subcommand: &str, arguments: Arguments) -> Result<ExitCode> {
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
    ]);
    cargo.args([
        "--features",
        "xtask/lab",
        "--bin",
        "floodwall",
        "--bin",
        "lab",
    ]);
    process::run(&mut cargo)?;
    if !process::is_root() {
        println!("{subcommand}: network namespaces need root: going on through sudo");
    }
    let lab = toolchain::target_dir().join("release/lab");
    let daemon = build::daemon();
    let target = toolchain::target_dir();
    let workspace = toolchain::workspace();
    let mut lab = process::as_root(
        lab.as_os_str(),
        &[
            (build::DAEMON_VARIABLE, daemon.as_os_str()),
            ("CARGO_TARGET_DIR", target.as_os_str()),
            ("FLOODWALL_WORKSPACE", workspace.as_os_str()),
        ],
    )?;
    lab.arg(OsStr::new(subcommand)).args(arguments.arguments);
    match process::replace_self(lab)? {}
}
