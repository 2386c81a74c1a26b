//! A machine that QEMU emulates, instruction by instruction: what offers hardware for that need not
//! work where this runs, and a kernel boots in seconds without.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getpid, getppid},
};

use super::{archive::Kernel, message::Message};
use crate::lab::{clock, interrupt, process::Process};

/// What is booted, and in what.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The file system in memory that it begins with.
    pub image: &'a Path,
    /// Where what the kernel says is kept.
    pub console: &'a Path,
    /// How long the machine may take.
    pub patience: Duration,
    /// What the kernel is told beside; what it does not know becomes a variable of the first process.
    pub words: &'a str,
    /// Options of QEMU that are this machine's own.
    pub hardware: Vec<String>,
}

/// Boots a machine, and gives each message of the guest to `take` until it says that all is done. The
/// machine ends with this, whatever happens.
pub fn boot(setup: &Setup<'_>, take: impl FnMut(Message) -> Result<()>) -> Result<()> {
    let kernel = setup.kernel;
    let binary = kernel_file(&kernel.folder)
        .with_context(|| format!("{} has no kernel", kernel.folder.display()))?;
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg", "-cpu", "max", "-m", "3072"])
        .args(["-display", "none", "-monitor", "none"])
        .arg("-serial")
        .arg(format!("file:{}", setup.console.display()))
        .args([
            "-chardev",
            "stdio,id=results,signal=off",
            "-serial",
            "chardev:results",
        ])
        .args(&setup.hardware)
        .arg("-kernel")
        .arg(&binary)
        .arg("-initrd")
        .arg(setup.image)
        .arg("-append")
        .arg(format!("console=ttyS0 quiet net.ifnames=0 {}", setup.words))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    die_with_this(&mut command);
    let (_machine, output) = Process::spawn_piped(&mut command)
        .context("QEMU is missing: apt-get install qemu-system-x86")?;
    listen(output, setup.patience, take, |why| {
        anyhow!(
            "the machine with Linux {} {why}; its last words, of {}:\n{}",
            kernel.release,
            setup.console.display(),
            last_words(setup.console)
        )
    })
}

/// Gives each message of a guest to `take` until it says that all is done. If it does not, `failed` makes
/// an error of the reason.
pub fn listen(
    output: ChildStdout,
    patience: Duration,
    mut take: impl FnMut(Message) -> Result<()>,
    failed: impl FnOnce(&str) -> anyhow::Error,
) -> Result<()> {
    let (sender, lines) = mpsc::channel();
    thread::Builder::new()
        .name("guest".to_owned())
        .spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })
        .context("cannot start the thread that listens to the guest")?;
    let end = clock::now() + patience;
    loop {
        interrupt::check()?;
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                let message = serde_json::from_str(line.trim())
                    .with_context(|| format!("the guest says `{}`", line.trim()))?;
                if message == Message::Done {
                    return Ok(());
                }
                take(message)?;
            }
            Err(RecvTimeoutError::Timeout) if clock::now() < end => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(&format!(
                    "was not done within {} s",
                    patience.as_secs()
                )));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(failed("ended before its time")),
        }
    }
}

/// A machine that nobody listens to is no use, also if this process is killed.
pub fn die_with_this(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec only the system calls prctl and getppid are made.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        });
    }
}

fn kernel_file(folder: &Path) -> Option<PathBuf> {
    let boot = fs::read_dir(folder.join("boot")).into_iter().flatten();
    let modules = ["lib/modules", "usr/lib/modules"].map(|it| fs::read_dir(folder.join(it)));
    let releases = modules.into_iter().flatten().flatten().flatten();
    let names = boot.flatten().map(|it| it.path());
    let mut all = names.chain(releases.map(|it| it.path().join("vmlinuz")));
    all.find(|it| {
        let name = it.file_name().map(|it| it.to_string_lossy().into_owned());
        name.is_some_and(|it| it.starts_with("vmlinuz")) && it.is_file()
    })
}

fn last_words(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_ends_with_whoever_started_it() {
        // The thread that starts a process is its parent in the eyes of the kernel.
        let child = thread::spawn(|| {
            let mut command = Command::new("sleep");
            die_with_this(command.arg("600"));
            command.spawn().unwrap()
        });
        let status = child.join().unwrap().wait().unwrap();
        assert!(!status.success(), "{status}");
    }
}
