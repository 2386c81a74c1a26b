//! Live frames, made by a test run and redirected onto the server's wire: several million a
//! second on one processor.

use anyhow::{Context as _, Result};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};
use nix::net::if_::if_nametoindex;

use super::{
    super::{
        attack::{Carrier, Template},
        programs::{Lab, Tables},
        sandbox::{Namespace, Ns, Sandbox, UPLINK},
        shape::abi::PAGE_BYTES,
    },
    Maker,
};

/// Frames that the kernel hands to the program at a time.
const BATCH: u32 = 64;

/// How many frames lie in memory at a time: 128 MiB of them.
pub const ALBUM: usize = 65_536;

/// A source of frames that need not all fit into memory.
pub trait Feed: Send {
    /// The next [`ALBUM`] frames or less, each of at most [`PAGE_BYTES`]. None means the end.
    fn next(&mut self) -> Result<Vec<Vec<u8>>>;

    /// Whether the frames that it gave first are all that will ever come, over and over.
    fn goes_round(&self) -> bool;
}

/// A program that makes frames, loaded.
pub struct Live {
    lab: Lab,
    program: &'static str,
    /// What the kernel hands to the program.
    frame: Vec<u8>,
    wire: Namespace,
}

impl Live {
    /// Whether frames are short enough.
    pub fn takes(frames: &[Vec<u8>]) -> bool {
        frames.iter().all(|frame| frame.len() <= PAGE_BYTES)
    }

    /// One frame in which fields vary.
    pub fn of_template(sandbox: &Sandbox, template: Template, carrier: Carrier) -> Result<Self> {
        let (wire, index) = uplink(sandbox)?;
        let mut lab = Lab::load(Tables::Tiny)?;
        lab.set_shape(template.shape(carrier, index)?, 0x5eed_0000_0001)?;
        lab.program("flood")?;
        Ok(Self {
            lab,
            program: "flood",
            frame: template.frame(carrier),
            wire,
        })
    }

    /// Frames made beforehand.
    pub fn of_album(sandbox: &Sandbox, frames: &[Vec<u8>]) -> Result<Self> {
        let (_, index) = uplink(sandbox)?;
        let mut live = Self::with_room(sandbox, frames.len() as u32)?;
        live.lab.set_album(frames, index)?;
        Ok(live)
    }

    fn with_room(sandbox: &Sandbox, pages: u32) -> Result<Self> {
        let (wire, _) = uplink(sandbox)?;
        let mut lab = Lab::load(Tables::Album(pages))?;
        lab.program("replay")?;
        Ok(Self {
            lab,
            program: "replay",
            frame: vec![0; PAGE_BYTES],
            wire,
        })
    }
}

impl Live {
    fn call(&mut self, count: u32) -> Result<()> {
        // The thread does nothing else, and this costs it a system call.
        self.wire.enter()?;
        let program = self.lab.program(self.program)?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        program
            .test_run(options)
            .context("the kernel refuses to generate live frames")?;
        Ok(())
    }
}

impl Maker for Live {
    fn make(&mut self, count: u32) -> Result<u32> {
        self.call(count)?;
        Ok(count)
    }
}

/// Frames of a feed, an album at a time.
pub struct Fed {
    live: Live,
    feed: Box<dyn Feed>,
    index: u32,
    /// Frames of the album in place that were not sent yet.
    left: u32,
}

impl Fed {
    /// Takes the first frames.
    pub fn new(sandbox: &Sandbox, mut feed: Box<dyn Feed>) -> Result<Self> {
        let first = feed.next()?;
        let left = first.len() as u32;
        let (_, index) = uplink(sandbox)?;
        let pages = if feed.goes_round() {
            left
        } else {
            ALBUM as u32
        };
        let mut live = Live::with_room(sandbox, pages.max(1))?;
        live.lab.set_album(&first, index)?;
        Ok(Self {
            live,
            feed,
            index,
            left,
        })
    }

    fn turn_over(&mut self) -> Result<()> {
        let next = self.feed.next()?;
        self.left = next.len() as u32;
        if self.left > 0 {
            self.live.lab.set_album(&next, self.index)?;
        }
        Ok(())
    }
}

impl Maker for Fed {
    fn make(&mut self, count: u32) -> Result<u32> {
        if self.feed.goes_round() {
            return self.live.make(count);
        }
        if self.left == 0 {
            self.turn_over()?;
        }
        let count = count.min(self.left);
        self.left -= count;
        if count > 0 {
            self.live.call(count)?;
        }
        Ok(count)
    }
}

fn uplink(sandbox: &Sandbox) -> Result<(Namespace, u32)> {
    let wire = sandbox.namespace(Ns::Wire).clone();
    let index = wire
        .run(|| if_nametoindex(UPLINK))?
        .context("the sandbox has no uplink")?;
    Ok((wire, index))
}
