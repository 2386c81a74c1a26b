//! `cargo xtask setup`: finds or installs what the build and the tests need.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::process;
use crate::toolchain::{self, Compiler, Toolchain};

/// A program, the Debian package that has it, and what it is for.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const TOOLS: [Tool; 6] = [
    Tool {
        program: "cc",
        package: "gcc",
        purpose: "it links, and compiles the bundled SQLite",
    },
    Tool {
        program: "curl",
        package: "curl",
        purpose: "the network tests ask servers and the control socket with it",
    },
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "tests and demo build their network namespaces with it",
    },
    Tool {
        program: "nsenter",
        package: "util-linux",
        purpose: "tests and demo run programs inside their network namespaces with it",
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "tests have a host firewall with it",
    },
    Tool {
        program: "bpftool",
        package: "bpftool",
        purpose: "tests take a program off as anybody may",
    },
];

/// The linker's releases that are known to work: 0.13 takes LLVM 21 to 23.
const BPF_LINKER: &str = "^0.13";
const CARGO_DENY: &str = "^0.20";
const SCHEMATHESIS: &str = "4.32.5";
const CARGO_DEB: &str = "^3.8";
/// What only packages need.
const PACKAGING: [Tool; 4] = [
    Tool {
        program: "dpkg-shlibdeps",
        package: "dpkg-dev",
        purpose: "it finds out which libraries the package needs",
    },
    Tool {
        program: "lintian",
        package: "lintian",
        purpose: "it checks the package",
    },
    Tool {
        program: "mandoc",
        package: "mandoc",
        purpose: "it checks manual pages",
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
        purpose: "it checks the unit; nothing is started",
    },
];
const MUSL: [Tool; 1] = [Tool {
    program: "musl-gcc",
    package: "musl-tools",
    purpose: "it compiles SQLite for a static binary",
}];
/// Debian's compiler for browsers: newer than its `rustc`, and beside a rustup toolchain.
const DEBIAN_COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Sets up, and says what was taken even if nothing was missing.
///
/// # Errors
/// One sentence that names the missing piece and the command that gets it.
pub fn run() -> Result<()> {
    let toolchain = ensure()?;
    println!("setup: the eBPF program is built by {toolchain}; nothing is missing");
    Ok(())
}

/// Sets up; silent when nothing is missing.
///
/// # Errors
/// As [`run`].
pub fn ensure() -> Result<Toolchain> {
    install_tools(&TOOLS)?;
    if let Ok(found) = Toolchain::find() {
        return Ok(found);
    }
    let compiler = ensure_compiler()?;
    say(&format!("took {compiler}: {}", why(&compiler)));
    let linker = install_linker(compiler.llvm_major)?;
    say(&format!(
        "took {}: built for the same LLVM",
        linker.display()
    ));
    Ok(Toolchain { compiler, linker })
}

/// Those that are missing are installed.
fn install_tools(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> = tools
        .iter()
        .filter(|tool| process::find(tool.program).is_none())
        .collect();
    for tool in &missing {
        say(&format!("installing {}: {}", tool.package, tool.purpose));
    }
    let packages: Vec<_> = missing.iter().map(|it| it.package.to_owned()).collect();
    install_packages(&packages)
}

/// cargo-deny, which only `lint` needs.
///
/// # Errors
/// If cargo cannot install it.
pub fn cargo_deny() -> Result<PathBuf> {
    let purpose = "it checks licences and sources";
    // Its checks take seconds however it is built; to optimize it takes minutes.
    cargo_tool("cargo-deny", CARGO_DENY, purpose, &["--debug"])
}

/// cargo-deb and what checks a package, which only `package` needs.
///
/// # Errors
/// If cargo or apt cannot install them.
pub fn packaging() -> Result<PathBuf> {
    install_tools(&PACKAGING)?;
    cargo_tool("cargo-deb", CARGO_DEB, "it makes the package", &[])
}

/// The standard library and the C compiler for static binaries of `target`.
///
/// # Errors
/// If rustup or apt cannot install them.
pub fn musl(target: &str) -> Result<()> {
    install_tools(&MUSL)?;
    let mut rustc = Command::new("rustc");
    rustc.current_dir(toolchain::workspace());
    rustc.args(["--target", target, "--print", "target-libdir"]);
    let output = rustc.output().context("cannot start rustc")?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    if process::find("rustup").is_none() {
        bail!(
            "the standard library for {target} is missing, and rustup, which has it: install rustup, \
             or let the distribution's package of it be installed"
        );
    }
    say(&format!(
        "asking rustup for the standard library for {target}"
    ));
    let mut rustup = Command::new("rustup");
    rustup.current_dir(toolchain::workspace());
    process::run_quietly(rustup.args(["target", "add", target]))
}

