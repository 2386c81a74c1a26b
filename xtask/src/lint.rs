//! `cargo xtask lint`: format, clippy for the host and for BPF, licences, sources, advisories.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use xtask::document;

use crate::toolchain::Toolchain;
use crate::{process, setup};

/// Runs every check, and names those that failed.
///
/// # Errors
/// If one failed or could not be started.
pub fn run() -> Result<()> {
    let toolchain = setup::ensure()?;
    let mut failed = Vec::new();
    let mut check = |name: &str, command: &mut Command| {
        println!("lint: {name}");
        if let Err(error) = process::run(command) {
            eprintln!("error: {error:#}");
            failed.push(name.to_owned());
        }
    };
    check("format", process::cargo().args(["fmt", "--all", "--check"]));
    check("clippy", &mut clippy(&[]));
    check("clippy with all features", &mut clippy(&["--all-features"]));
    println!("lint: tests that SECURITY.md names");
    let named = document::check_tests(&crate::toolchain::workspace(), "SECURITY.md");
    match setup::bpf_clippy(&toolchain.compiler) {
        Ok(()) => check("clippy for BPF", &mut bpf_clippy(&toolchain)),
        Err(reason) => println!("lint: clippy for BPF was NOT run: {reason:#}"),
    }
    check(
        "licences, bans, sources",
        deny()?.args(["check", "bans", "licenses", "sources"]),
    );
    if can_fetch_advisories()? {
        check(
            "advisories",
            deny()?.args(["check", "--disable-fetch", "advisories"]),
        );
    } else {
        println!("lint: advisories were NOT checked: their database is out of reach");
    }
    if let Err(error) = named {
        eprintln!("error: {error:#}");
        failed.push("tests that SECURITY.md names".to_owned());
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(())
}

fn clippy(arguments: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo
        .args(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(arguments);
    cargo.args(["--", "--deny", "warnings"]);
    cargo
}

fn bpf_clippy(toolchain: &Toolchain) -> Command {
    // Not through cargo, which would take the first `cargo-clippy` on the `PATH`.
    let mut clippy = toolchain.command("cargo-clippy", "clippy");
    clippy.args(["--bins", "--all-features", "--", "--deny", "warnings"]);
    clippy
}

fn deny() -> Result<Command> {
    let mut deny = Command::new(setup::cargo_deny()?);
    deny.current_dir(crate::toolchain::workspace())
        .args(["--locked", "--all-features"]);
    Ok(deny)
}

/// The advisory database lies outside the package registry, so that it may be out of reach where
/// everything else can be had.
fn can_fetch_advisories() -> Result<bool> {
    let mut fetch = Command::new("timeout");
    fetch
        .arg("60")
        .arg(setup::cargo_deny()?)
        .args(["fetch", "db"]);
    fetch.current_dir(crate::toolchain::workspace());
    let output = fetch.output().context("cannot start timeout(1)")?;
    Ok(output.status.success())
}
