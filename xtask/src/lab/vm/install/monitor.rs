//! What only a machine's owner can do to it: QEMU's monitor, a line of JSON each way.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::CARD;
use crate::lab::vm::message::Wish;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to it.
pub struct Monitor {
    lines: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects, once QEMU is there.
    pub fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("QEMU cannot be reached at {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self {
            lines: BufReader::new(stream),
        };
        monitor.next().context("QEMU does not greet")?;
        monitor.ask(&json!({"execute": "qmp_capabilities"}))?;
        Ok(monitor)
    }

    /// Does what the guest wishes for.
    pub fn grant(&mut self, wish: &Wish) -> Result<()> {
        let command = match wish {
            Wish::Carrier { is_on } => {
                json!({"execute": "set_link", "arguments": {"name": CARD.id, "up": is_on}})
            }
            Wish::Unplug => json!({"execute": "device_del", "arguments": {"id": CARD.id}}),
            Wish::Plug => json!({"execute": "device_add", "arguments": {
                "driver": "virtio-net-pci", "id": CARD.id, "netdev": CARD.cable, "mac": CARD.mac,
                "addr": CARD.slot,
            }}),
        };
        self.ask(&command)
    }

    fn ask(&mut self, command: &Value) -> Result<()> {
        let mut line = command.to_string();
        line.push('\n');
        self.lines.get_mut().write_all(line.as_bytes())?;
        // Events come in between.
        loop {
            let answer = self.next()?;
            let error = answer.get("error");
            ensure!(error.is_none(), "QEMU refuses {command}: {answer}");
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line)?;
        ensure!(read > 0, "QEMU has closed its monitor");
        serde_json::from_str(&line).with_context(|| format!("QEMU says `{}`", line.trim()))
    }
}
