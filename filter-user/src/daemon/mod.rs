//! The daemon: one thread that owns everything that changes.

pub mod handle;

use std::path::PathBuf;

use crate::config::Config;

/// Runs the daemon until it is told to stop.
pub fn run(_config: Config, _config_path: Option<PathBuf>) -> anyhow::Result<()> {
    anyhow::bail!("no daemon here")
}
