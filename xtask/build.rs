//! Builds the lab's own eBPF programs, and the library that lies to daemons about clock and disk, and
//! leaves them in `OUT_DIR`; without the lab, nothing.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

#[allow(dead_code, reason = "a build script needs a part of what set-up needs")]
#[path = "src/toolchain.rs"]
mod toolchain;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_LAB").is_none() {
        return;
    }
    if let Err(error) = toolchain::embed_ebpf("lab", &[]) {
        println!("cargo::error={error:#}");
    }
    if let Err(error) = build_shim() {
        println!("cargo::error={error:#}");
    }
}

fn build_shim() -> Result<()> {
    const SOURCE: &str = "src/lab/faults/shim.rs";
    println!("cargo::rerun-if-changed={SOURCE}");
    let variable = |name: &str| {
        let value = std::env::var_os(name);
        value.with_context(|| format!("cargo sets no {name}"))
    };
    let library = PathBuf::from(variable("OUT_DIR")?).join("shim.so");
    let status = Command::new(variable("RUSTC")?)
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "-Copt-level=2",
            "-Cpanic=abort",
        ])
        .args([SOURCE, "-o"])
        .arg(library)
        .status()
        .context("cannot run rustc")?;
    ensure!(status.success(), "{SOURCE} does not compile");
    Ok(())
}
