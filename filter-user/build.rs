//! Builds the eBPF program and leaves it in `OUT_DIR`, where the daemon embeds it.
//!
//! Installs nothing: a missing piece ends in one sentence that names `cargo xtask setup`.

#[allow(dead_code, reason = "a build script needs a part of what set-up needs")]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() {
    let log = std::env::var_os("CARGO_FEATURE_LOG").is_some();
    let features: &[&str] = if log { &["log"] } else { &[] };
    if let Err(error) = toolchain::embed_ebpf("floodwall", features) {
        println!("cargo::error={error:#}");
    }
}
