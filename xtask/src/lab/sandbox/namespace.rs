//! One network namespace: entering it, and starting processes in it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{SigSet, Signal, kill},
    unistd::Pid,
};

use super::names;

/// A network namespace of the sandbox. Cheap to clone; a clone in a thread keeps it reachable.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<OwnedFd>,
    inode: u64,
}

impl Namespace {
    /// Makes a namespace under this name, as `ip netns add` does.
    pub(super) fn create(name: &str) -> Result<Self> {
        let output = Command::new("ip")
            .args(["netns", "add", name])
            .output()
            .context("cannot run `ip`; install it with `apt-get install iproute2`")?;
        if !output.status.success() {
            bail!(
                "cannot make the network namespace {name}: {}; run as root",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let file = File::open(path_of(name))
            .with_context(|| format!("cannot open the network namespace {name}"))?;
        let inode = file.metadata()?.ino();
        Ok(Self {
            name: name.to_owned(),
            file: Arc::new(file.into()),
            inode,
        })
    }

    /// The name, as `ip -n` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves the calling thread into the namespace, for good.
    pub fn enter(&self) -> Result<()> {
        setns(&*self.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter the network namespace {}", self.name))
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    ///
    /// Start processes with [`Self::command`] rather than from here: they end with the thread.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                Ok(work())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command whose process will run inside the namespace, in a process group of its own, and
    /// will be killed if the thread that starts it dies.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        let parent = process::id();
        command.process_group(0);
        // SAFETY: between fork and exec only the system calls setns, prctl, sigprocmask and
        // getppid are made; nothing allocates or locks.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) != 0
                    || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                // Whoever catches signals in a thread of its own has blocked them in all others, and
                // a child would inherit that.
                SigSet::empty().thread_set_mask()?;
                if libc::getppid() as u32 != parent {
                    return Err(std::io::ErrorKind::Interrupted.into());
                }
                Ok(())
            })
        };
        command
    }

    /// Kills what still runs inside: only this sandbox could start anything there.
    pub(super) fn kill_processes(&self) {
        let Ok(entries) = fs::read_dir("/proc") else {
            return;
        };
        for entry in entries.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let inside = fs::metadata(entry.path().join("ns/net"))
                .is_ok_and(|namespace| namespace.ino() == self.inode);
            if inside && pid.unsigned_abs() != process::id() {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    pub(super) fn remove(&self) {
        names::remove_namespace(&path_of(&self.name));
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(names::NAMESPACES).join(name)
}