/// A program of the registry: installed into target/tools, unless it is here.
fn cargo_tool(name: &str, version: &str, purpose: &str, arguments: &[&str]) -> Result<PathBuf> {
    let installed = toolchain::tools_dir().join("bin").join(name);
    if installed.is_file() {
        return Ok(installed);
    }
    if let Some(found) = process::find(name) {
        return Ok(found);
    }
    say(&format!(
        "installing {name} into target/tools: {purpose} (minutes)"
    ));
    cargo_install(name, version, arguments, &[])?;
    Ok(installed)
}

/// schemathesis, which only `fuzz openapi` needs: in a virtual environment of its own.
///
/// # Errors
/// If Python or its registry is out of reach.
pub fn schemathesis() -> Result<PathBuf> {
    let folder = toolchain::tools_dir().join(format!("schemathesis-{SCHEMATHESIS}"));
    let installed = folder.join("bin/schemathesis");
    if installed.is_file() {
        return Ok(installed);
    }
    need(&["python3-venv"], "schemathesis is a program in Python")?;
    say(&format!(
        "installing schemathesis {SCHEMATHESIS} into {}: it asks the daemon what its document promises",
        folder.display()
    ));
    let mut python = Command::new("python3");
    process::run_quietly(python.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    process::run_quietly(pip.arg(format!("schemathesis=={SCHEMATHESIS}")))?;
    Ok(installed)
}

/// A C++ compiler, which only `fuzz` needs: libFuzzer is built with it.
///
/// # Errors
/// If it cannot be installed.
pub fn cxx() -> Result<()> {
    if process::find("c++").is_none() {
        say("installing g++: libFuzzer is built with it");
        install_packages(&["g++".to_owned()])?;
    }
    Ok(())
}

/// The clippy of the compiler that builds the eBPF program.
///
/// # Errors
/// One sentence that says why there is none.
pub fn bpf_clippy(compiler: &Compiler) -> Result<()> {
    let installed = compiler.sysroot.join("bin/cargo-clippy");
    if !installed.is_file() && compiler.sysroot == Path::new("/usr") {
        say("installing rust-web-clippy: it lints the eBPF program for its own target");
        install_packages(&["rust-web-clippy".to_owned()])?;
    }
    if !installed.is_file() {
        bail!("{compiler} has no clippy");
    }
    Ok(())
}

/// A compiler for which a linker can be built: one that is here, else rustup's, else Debian's.
fn ensure_compiler() -> Result<Compiler> {
    let usable = || {
        let mut compilers = toolchain::compilers().into_iter();
        compilers.find(|compiler| llvm_can_be_had(compiler.llvm_major))
    };
    if let Some(compiler) = usable() {
        return Ok(compiler);
    }
    if let Err(reason) = source_from_rustup() {
        say(&format!("nothing from rustup: {reason:#}"));
    } else if let Some(compiler) = usable() {
        return Ok(compiler);
    }
    say("installing Debian's rustc with its source, for building `core` for BPF");
    install_packages(&DEBIAN_COMPILER.map(str::to_owned))?;
    usable().ok_or_else(|| {
        anyhow!(
            "this system has no rustc {} or newer with its source and the LLVM that it was built \
             with: install rustup and run `rustup toolchain install nightly --component rust-src` \
             and then `cargo xtask setup`",
            toolchain::minimum_release()
        )
    })
}

fn why(compiler: &Compiler) -> &'static str {
    if compiler.sysroot == Path::new("/usr") {
        "no rustup toolchain has the component rust-src and an LLVM that can be had here"
    } else {
        "it has the component rust-src"
    }
}

/// The component rust-src for the nightly that is here, else a nightly with it.
fn source_from_rustup() -> Result<()> {
    if process::find("rustup").is_none() {
        bail!("there is no rustup");
    }
    if std::env::var_os("RUSTUP_AUTO_INSTALL").is_some_and(|value| value == "0") {
        bail!("RUSTUP_AUTO_INSTALL=0 forbids it to install by itself");
    }
    say("asking rustup for a nightly with rust-src, for building `core` for BPF");
    let mut rustup = Command::new("timeout");
    rustup.args(["300", "rustup"]);
    // A nightly that is here stays the one it is.
    let nightly = Command::new("rustup")
        .args(["which", "rustc", "--toolchain", "nightly"])
        .output();
    if nightly.is_ok_and(|output| output.status.success()) {
        rustup.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    } else {
        rustup.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        rustup.args(["--component", "rust-src"]);
    }
    // Without a network this must fail at once, for there is another way.
    rustup
        .env("RUSTUP_MAX_RETRIES", "0")
        .env("RUSTUP_DOWNLOAD_TIMEOUT", "20");
    process::run_quietly(&mut rustup)
}

