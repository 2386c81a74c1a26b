//! Finds what compiles for BPF, and compiles `filter-ebpf` with it.
//!
//! Two things must fit together: a rustc with the source of exactly its own `core`, and a
//! `bpf-linker` built against the same LLVM major as that rustc. They are found here; only
//! `cargo xtask setup` installs them.
//!
//! `std` and `anyhow` alone: the build scripts of `filter-user` and `xtask` include this file.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A compiler that can build `core` for BPF.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The folder above `bin/rustc`.
    pub sysroot: PathBuf,
    /// `release` of `rustc -vV`, for example `1.96.0`.
    pub release: String,
    /// The LLVM it was built with.
    pub llvm_major: u32,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sysroot,
            release,
            llvm_major,
        } = self;
        write!(
            f,
            "rustc {release} (LLVM {llvm_major}) in {}",
            sysroot.display()
        )
    }
}

/// A compiler and the linker that fits it.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Turns Rust into LLVM bitcode.
    pub compiler: Compiler,
    /// Turns LLVM bitcode into a BPF object.
    pub linker: PathBuf,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.compiler, self.linker.display())
    }
}

impl Toolchain {
    /// The first compiler, in the order of [`compilers`], that has a linker of its own LLVM.
    ///
    /// # Errors
    /// One sentence that names the missing piece and the command that gets it.
    pub fn find() -> Result<Self> {
        let compilers = compilers();
        let Some(first) = compilers.first() else {
            bail!(
                "no rustc {} or newer with the source of its standard library was found for \
                 building the eBPF program: run `cargo xtask setup`",
                minimum_release()
            );
        };
        for compiler in &compilers {
            if let Some(linker) = linker(compiler.llvm_major) {
                return Ok(Self {
                    compiler: compiler.clone(),
                    linker,
                });
            }
        }
        bail!(
            "no bpf-linker built for LLVM {} was found, which {first} needs: \
             run `cargo xtask setup`",
            first.llvm_major
        )
    }

    /// A program of this toolchain, `cargo` or `cargo-clippy`, with nothing of an outer cargo,
    /// clippy or rustup in its environment, set up to build `core` for [`target`] in a target
    /// folder of its own: the outer one is locked by the cargo that runs this.
    pub fn command(&self, program: &str, subcommand: &str) -> Command {
        self.command_in(&workspace(), &bpf_dir(), program, subcommand)
    }

    /// The same for a copy of the workspace.
    pub fn command_in(
        &self,
        workspace: &Path,
        target_dir: &Path,
        program: &str,
        subcommand: &str,
    ) -> Command {
        let bin = self.compiler.sysroot.join("bin");
        let mut command = Command::new(bin.join(program));
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_an_outer_cargo(name)) {
            command.env_remove(name);
        }
        command
            .current_dir(workspace)
            .env("CARGO", bin.join("cargo"))
            .env("RUSTC", bin.join("rustc"))
            // `-Z build-std` in a compiler that is no nightly.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                self.rustflags(workspace, target_dir).join("\u{1f}"),
            )
            .args([subcommand, "--release", "--package", "filter-ebpf"])
            .args(["-Z", "build-std=core", "--target", target()])
            .arg("--target-dir")
            .arg(target_dir);
        command
    }

    fn rustflags(&self, workspace: &Path, target_dir: &Path) -> Vec<String> {
        let mut flags = vec![
            // What aya-ebpf would otherwise ask its build script for.
            format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            // Without it, setting or moving a few words is a call of a loop over their bytes.
            "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
            format!("-Clinker={}", self.linker.display()),
        ];
        // BTF carries file names: none may tell where it was built. The last match wins.
        let source = library_source(&self.compiler.sysroot);
        let mut remap = |from: &Path, to: &str| {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        };
        if let Some(home) = cargo_home() {
            remap(&home, "/cargo");
            // One folder a registry, named after its host.
            for registry in folders(&home.join("registry/src")) {
                remap(&registry, "/cargo");
            }
        }
        remap(workspace, "/floodwall");
        remap(target_dir, "/target");
        remap(&source, "/rust/library");
        if let Ok(real) = source.canonicalize() {
            remap(&real, "/rust/library");
        }
        flags
    }
}

/// Builds the binary `bin` of `filter-ebpf` and returns the path of its object.
///
/// `features` are features of `filter-ebpf`.
///
/// # Errors
/// One sentence, if a piece of the toolchain is missing or the compiler refuses. What the
/// compiler says goes to stderr.
pub fn build_ebpf_with(bin: &str, features: &[&str]) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let status = toolchain
        .command("cargo", "build")
        .args(["--bin", bin, "--features", &features.join(",")])
        .status()
        .with_context(|| format!("cannot start cargo of {}", toolchain.compiler))?;
    if !status.success() {
        bail!("the eBPF program `{bin}` does not build with {toolchain}");
    }
    Ok(object(&bpf_dir(), bin))
}

/// Where the object of `bin` lies under a target folder.
pub fn object(target_dir: &Path, bin: &str) -> PathBuf {
    target_dir.join(target()).join("release").join(bin)
}

/// [`build_ebpf_with`] no features.
///
/// # Errors
/// As there.
pub fn build_ebpf(bin: &str) -> Result<PathBuf> {
    build_ebpf_with(bin, &[])
}

