//! Manual pages and completions, by the example `pages` of the daemon's package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{date, say, silent};
use crate::process;

/// Writes them, and has the pages checked.
pub fn make(staging: &Path) -> Result<()> {
    let mut cargo = process::cargo();
    // As tests build it, for the dependencies of examples are theirs.
    cargo.args(["run", "--quiet", "--locked", "--package", "filter-user"]);
    cargo
        .args(["--example", "pages", "--"])
        .arg(staging)
        .arg(date("%Y-%m-%d")?);
    process::run(&mut cargo)?;
    let pages = files(&staging.join("man"))?;
    for page in &pages {
        silent(
            Command::new("mandoc")
                .args(["-T", "lint", "-W", "style"])
                .arg(page),
        )?;
    }
    silent(Command::new("gzip").args(["-9", "--no-name"]).args(&pages))?;
    say(&format!(
        "mandoc has nothing to say of {} manual pages",
        pages.len()
    ));
    Ok(())
}

/// What lies in a folder, by name.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}
