//! Builds the lab's own eBPF programs and leaves them in `OUT_DIR`; without the lab, nothing.

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
}
