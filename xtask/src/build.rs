//! `cargo xtask build`: the daemon, with the eBPF program inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, setup, toolchain};

/// Tells tests and lab which daemon to start.
pub const DAEMON_VARIABLE: &str = "FLOODWALL_BIN";

/// Builds, and says where the binary lies.
///
/// # Errors
/// If something is missing or does not compile.
pub fn run() -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "filter-user",
    ]))?;
    println!("{}", daemon().display());
    Ok(())
}

/// Where the daemon lies once it is built.
pub fn daemon() -> PathBuf {
    toolchain::target_dir().join("release/floodwall")
}
