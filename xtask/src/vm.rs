//! `cargo xtask vm`: builds the tests, the daemon and the lab, as `cargo xtask test` does, and becomes
//! `lab vm`.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{build, forward, process, setup, toolchain};

/// Tells the lab where the golden packets are.
const TESTS_VARIABLE: &str = "FLOODWALL_GOLDEN";

/// Builds, and becomes the lab, as whoever asked: machines are emulated by an ordinary process. Only a
/// Debian is bootstrapped by root.
///
/// # Errors
/// If something is missing or does not compile.
pub fn run(arguments: forward::Arguments) -> Result<ExitCode> {
    setup::ensure()?;
    setup::need(
        &[
            "qemu-system-x86",
            "xz-utils",
            "binutils",
            "debian-archive-keyring",
        ],
        "machines are emulated with QEMU, and kernels come in Debian's packages",
    )?;
    let is_install = arguments
        .arguments
        .iter()
        .any(|it| it == "--install" || it.as_encoded_bytes().starts_with(b"--install="));
    if is_install {
        setup::need(
            &["debootstrap", "e2fsprogs"],
            "the package is installed in a Debian of its own, on a disk of its own",
        )?;
    }
    let built = Built::new()?;
    let (workspace, target) = (toolchain::workspace(), toolchain::target_dir());
    let variables = [
        (build::DAEMON_VARIABLE, built.daemon.as_os_str()),
        (TESTS_VARIABLE, built.tests.as_os_str()),
        (forward::WORKSPACE_VARIABLE, workspace.as_os_str()),
        ("CARGO_TARGET_DIR", target.as_os_str()),
    ];
    let mut lab = if is_install {
        process::as_root(built.lab.as_os_str(), &variables)?
    } else {
        let mut lab = Command::new(&built.lab);
        lab.envs(variables);
        lab
    };
    lab.arg("vm").args(arguments.arguments);
    match process::replace_self(lab)? {}
}

/// What goes into machines.
struct Built {
    tests: PathBuf,
    daemon: PathBuf,
    lab: PathBuf,
}

impl Built {
    fn new() -> Result<Self> {
        let output = process::cargo()
            .args([
                "test",
                "--no-run",
                "--locked",
                "--message-format=json-render-diagnostics",
            ])
            // As `cargo xtask test` builds them, for other choices are other builds; the daemon and
            // the lab come with the tests that start them.
            .args([
                "--workspace",
                "--exclude",
                "filter-ebpf",
                "--features",
                "xtask/lab",
            ])
            .args(["--test", "golden", "--test", "network"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("the tests do not compile");
        }
        let text = String::from_utf8(output.stdout)?;
        let (mut tests, mut daemon, mut lab) = (None, None, None);
        for line in text.lines() {
            let message: Value =
                serde_json::from_str(line).context("cargo's messages are no JSON")?;
            let Some(executable) = message["executable"].as_str() else {
                continue;
            };
            let is_test = message["profile"]["test"] == Value::Bool(true);
            match (message["target"]["name"].as_str(), is_test) {
                (Some("golden"), true) => tests = Some(PathBuf::from(executable)),
                (Some("floodwall"), false) => daemon = Some(PathBuf::from(executable)),
                (Some("lab"), false) => lab = Some(PathBuf::from(executable)),
                (Some(_) | None, _) => {}
            }
        }
        Ok(Self {
            tests: tests.context("cargo built no golden packets")?,
            daemon: daemon.context("cargo built no floodwall")?,
            lab: lab.context("cargo built no lab")?,
        })
    }
}