/// For build scripts: builds `bin` and leaves its object as `$OUT_DIR/<bin>.bpf.o`, to be
/// rebuilt when a source of it changes.
///
/// # Errors
/// As [`build_ebpf_with`].
pub fn embed_ebpf(bin: &str, features: &[&str]) -> Result<()> {
    let root = workspace();
    for source in [
        "Cargo.lock",
        "filter-common/Cargo.toml",
        "filter-common/src",
        "filter-ebpf/Cargo.toml",
        "filter-ebpf/src",
        "xtask/src/toolchain.rs",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let object = build_ebpf_with(bin, features)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets no OUT_DIR")?);
    let embedded = out.join(format!("{bin}.bpf.o"));
    fs::copy(&object, &embedded)
        .with_context(|| format!("cannot copy {} to {}", object.display(), embedded.display()))?;
    Ok(())
}

/// Every compiler here that can build for BPF: rustup's, nightly first, then the system's.
pub fn compilers() -> Vec<Compiler> {
    let mut sysroots = rustup_toolchains();
    sysroots.push(PathBuf::from("/usr"));
    sysroots
        .iter()
        .filter_map(|sysroot| inspect(sysroot))
        .collect()
}

/// A bpf-linker that starts and was built for this LLVM: the one that set-up installed, else
/// one on the `PATH`.
pub fn linker(llvm_major: u32) -> Option<PathBuf> {
    let mut candidates = vec![tools_dir().join("bin/bpf-linker")];
    candidates.extend(
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("bpf-linker")),
    );
    candidates
        .into_iter()
        .find(|linker| linker_llvm(linker) == Some(llvm_major))
}

/// Where set-up notes which LLVM a linker was built for: it does not tell by itself.
pub fn linker_stamp(linker: &Path) -> PathBuf {
    linker.with_extension("llvm")
}

/// Where set-up installs tools, `bin` below it.
pub fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// The folder with the workspace's `Cargo.toml`.
pub fn workspace() -> PathBuf {
    // Cargo sets it for build scripts, tests and `cargo run`; every package lies one folder down.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .map_or_else(|| package.clone(), Path::to_owned)
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub fn target_dir() -> PathBuf {
    workspace().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The target folder of the eBPF programs.
pub fn bpf_dir() -> PathBuf {
    target_dir().join("bpf")
}

/// The BPF target with this machine's byte order.
pub const fn target() -> &'static str {
    if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    }
}

/// The oldest compiler that the workspace takes.
pub const fn minimum_release() -> &'static str {
    env!("CARGO_PKG_RUST_VERSION")
}

fn rustup_toolchains() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    let mut found = home
        .map(|home| folders(&home.join("toolchains")))
        .unwrap_or_default();
    let is_nightly = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("nightly"))
    };
    // Stable: the rest stays in order.
    found.sort_by_key(|path| !is_nightly(path));
    found
}

/// What lies in a folder, in the order of its names; nothing where there is no folder.
fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn library_source(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn inspect(sysroot: &Path) -> Option<Compiler> {
    let source = library_source(sysroot);
    if !source.join("core/src/lib.rs").is_file() || !sysroot.join("bin/cargo").is_file() {
        return None;
    }
    let output = Command::new(sysroot.join("bin/rustc"))
        .arg("-vV")
        .output()
        .ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
    let release = field("release: ")?.trim().to_owned();
    if numbers(&release) < numbers(minimum_release()) {
        return None;
    }
    // Debian's source is a package of its own and names its release in its folder.
    let real = source.parent()?.canonicalize().ok()?;
    let folder = real.file_name()?.to_string_lossy();
    if folder
        .strip_prefix("rustc-")
        .is_some_and(|of| numbers(of) != numbers(&release))
    {
        return None;
    }
    let llvm_major = field("LLVM version: ")?
        .split('.')
        .next()?
        .trim()
        .parse()
        .ok()?;
    Some(Compiler {
        sysroot: sysroot.to_owned(),
        release,
        llvm_major,
    })
}

/// `1.97.0-nightly` as `[1, 97, 0]`.
fn numbers(release: &str) -> Vec<u32> {
    let plain = release.split(['-', '+']).next().unwrap_or_default();
    plain
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// The LLVM that a linker was built for, if it starts: by its stamp, else by its own words.
fn linker_llvm(linker: &Path) -> Option<u32> {
    if !linker.is_file() {
        return None;
    }
    let output = Command::new(linker).arg("--version").output().ok()?;
    if !output.status.success() {
        return None;
    }
    if let Ok(stamp) = fs::read_to_string(linker_stamp(linker)) {
        return stamp.trim().parse().ok();
    }
    let words = String::from_utf8(output.stdout).ok()?;
    let after = words.split("LLVM ").nth(1)?;
    after
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

/// Whether a variable was set by an outer cargo, clippy or rustup for itself. What tells cargo
/// where its home is and how it reaches the network stays.
fn is_of_an_outer_cargo(name: &OsString) -> bool {
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
    ];
    const DROPPED: [&str; 9] = [
        "CARGO",
        "CLIPPY_",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "__CARGO",
        // Rustup and cargo point it at the libraries of another compiler.
        "LD_LIBRARY_PATH",
    ];
    let name = name.to_string_lossy();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    starts(&DROPPED) && !starts(&KEPT)
}
