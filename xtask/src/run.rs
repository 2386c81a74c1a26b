//! `cargo xtask run`: the daemon on a real interface, watching only unless told to enforce.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{build, process, toolchain};

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Interface to protect; may be given more than once
    #[arg(long = "iface", value_name = "IF", required = true)]
    interfaces: Vec<String>,
    /// Drop what the filter condemns; without this it is only counted
    #[arg(long)]
    enforce: bool,
    /// Configuration file; without one, an empty one in the target folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Builds, then becomes the daemon.
///
/// # Errors
/// If an interface does not exist, something does not build, or there is no way to root.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    for interface in &arguments.interfaces {
        // Not /sys, which may be another network namespace's.
        if nix::net::if_::if_nametoindex(interface.as_str()).is_err() {
            bail!("there is no interface {interface}: `ip -brief link` lists those there are");
        }
    }
    build::run()?;
    let config = arguments.config.map_or_else(empty_config, Ok)?;
    let mut daemon = process::as_root(build::daemon().as_os_str(), &[])?;
    daemon.args([
        OsStr::new("run"),
        OsStr::new("--config"),
        config.as_os_str(),
    ]);
    for interface in &arguments.interfaces {
        daemon.args(["--interface", interface]);
    }
    daemon.args([
        "--mode",
        if arguments.enforce {
            "enforce"
        } else {
            "monitor"
        },
    ]);
    if !process::is_root() {
        println!("run: attaching a filter needs root: going on through sudo");
    }
    match process::replace_self(daemon)? {}
}

/// A file of its own, so that what lies in `/etc` is neither read nor written.
fn empty_config() -> Result<PathBuf> {
    let path = toolchain::target_dir().join("run.toml");
    if !path.exists() {
        fs::write(
            &path,
            "# Configuration of `cargo xtask run`: every key is optional.\n",
        )
        .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}
