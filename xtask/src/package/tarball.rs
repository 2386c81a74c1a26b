//! The tarball, for systems that are no Debian: a static binary and what belongs to it.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::pages::files;
use super::{answer, epoch, finished, fresh, say, version};
use crate::{process, setup, toolchain};

/// What lies under the folder of the tarball, and where it comes from in the workspace.
const FILES: [(&str, &str); 10] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-GPL2", "LICENSE-GPL2"),
    ("etc/floodwall/floodwall.toml", "packaging/floodwall.toml"),
    (
        "lib/systemd/system/floodwall.service",
        "packaging/floodwall.service",
    ),
    (
        "lib/sysusers.d/floodwall.conf",
        "packaging/floodwall.sysusers",
    ),
    (
        "lib/tmpfiles.d/floodwall.conf",
        "packaging/floodwall.tmpfiles",
    ),
    (
        "share/doc/floodwall/floodwall.example.toml",
        "docs/floodwall.example.toml",
    ),
];

/// What was generated, and where it goes.
const GENERATED: [(&str, &str); 4] = [
    ("man", "share/man"),
    ("bash", "share/bash-completion/completions"),
    ("zsh", "share/zsh/site-functions"),
    ("fish", "share/fish/vendor_completions.d"),
];

/// Makes it, and gives where it lies.
pub fn make() -> Result<PathBuf> {
    let binary = build()?;
    let name = format!("floodwall-{}-{ARCH}-linux-musl", version());
    let above = toolchain::target_dir().join("release/package/tarball");
    let folder = above.join(&name);
    fresh(&folder)?;
    let program = folder.join("bin/floodwall");
    copy(&binary, &program)?;
    process::run(Command::new("strip").arg(&program))?;
    for (to, from) in FILES {
        copy(&toolchain::workspace().join(from), &folder.join(to))?;
    }
    for (from, to) in GENERATED {
        for file in files(&toolchain::target_dir().join("release/package").join(from))? {
            let name = file.file_name().context("files have names")?;
            let name = name.to_string_lossy();
            let below = if from == "man" {
                let section = name.trim_end_matches(".gz").rsplit('.').next();
                format!("man{}/{name}", section.unwrap_or_default())
            } else {
                name.trim_end_matches(".bash").to_owned()
            };
            copy(&file, &folder.join(to).join(below))?;
        }
    }
    let tarball = finished()?.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ])
    .args(["--mode=u+rw,go+r,go-w", "--use-compress-program=gzip -9n"])
    .arg(format!("--mtime=@{}", epoch()?))
    .arg("--file")
    .arg(&tarball)
    .arg("--directory")
    .arg(&above)
    .arg(&name);
    process::run(&mut tar)?;
    Ok(tarball)
}

/// Builds the daemon without any library of the system.
fn build() -> Result<PathBuf> {
    let target = format!("{ARCH}-unknown-linux-musl");
    setup::musl(&target)?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "filter-user"]);
    process::run(cargo.args(["--target", &target]))?;
    let binary = toolchain::target_dir()
        .join(&target)
        .join("release/floodwall");
    // That it starts, and needs nothing.
    let here = answer(Command::new(crate::build::daemon()).arg("--version"))?;
    let there = answer(Command::new(&binary).arg("--version"))?;
    if here != there {
        bail!("the static binary has another eBPF object inside: {there}, and not {here}");
    }
    let headers = answer(
        Command::new("readelf")
            .args(["--wide", "--program-headers"])
            .arg(&binary),
    )?;
    if headers.contains("INTERP") {
        bail!("{} is not static", binary.display());
    }
    say("the static binary needs no library, and has the same eBPF object");
    Ok(binary)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
