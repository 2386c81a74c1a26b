//! A machine that QEMU emulates, instruction by instruction: what offers hardware for that need not
//! work where this runs, and a kernel boots in seconds without.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{archive::Kernel, message::Message};
use crate::lab::{clock, interrupt, process::Process};

/// Boots a kernel with an image, to try so many random frames, and gives each message of the guest to `take` until it says that all
/// is done. The machine ends with this, whatever happens; what the kernel said is kept in `console`.
pub fn boot(
    kernel: &Kernel,
    image: &Path,
    console: &Path,
    (patience, cases): (Duration, u32),
    mut take: impl FnMut(Message),
) -> Result<()> {
    let binary = kernel_file(&kernel.folder)
        .with_context(|| format!("{} has no kernel", kernel.folder.display()))?;
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "3072"])
        .args(["-display", "none", "-no-reboot", "-monitor", "none"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args([
            "-chardev",
            "stdio,id=results,signal=off",
            "-serial",
            "chardev:results",
        ])
        // No packet leaves the machine.
        .args(["-nic", "user,model=virtio-net-pci,restrict=on"])
        .arg("-kernel")
        .arg(&binary)
        .arg("-initrd")
        .arg(image)
        .arg("-append")
        // What the kernel does not know becomes a variable of the first process.
        .arg(format!(
            "console=ttyS0 quiet panic=-1 net.ifnames=0 FLOODWALL_MODEL_CASES={cases}"
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let (mut machine, output) = Process::spawn_piped(&mut command)
        .context("QEMU is missing: apt-get install qemu-system-x86")?;
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
                take(message);
            }
            Err(RecvTimeoutError::Timeout) if clock::now() < end => {}
            Err(error) => {
                let why = match (error, machine.ended()) {
                    (RecvTimeoutError::Timeout, _) => {
                        format!("was not done within {} s", patience.as_secs())
                    }
                    (RecvTimeoutError::Disconnected, _) => "ended before its time".to_owned(),
                };
                bail!(
                    "the machine with Linux {} {why}; its last words, of {}:\n{}",
                    kernel.release,
                    console.display(),
                    last_words(console)
                );
            }
        }
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
