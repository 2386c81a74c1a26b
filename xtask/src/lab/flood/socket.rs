//! Frames too long for the generator's pages, one system call each.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    super::{clock, packet_socket::PacketSocket, sandbox::Sandbox},
    Maker,
};

/// How long the ring behind the wire may stay full.
const PATIENCE: Duration = Duration::from_secs(1);

/// A socket on the server's wire.
pub struct Socket {
    wire: PacketSocket,
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Socket {
    /// Frames made beforehand.
    pub fn new(sandbox: &Sandbox, frames: Vec<Vec<u8>>) -> Result<Self> {
        Ok(Self {
            wire: sandbox.wire_socket()?,
            frames,
            next: 0,
        })
    }
}

impl Maker for Socket {
    fn make(&mut self, count: u32) -> Result<u32> {
        let end = clock::now() + PATIENCE;
        for made in 0..count {
            let Some(frame) = self.frames.get(self.next) else {
                return Ok(made);
            };
            while let Err(error) = self.wire.send(frame) {
                if clock::now() > end {
                    return Err(error);
                }
                thread::sleep(Duration::from_micros(200));
            }
            self.next = (self.next + 1) % self.frames.len();
        }
        Ok(count)
    }
}
