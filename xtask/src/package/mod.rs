//! `cargo xtask package`: the Debian package, or a tarball with a static binary, and every check of
//! what is in it.

mod deb;
mod object;
mod pages;
#[cfg(test)]
mod scripts;
mod tarball;
mod unit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{build, process, setup, toolchain};

/// Arguments of `package`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// A tarball with a static binary, for systems that are no Debian
    #[arg(long = "static")]
    is_static: bool,
}

/// Makes it, and says what was found.
///
/// # Errors
/// If something is missing, does not compile, or does not pass a check.
pub fn run(arguments: &Arguments) -> Result<()> {
    let cargo_deb = setup::packaging()?;
    build::run()?;
    unit::check(&build::daemon())?;
    object::check(&setup::ensure()?)?;
    pages::make(&staging()?)?;
    let package = if arguments.is_static {
        tarball::make()?
    } else {
        deb::make(&cargo_deb)?
    };
    let size = fs::metadata(&package).map(|it| it.len());
    let size = size.with_context(|| format!("cannot read {}", package.display()))?;
    println!("{} ({})", package.display(), megabytes(size));
    Ok(())
}

fn say(what: &str) {
    println!("package: {what}");
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// What is generated lies beside the binary, where cargo-deb looks for both.
fn staging() -> Result<PathBuf> {
    let folder = toolchain::target_dir().join("release/package");
    fresh(&folder)?;
    Ok(folder)
}

/// Where packages lie.
fn finished() -> Result<PathBuf> {
    let folder = toolchain::target_dir().join("package");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        let removed = fs::remove_dir_all(folder);
        removed.with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The release, of the package that is shipped.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Seconds since 1970 of what is packaged, for everything that carries a time: of the last commit, so
/// that who builds it again gets the same.
fn epoch() -> Result<u64> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return epoch.parse().context("SOURCE_DATE_EPOCH is no number");
    }
    let mut git = Command::new("git");
    git.current_dir(toolchain::workspace());
    let output = git.args(["log", "-1", "--format=%ct"]).output();
    let told = output.ok().filter(|output| output.status.success());
    let told = told.and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok());
    told.context("the time of the last commit cannot be had from git: set SOURCE_DATE_EPOCH")
}

/// That time as `date` formats it, in UTC.
fn date(format: &str) -> Result<String> {
    let said = answer(
        Command::new("date")
            .env("LC_ALL", "C")
            .args(["--utc", "--date", &format!("@{}", epoch()?)])
            .arg(format!("+{format}")),
    )?;
    Ok(said.trim().to_owned())
}

/// What a command says on its standard output; it has to succeed.
fn answer(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot start {}", process::line(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}{}",
            process::line(command),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command that has to succeed and to have nothing to say.
fn silent(command: &mut Command) -> Result<()> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot start {}", process::line(command)))?;
    let said = [output.stdout, output.stderr].concat();
    if !output.status.success() || !said.is_empty() {
        bail!(
            "{}: {}",
            process::line(command),
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(())
}
