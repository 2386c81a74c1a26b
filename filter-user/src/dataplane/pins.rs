//! What works without a daemon, from the pinned maps and links alone.

use crate::{api::types::Status, config::Paths};

/// The state of things.
pub fn status(_paths: &Paths) -> anyhow::Result<Status> {
    anyhow::bail!("nothing is pinned")
}

/// Takes the filter off an interface, or off all; the names of those it took it off.
pub fn detach(_paths: &Paths, _interface: Option<&str>) -> anyhow::Result<Vec<String>> {
    anyhow::bail!("nothing is pinned")
}

/// Goes to monitor mode.
pub fn monitor(_paths: &Paths) -> anyhow::Result<()> {
    anyhow::bail!("nothing is pinned")
}
