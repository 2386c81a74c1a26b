//! What the program knows of this host: its addresses, its ports, and what becomes of its cookies.

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use filter_common::{
    abi::defence::{CookiePort, LocalLine, PORT_SETS, PORT_WORDS, PortSet},
    logic::lines::{Line, WORDS},
};

use super::{
    maps::{map_data, map_error, take, take_map},
    memory::Lines,
};
use crate::dataplane::{DataplaneError, LocalLines, Ports};

pub(super) struct Own {
    local: Array<MapData, LocalLine>,
    ports: Lines,
    stamps: Lines,
    cookie_ports: Array<MapData, CookiePort>,
    syn_acks: Array<MapData, u32>,
}

/// Words of the map of stamps.
const STAMPS: usize = 1 << 12;

impl Own {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            local: take(ebpf, "LOCAL")?,
            ports: lines(ebpf, "PORTS", (PORT_SETS * PORT_WORDS) as usize)?,
            stamps: lines(ebpf, "STAMPS", STAMPS)?,
            cookie_ports: take(ebpf, "COOKIE_PORTS")?,
            syn_acks: take(ebpf, "SYN_ACKS")?,
        })
    }

    pub(super) fn set_local(&mut self, lines: &LocalLines) -> Result<(), DataplaneError> {
        for (index, line) in (0..).zip(lines) {
            self.local
                .set(index, line, 0)
                .map_err(|error| map_error("writing this host's addresses", error))?;
        }
        Ok(())
    }

    pub(super) fn set_ports(&mut self, set: PortSet, ports: &Ports) {
        let first = set.word(0) as usize / WORDS;
        let (lines, _) = ports.as_chunks::<WORDS>();
        for (index, line) in (first..).zip(lines) {
            self.ports.set(index, line);
        }
    }

    pub(super) fn clear_stamps(&mut self) {
        for index in 0..STAMPS / WORDS {
            self.stamps.set(index, &Line::default());
        }
    }

    pub(super) fn forget_windows(&mut self, ports: &[u16]) -> Result<(), DataplaneError> {
        for port in ports {
            self.syn_acks
                .set(u32::from(*port), 0, 0)
                .map_err(|error| map_error("forgetting the windows of a port", error))?;
        }
        Ok(())
    }

    pub(super) fn cookie_ports(&self, ports: &[u16]) -> Result<Vec<CookiePort>, DataplaneError> {
        let read = |port: &u16| {
            self.cookie_ports
                .get(&u32::from(*port), 0)
                .map_err(|error| map_error("reading what became of cookies", error))
        };
        ports.iter().map(read).collect()
    }
}

/// An array of words, in memory.
fn lines(ebpf: &mut Ebpf, name: &str, words: usize) -> Result<Lines, DataplaneError> {
    let map = take_map(ebpf, name)?;
    let data = map_data(&map).ok_or_else(|| DataplaneError(format!("{name} is no array")))?;
    Lines::of(name, data.fd(), words / WORDS)
}
