//! Builds the eBPF program and leaves it in `OUT_DIR`, where the daemon embeds it, with its hash.
//!
//! Installs nothing: a missing piece ends in one sentence that names `cargo xtask setup`.

#[allow(dead_code, reason = "a build script needs a part of what set-up needs")]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use std::{env, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Digits of the hash that people compare.
const SHORT: usize = 12;

fn main() {
    // Cargo builds the daemon beside its tests, where nothing brings the functions that `cargo xtask
    // fuzz` has every branch call. It is never run there.
    if env::var_os("CARGO_CFG_FUZZING_LIBFUZZER").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,--unresolved-symbols=ignore-all");
    }
    let log = std::env::var_os("CARGO_FEATURE_LOG").is_some();
    let features: &[&str] = if log { &["log"] } else { &[] };
    if let Err(error) = toolchain::embed_ebpf("floodwall", features).and_then(|()| tell_hash()) {
        println!("cargo::error={error:#}");
    }
}

/// Tells the compiler the hash of the object that was embedded.
fn tell_hash() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets no OUT_DIR")?);
    let object = out.join("floodwall.bpf.o");
    let bytes = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
    let mut digits = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(digits, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=FLOODWALL_OBJECT={digits}");
    println!(
        "cargo::rustc-env=FLOODWALL_OBJECT_SHORT={}",
        &digits[..SHORT]
    );
    Ok(())
}
