//! Ctrl-C and SIGTERM as an error, so that every guard on the way out cleans up.

use std::{
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

use super::clock;

static CAUGHT: Mutex<Option<Signal>> = Mutex::new(None);
static ARRIVED: Condvar = Condvar::new();

/// A signal asked the lab to end.
#[derive(Debug)]
pub struct Interrupted(pub Signal);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended by {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Catches SIGINT, SIGTERM and SIGHUP from here on. Call it before the first thread starts:
/// threads inherit the mask.
pub fn install() -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block SIGINT")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                caught().get_or_insert(signal);
                ARRIVED.notify_all();
            }
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

/// Fails if a signal has come.
pub fn check() -> Result<()> {
    match *caught() {
        Some(signal) => Err(Interrupted(signal).into()),
        None => Ok(()),
    }
}

/// Sleeps, unless and until a signal comes.
pub fn sleep(time: Duration) -> Result<()> {
    let end = clock::now() + time;
    let mut guard = caught();
    loop {
        if let Some(signal) = *guard {
            return Err(Interrupted(signal).into());
        }
        let left = end.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Ok(());
        }
        guard = ARRIVED
            .wait_timeout(guard, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

fn caught() -> MutexGuard<'static, Option<Signal>> {
    CAUGHT.lock().unwrap_or_else(PoisonError::into_inner)
}
