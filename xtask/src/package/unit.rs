//! The service: understood by systemd, and as little exposed as it has to be.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{answer, say, silent};
use crate::toolchain;

/// Tenths of the exposure that `systemd-analyze security` may find at most.
const MOST_EXPOSURE: u32 = 25;
const UNIT: &str = "packaging/floodwall.service";
/// Where the package puts the binary.
const INSTALLED: &str = "/usr/bin/floodwall";

/// Checks the unit; `daemon` stands for the binary that is not installed here.
pub fn check(daemon: &Path) -> Result<()> {
    let unit = toolchain::workspace().join(UNIT);
    let text = fs::read_to_string(&unit).with_context(|| format!("cannot read {UNIT}"))?;
    let folder = toolchain::target_dir().join("package-unit");
    super::fresh(&folder)?;
    let copy = folder.join("floodwall.service");
    fs::write(
        &copy,
        text.replace(INSTALLED, &daemon.display().to_string()),
    )
    .with_context(|| format!("cannot write {}", copy.display()))?;
    silent(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&copy),
    )?;
    let report = answer(
        Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--no-pager"])
            .arg(format!("--threshold={MOST_EXPOSURE}"))
            .arg(&unit),
    )?;
    let exposure = report.lines().rev().find(|line| !line.trim().is_empty());
    say(&format!(
        "systemd-analyze verify is silent; {}",
        exposure
            .unwrap_or("no exposure was told")
            .trim_start_matches(['→', ' '])
    ));
    Ok(())
}
