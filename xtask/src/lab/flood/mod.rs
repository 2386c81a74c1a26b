//! Runs a flood against the sandbox's server.

mod bots;
mod crowd;
mod live;
mod socket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    attack::{self, Attack, Traffic},
    clock,
    sandbox::Sandbox,
    thread::{go_first, pin_to},
};
use live::{Fed, Live};

pub use live::{ALBUM, Feed};

/// The share of a second that a paced slice covers. A call into the kernel's test run costs some
/// 25 ms of waiting beside its packets, so slices are few; a longer one would be felt as a burst.
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
    run: Run,
    thread: Option<JoinHandle<Result<()>>>,
}

/// What the thread of a flood shares with whoever started it.
#[derive(Clone, Debug)]
struct Run {
    options: Options,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

/// What makes packets, some at a time.
trait Maker {
    /// Sends so many, or less, and says how many; none when there are no more.
    fn make(&mut self, count: u32) -> Result<u32>;
}

impl Flood {
    /// Prepares the flood and starts it; returns when the first frames are due.
    pub fn start(sandbox: &Sandbox, attack: &Attack, options: Options) -> Result<Self> {
        match attack.traffic {
            Traffic::Connections => {
                let bots = bots::Bots::new(sandbox)?;
                Self::spawn(options, move |run| bots.run(run))
            }
            Traffic::Crowd => {
                let crowd = crowd::Crowd::new(sandbox);
                Self::spawn(options, move |run| crowd.run(run))
            }
            Traffic::InTurn { names, on, off } => {
                let makers = names
                    .iter()
                    .map(|name| maker(sandbox, &attack::named(name)?))
                    .collect::<Result<_>>()?;
                Self::spawn(options, move |run| run.in_turn(makers, on, off))
            }
            Traffic::Template(_) | Traffic::Album(_) => {
                let maker = maker(sandbox, attack)?;
                Self::spawn(options, move |run| run.steadily(maker))
            }
        }
    }

    /// Sends frames as they come, until there are no more.
    pub fn feed(sandbox: &Sandbox, feed: Box<dyn Feed>, options: Options) -> Result<Self> {
        let fed = Fed::new(sandbox, feed)?;
        Self::spawn(options, move |run| run.steadily(Box::new(fed)))
    }

    fn spawn(
        options: Options,
        work: impl FnOnce(&Run) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let run = Run {
            options,
            stop: Arc::default(),
            sent: Arc::default(),
        };
        let shared = run.clone();
        let thread = thread::Builder::new()
            .name("flood".into())
            .spawn(move || {
                if let Some(cpu) = options.cpu {
                    pin_to(cpu)?;
                }
                if options.first {
                    go_first()?;
                }
                work(&shared)
            })
            .context("cannot start the flood's thread")?;
        Ok(Self {
            run,
            thread: Some(thread),
        })
    }

    /// Frames put on the wire so far; of connections, those that were opened.
    pub fn sent(&self) -> u64 {
        self.run.sent.load(Ordering::Relaxed)
    }

    /// Whether it has ended by itself.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the flood and says how many frames were put on the wire.
    pub fn finish(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.sent())
    }

    fn end(&mut self) -> Result<()> {
        self.run.stop.store(true, Ordering::Relaxed);
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

fn maker(sandbox: &Sandbox, attack: &Attack) -> Result<Box<dyn Maker + Send>> {
    match attack.traffic {
        Traffic::Template(template) => {
            let live = Live::of_template(sandbox, template, attack.carrier)?;
            Ok(Box::new(live))
        }
        Traffic::Album(_) => {
            let frames = attack.album().unwrap_or_default();
            if Live::takes(&frames) {
                Ok(Box::new(Live::of_album(sandbox, &frames)?))
            } else {
                Ok(Box::new(socket::Socket::new(sandbox, frames)?))
            }
        }
        Traffic::InTurn { .. } | Traffic::Connections | Traffic::Crowd => Err(anyhow!(
            "{} is not made of packets alone and cannot take a turn",
            attack.name
        )),
    }
}

impl Run {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether there may be more.
    fn make(&self, maker: &mut dyn Maker, count: u32) -> Result<bool> {
        let made = maker.make(count)?;
        self.sent.fetch_add(made.into(), Ordering::Relaxed);
        Ok(made > 0)
    }

    fn steadily(&self, mut maker: Box<dyn Maker + Send>) -> Result<()> {
        match self.options.pace {
            Pace::Full => self.at_full_speed(maker.as_mut()),
            Pace::PerSecond(rate) => self.paced(rate, |_, count| self.make(maker.as_mut(), count)),
        }
    }

    /// Calls that grow or shrink until each takes about 200 ms; one cannot be interrupted.
    fn at_full_speed(&self, maker: &mut dyn Maker) -> Result<()> {
        let mut count = 20_000_u32;
        while !self.is_over() {
            let begun = clock::now();
            if !self.make(maker, count)? {
                break;
            }
            let took = begun.elapsed().max(Duration::from_millis(1));
            let scale = (0.2 / took.as_secs_f64()).clamp(0.5, 2.0);
            count = (f64::from(count) * scale).clamp(1_000.0, 4e6) as u32;
        }
        Ok(())
    }

    /// Each maker for a while, with a rest behind it.
    fn in_turn(
        &self,
        mut makers: Vec<Box<dyn Maker + Send>>,
        on: Duration,
        off: Duration,
    ) -> Result<()> {
        let rate = match self.options.pace {
            Pace::Full => u64::from(u32::MAX),
            Pace::PerSecond(rate) => rate,
        };
        let turn = (on + off).max(SLICE);
        self.paced(rate.min(2_000_000), |time, count| {
            let number = (time.as_nanos() / turn.as_nanos()) as usize % makers.len().max(1);
            let into = Duration::from_nanos((time.as_nanos() % turn.as_nanos()) as u64);
            match makers.get_mut(number) {
                Some(maker) if into < on => self.make(maker.as_mut(), count),
                Some(_) | None => Ok(true),
            }
        })
    }

    /// One slice after the other, each with what is due by then. A call that takes longer than a
    /// slice makes the next larger; what is late by more than half a second is not caught up with.
    fn paced(&self, rate: u64, mut slice: impl FnMut(Duration, u32) -> Result<bool>) -> Result<()> {
        let of = |time: Duration| (rate as f64 * time.as_secs_f64()) as u64;
        let begun = clock::now();
        let mut made = 0;
        while !self.is_over() {
            let time = begun.elapsed();
            let due = of(time + SLICE);
            made = made.max(due.saturating_sub(of(SLICE * 5)));
            if due > made && !slice(time, (due - made) as u32)? {
                break;
            }
            made = due;
            let next = begun + time + SLICE;
            thread::sleep(next.saturating_duration_since(clock::now()));
        }
        Ok(())
    }
}