fn llvm_packages(llvm_major: u32) -> Vec<String> {
    vec![
        format!("llvm-{llvm_major}-dev"),
        format!("libpolly-{llvm_major}-dev"),
        "libzstd-dev".to_owned(),
        "zlib1g-dev".to_owned(),
    ]
}

/// Whether bpf-linker can be built for it: it links the system's LLVM.
fn llvm_can_be_had(llvm_major: u32) -> bool {
    if std::env::var_os("LLVM_PREFIX").is_some() || llvm_prefix(llvm_major).is_dir() {
        return true;
    }
    let shown = Command::new("apt-cache")
        .arg("show")
        .arg(format!("llvm-{llvm_major}-dev"))
        .output();
    shown.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

fn llvm_prefix(llvm_major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm_major}"))
}

fn install_linker(llvm_major: u32) -> Result<PathBuf> {
    if let Some(found) = toolchain::linker(llvm_major) {
        return Ok(found);
    }
    if std::env::var_os("LLVM_PREFIX").is_none() {
        let packages = missing_packages(&llvm_packages(llvm_major));
        if !packages.is_empty() {
            say(&format!(
                "installing {}: bpf-linker links LLVM",
                packages.join(" ")
            ));
        }
        install_packages(&packages)?;
    }
    say(&format!(
        "installing bpf-linker for LLVM {llvm_major} into target/tools (about a minute)"
    ));
    let feature = format!("llvm-{llvm_major}");
    let installed = toolchain::tools_dir().join("bin/bpf-linker");
    // Without the prefix its build looks for libLLVM in the wrong folder.
    let prefix =
        std::env::var_os("LLVM_PREFIX").unwrap_or_else(|| llvm_prefix(llvm_major).into_os_string());
    cargo_install(
        "bpf-linker",
        BPF_LINKER,
        &["--no-default-features", "--features", &feature],
        &[("LLVM_PREFIX", &prefix)],
    )?;
    let stamp = toolchain::linker_stamp(&installed);
    fs::write(&stamp, format!("{llvm_major}\n"))
        .with_context(|| format!("cannot write {}", stamp.display()))?;
    toolchain::linker(llvm_major)
        .with_context(|| format!("{} was installed but does not start", installed.display()))
}

fn cargo_install(
    name: &str,
    version: &str,
    arguments: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<()> {
    let mut cargo = process::cargo();
    cargo
        .args([
            "install",
            name,
            "--version",
            version,
            "--locked",
            "--force",
            "--quiet",
            "--root",
        ])
        .arg(toolchain::tools_dir())
        .args(arguments)
        .envs(variables.iter().copied())
        // Its own, thrown away afterwards.
        .env_remove("CARGO_TARGET_DIR");
    process::run_quietly(&mut cargo)
}

/// Those that dpkg does not list as installed; all of them where there is no dpkg.
fn missing_packages(packages: &[String]) -> Vec<String> {
    let is_installed = |package: &String| {
        let query = Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .output();
        query.is_ok_and(|output| output.stdout == b"installed")
    };
    packages
        .iter()
        .filter(|package| !is_installed(package))
        .cloned()
        .collect()
}

/// Installs packages that are missing, which only one task needs.
///
/// # Errors
/// If there is no apt, no way to root, or no such package.
pub fn need(packages: &[&str], purpose: &str) -> Result<()> {
    let packages: Vec<String> = packages.iter().map(|it| (*it).to_owned()).collect();
    let missing = missing_packages(&packages);
    if !missing.is_empty() {
        say(&format!("installing {}: {purpose}", missing.join(" ")));
    }
    install_packages(&missing)
}

fn install_packages(packages: &[String]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if process::find("apt-get").is_none() {
        bail!(
            "this system has no apt-get: install what Debian calls {names} with its own package \
             manager and run `cargo xtask setup` again"
        );
    }
    if !process::is_root() && process::find("sudo").is_none() {
        bail!("{names} must be installed by root: run `apt-get install {names}` as root");
    }
    let apt = || -> Result<Command> {
        let mut apt = process::as_root(
            OsStr::new("apt-get"),
            &[("DEBIAN_FRONTEND", OsStr::new("noninteractive"))],
        )?;
        apt.args(["-qq", "-o", "DPkg::Lock::Timeout=300"]);
        Ok(apt)
    };
    process::run_quietly(apt()?.arg("update"))?;
    process::run_quietly(
        apt()?
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
    .with_context(|| format!("{names} cannot be had here"))
}

fn say(what: &str) {
    println!("setup: {what}");
}
