//! Runs a flood: live frames, made by a test run and redirected onto the server's wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};
use nix::net::if_::if_nametoindex;

use super::{
    attack::Attack,
    clock,
    programs::{Lab, Tables},
    sandbox::{Namespace, Ns, Sandbox, UPLINK},
    thread::{go_first, pin_to},
};

/// Frames that the kernel hands to the program at a time.
const BATCH: u32 = 64;

/// How much is made in one call at most; a call cannot be interrupted.
const LONGEST_CALL: Duration = Duration::from_millis(200);

/// The share of a second that a paced call covers. A call costs some 25 ms of waiting beside its
/// packets, so calls are few; a longer slice would be felt as a burst.
const SLICE: Duration = Duration::from_millis(100);

/// How fast a flood is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the generator and the receiving side can.
    Full,
    /// So many packets a second, whether the receiver keeps up or not.
    PerSecond(u64),
}

/// How a flood is run, beside what it is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How fast.
    pub pace: Pace,
    /// The processor on which frames are made, and received: a veth does both in one place.
    pub cpu: Option<usize>,
    /// Whether the flood goes before everything else there, as a card's interrupts do.
    pub first: bool,
}

/// A flood under way; it ends when dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// Loads the generator and starts the flood; returns when the first frames are due.
    pub fn start(sandbox: &Sandbox, attack: &Attack, options: Options) -> Result<Self> {
        let wire = sandbox.namespace(Ns::Wire).clone();
        let index = wire
            .run(|| if_nametoindex(UPLINK))?
            .context("the sandbox has no uplink")?;
        let frame = attack.template()?;
        let mut lab = Lab::load(Tables::Tiny)?;
        lab.set_shape(
            attack.shape(index)?,
            0x5eed_0000_0000 | u64::from(attack.name.len() as u32),
        )?;
        lab.program("flood")?;

        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let generator = Generator {
            lab,
            frame,
            options,
            stop: Arc::clone(&stop),
            sent: Arc::clone(&sent),
        };
        let thread = thread::Builder::new()
            .name("flood".into())
            .spawn(move || generator.run(&wire))
            .context("cannot start the flood's thread")?;
        Ok(Self {
            stop,
            sent,
            thread: Some(thread),
        })
    }

    /// Frames put on the wire so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the flood and says how many frames were put on the wire.
    pub fn finish(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.sent())
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(anyhow!("the flood's thread panicked")),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // Errors are for `finish`; here only the end matters.
        let _ = self.end();
    }
}

struct Generator {
    lab: Lab,
    frame: Vec<u8>,
    options: Options,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Generator {
    fn run(mut self, wire: &Namespace) -> Result<()> {
        wire.enter()?;
        if let Some(cpu) = self.options.cpu {
            pin_to(cpu)?;
        }
        if self.options.first {
            go_first()?;
        }
        match self.options.pace {
            Pace::Full => self.at_full_speed(),
            Pace::PerSecond(rate) => self.paced(rate),
        }
    }

    /// Calls that grow or shrink until each takes about `LONGEST_CALL`.
    fn at_full_speed(&mut self) -> Result<()> {
        let mut repeat = 20_000_u32;
        while !self.stop.load(Ordering::Relaxed) {
            let begun = clock::now();
            self.call(repeat)?;
            let took = begun.elapsed().max(Duration::from_millis(1));
            let scale = (LONGEST_CALL.as_secs_f64() / took.as_secs_f64()).clamp(0.5, 2.0);
            repeat = (f64::from(repeat) * scale).clamp(1_000.0, 4e6) as u32;
        }
        Ok(())
    }

    /// One call a slice. What a slow receiver makes late is caught up with, up to half a second.
    fn paced(&mut self, rate: u64) -> Result<()> {
        let a_slice = (rate as f64 * SLICE.as_secs_f64()).max(1.0) as u32;
        let mut due = clock::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.call(a_slice)?;
            due += SLICE;
            let now = clock::now();
            match due.checked_duration_since(now) {
                Some(early) => thread::sleep(early),
                None if now - due > SLICE * 5 => due = now,
                None => {}
            }
        }
        Ok(())
    }

    fn call(&mut self, repeat: u32) -> Result<()> {
        let program = self.lab.program("flood")?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        program
            .test_run(options)
            .context("the kernel refuses to generate live frames")?;
        self.sent.store(self.lab.made()?, Ordering::Relaxed);
        Ok(())
    }
}
