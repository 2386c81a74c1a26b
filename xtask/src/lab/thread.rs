//! Where and how eagerly a thread runs.

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The highest-numbered processor this process may use: interrupts tend to sit on the lowest.
pub fn last_cpu() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot read the CPU affinity")?;
    (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("this process is allowed on no CPU")
}

/// Keeps the calling thread on one processor.
pub fn pin_to(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .with_context(|| format!("there is no CPU {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot pin a thread to CPU {cpu}"))
}

/// Lets the calling thread go before ordinary ones, as a card's interrupts do.
pub fn go_first() -> Result<()> {
    // SAFETY: the call takes three numbers and touches no memory; 0 is the calling thread.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    nix::errno::Errno::result(done)
        .map(drop)
        .context("cannot raise the priority of the flood's thread; run as root")
}
