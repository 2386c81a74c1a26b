//! The eBPF object: the same bytes wherever it is built.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{fresh, say};
use crate::toolchain::{self, Toolchain};
use crate::{build, process};

/// What cargo reads of the workspace to build one package of it.
const SOURCES: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "filter-common",
    "filter-ebpf",
    "filter-user",
    "xtask",
];

/// Builds the object again from a copy of the sources elsewhere, with a linker elsewhere, and compares.
pub fn check(toolchain: &Toolchain) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("floodwall-again-{}", std::process::id()));
    let result = build_again(toolchain, &folder);
    // A copy of the sources that stays does no harm.
    let _ = fs::remove_dir_all(&folder);
    let again = result?;
    // What lies there may be that of a daemon with other features.
    let first = toolchain::build_ebpf("floodwall")?;
    let bytes = fs::read(&first).with_context(|| format!("cannot read {}", first.display()))?;
    if again != bytes {
        bail!(
            "the eBPF object is not the same when it is built elsewhere: compare {} with one of another \
             folder by `diffoscope`",
            first.display()
        );
    }
    let hash = super::answer(Command::new(build::daemon()).arg("--version"))?;
    say(&format!(
        "built again elsewhere, the eBPF object is the same: {}",
        hash.trim()
    ));
    Ok(())
}

fn build_again(toolchain: &Toolchain, folder: &Path) -> Result<Vec<u8>> {
    let (sources, target) = (folder.join("elsewhere"), folder.join("built"));
    fresh(&sources)?;
    for name in SOURCES {
        let mut copy = Command::new("cp");
        copy.arg("-r")
            .arg(toolchain::workspace().join(name))
            .arg(&sources);
        process::run(&mut copy)?;
    }
    let linker = folder.join("bpf-linker");
    symlink(&toolchain.linker, &linker)
        .with_context(|| format!("cannot make {}", linker.display()))?;
    let elsewhere = Toolchain {
        compiler: toolchain.compiler.clone(),
        linker,
    };
    say("building the eBPF object again elsewhere");
    let mut cargo = elsewhere.command_in(&sources, &target, "cargo", "build");
    process::run(cargo.args(["--quiet", "--bin", "floodwall"]))?;
    let object = toolchain::object(&target, "floodwall");
    fs::read(&object).with_context(|| format!("cannot read {}", object.display()))
}
