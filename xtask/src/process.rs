//! Running other programs: as oneself, as root, or in one's own place.

use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

/// The cargo that runs this, of the toolchain that builds userspace, at the workspace's root.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::toolchain::workspace());
    // Of `cargo run`, about xtask: build scripts would see them change and run again.
    for (name, _) in env::vars_os() {
        let shown = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"]
            .iter()
            .any(|it| shown.starts_with(it))
        {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Waits for a program whose output is shown.
///
/// # Errors
/// If it cannot start or ends in failure; its command line is named.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Waits for a program whose output is of interest only when it fails.
///
/// # Errors
/// As [`run`], and what it wrote goes to stderr.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{} failed ({})", line(command), output.status);
    }
    Ok(())
}

/// Takes this process's place.
///
/// # Errors
/// If it cannot start.
pub fn replace_self(mut command: Command) -> Result<Infallible> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", line(&command)))
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// `program` as root, through sudo if need be, with these variables set.
///
/// # Errors
/// One sentence that says what is to be done as root, when neither is possible.
pub fn as_root(program: &OsStr, variables: &[(&str, &OsStr)]) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(variables.iter().copied());
        return Ok(command);
    }
    if find("sudo").is_none() {
        bail!(
            "{} needs root and there is no sudo: run this as root",
            program.display()
        );
    }
    let mut command = Command::new("sudo");
    // Sudo clears the environment; what is needed goes through env(1).
    command.arg("env");
    for (name, value) in variables {
        let mut assignment = OsStr::new(name).to_owned();
        assignment.push("=");
        assignment.push(value);
        command.arg(assignment);
    }
    command.arg(program);
    Ok(command)
}

/// Where a program lies: on the `PATH`, or where root's programs are on a user's machine.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A command as it would be typed, without the variables.
pub fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    format!("`{}`", words.join(" "))
}
