//! Processes that end with whoever started them.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdout, Command, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{SigSet, Signal, kill},
    unistd::Pid,
};

use super::clock;

/// How long a process may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A child process; it is ended when dropped, by its own id.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it. Whoever catches signals in a thread of its own has blocked them in all others, which a
    /// child would inherit.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        // SAFETY: between fork and exec only the system call sigprocmask is made.
        unsafe { command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
        command
            .spawn()
            .map(Self)
            .with_context(|| format!("cannot start {}", program.display()))
    }

    /// Likewise, and gives its output, which has to be piped.
    pub fn spawn_piped(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let mut process = Self::spawn(command)?;
        let output = process.0.stdout.take().context("its output is not piped")?;
        Ok((process, output))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_none() {
            let id = i32::try_from(self.id()).context("a process id out of range")?;
            kill(Pid::from_raw(id), signal)
                .with_context(|| format!("cannot send {signal} to process {id}"))?;
        }
        Ok(())
    }

    /// Waits until it has ended; `None` if it has not in time.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = clock::now() + patience;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if clock::now() >= end {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done here about a process that is gone already.
        let _ = self.signal(Signal::SIGTERM);
        if self.wait(PATIENCE).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
